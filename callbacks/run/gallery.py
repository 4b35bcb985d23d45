"""Pictures while training: pairs as the model sees them, what images retrieve, and curves at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor

from callbacks.base.features import FeatureCollector, Features
from callbacks.base.records import save_picture, save_rows
from callbacks.base.rows import gathered
from callbacks.base.run_directory import run_directory
from callbacks.drawing.batch_samples import Sample, picture_of, sample_of
from callbacks.drawing.pair_rows import pair_rows, retrieved_rows
from callbacks.drawing.pictures import PicturedPair, Retrieved, metric_curves, pair_sheet, retrieval_sheet
from datamodules.batch import IMAGE, INDEX, Batch, data_facts

_Curve = list[tuple[float, float]]  # (step, value)


class PairGallery(L.Callback):
    """Writes pictures to ``<run directory>/pictures`` and to loggers that take images.

    - ``train_pairs_<epoch>.png``: pairs of the epoch's first batch, with all that augmentation did to image
      and text;
    - ``val_pairs.png``, ``test_pairs.png``: the first pairs by index, findings outlined where the batch has
      masks;
    - ``val_retrieval_<epoch>.png``, ``test_retrieval.png``: for some of these images the reports most similar
      to them;
    - ``curves.png`` at the end of a fit: loss, AUROC, retrieval and geometry over steps. The training loss is
      averaged over as many steps as the trainer lets pass between two lines of its log.

    Loggers that take tables get pairs and retrieved reports as tables of images and texts, too.

    Args:
        pairs: Pairs on a sheet.
        queries: Images on a retrieval sheet, at most `pairs`.
        found: Reports shown for each.
        candidates: Reports to find them among, the first by index.
        every_n_epochs: How often pictures are made while fitting; the last epoch always: which it was, is
            known at the end of the fit.

    Raises:
        ValueError: If an argument is under 1.
    """

    def __init__(
        self,
        pairs: int = 8,
        queries: int = 4,
        found: int = 5,
        candidates: int = 1000,
        every_n_epochs: int = 5,
    ) -> None:
        given = {"pairs": pairs, "queries": queries, "found": found, "candidates": candidates}
        for name, value in (given | {"every_n_epochs": every_n_epochs}).items():
            if value < 1:
                raise ValueError(f"PairGallery: {name}={value} must be at least 1")
        self.pairs, self.queries, self.found = pairs, queries, found
        self.candidates, self.every_n_epochs = candidates, every_n_epochs
        self._kept: list[Sample] = []
        self._first: list[Sample] = []  # of the epoch's first batch, until they are drawn
        self._first_epoch = 0
        self._undrawn: int | None = None  # the epoch last validated, until it is drawn
        self._curves: dict[str, _Curve] = {}
        self._losses: list[Tensor] = []  # of the steps since the last point of the curve

    # --------------------------------------------------------------------------------------------- collecting
    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Draw the first batch of an epoch, or keep it, and keep the loss for the curve."""
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            self._losses.append(loss.detach().float())
            if len(self._losses) == trainer.log_every_n_steps:  # type: ignore[attr-defined]
                self._add_loss(trainer)
        if batch_idx == 0:
            self._first = [sample_of(batch, row) for row in range(min(self.pairs, len(batch[IMAGE])))]
            self._first_epoch = trainer.current_epoch
            if self._due(trainer):
                self._draw_first(trainer)

    def _draw_first(self, trainer: L.Trainer) -> None:
        directory, epoch = run_directory(trainer), self._first_epoch
        if trainer.is_global_zero and directory is not None:
            pictured = self._pictured(trainer, self._first)
            path = directory / "pictures" / f"train_pairs_{epoch:03d}.png"
            figure = pair_sheet(pictured, f"training pairs, epoch {epoch}")
            save_picture(trainer, figure, path, "pictures/train_pairs")
            save_rows(trainer, "tables/train_pairs", *pair_rows(pictured))
        self._first = []

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the samples of the pass before."""
        self._kept = []

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the samples of lowest index."""
        if not trainer.sanity_checking and dataloader_idx == 0:
            self._keep(batch)

    on_test_batch_end = on_validation_batch_end

    def _keep(self, batch: Batch) -> None:
        index = batch[INDEX].cpu()
        worst = self._kept[-1]["index"] if len(self._kept) >= self.pairs else None
        rows = [row for row in range(len(index)) if worst is None or int(index[row]) < worst]
        rows = sorted(rows, key=lambda row: int(index[row]))[: self.pairs]
        self._kept = self._lowest([*self._kept, *(sample_of(batch, row) for row in rows)])

    def _lowest(self, samples: Iterable[Sample]) -> list[Sample]:
        once = {sample["index"]: sample for sample in samples}  # ranks may share a sample
        return [once[index] for index in sorted(once)[: self.pairs]]

    # ------------------------------------------------------------------------------------------------ drawing
    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the validation pairs and what their images retrieve, unless this is the sanity check."""
        if trainer.sanity_checking:
            return
        if trainer.state.fn != "fit":
            self._draw(trainer, "val")
            return
        self._undrawn = trainer.current_epoch
        if self._due(trainer):
            self._draw_validation(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the last epoch, whatever has ended the fit."""
        if self._first:
            self._draw_first(trainer)
        if self._undrawn is not None:
            self._draw_validation(trainer)

    def _draw_validation(self, trainer: L.Trainer) -> None:
        self._draw(trainer, "val", self._undrawn)
        self._undrawn = None

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the test pairs and what their images retrieve."""
        self._draw(trainer, "test")

    def _due(self, trainer: L.Trainer) -> bool:
        return trainer.current_epoch % self.every_n_epochs == 0

    def _draw(self, trainer: L.Trainer, stage: str, epoch: int | None = None) -> None:
        features = FeatureCollector.of(trainer).features(trainer)
        samples, directory = self._lowest(chain.from_iterable(gathered(self._kept))), run_directory(trainer)
        if not trainer.is_global_zero or directory is None:
            return
        pictured = self._pictured(trainer, samples)
        figure = pair_sheet(pictured, f"{stage} pairs")
        save_picture(
            trainer, figure, directory / "pictures" / f"{stage}_pairs.png", f"pictures/{stage}_pairs"
        )
        save_rows(trainer, f"tables/{stage}_pairs", *pair_rows(pictured))
        if features.text is not None and features.reports is not None:
            queries = {sample["index"]: pair for sample, pair in zip(samples, pictured, strict=True)}
            strips = self._strips(features, features.reports, queries)
            heading = f"{stage}: reports retrieved for an image"
            suffix = ""
            if epoch is not None:
                heading, suffix = f"{heading}, epoch {epoch}", f"_{epoch:03d}"
            path = directory / "pictures" / f"{stage}_retrieval{suffix}.png"
            save_picture(trainer, retrieval_sheet(strips, heading), path, f"pictures/{stage}_retrieval")
            save_rows(trainer, f"tables/{stage}_retrieval", *retrieved_rows(strips))

    def _strips(
        self, features: Features, reports: Sequence[str], queries: Mapping[int, PicturedPair]
    ) -> list[Retrieved]:
        assert features.text is not None
        texts = features.text[: self.candidates]
        strips: list[Retrieved] = []
        for row, index in enumerate(features.index[: self.candidates].tolist()):
            if index not in queries or len(strips) == self.queries:
                continue
            similarity = texts @ features.image[row]
            best: dict[str, float] = {}  # each text once: the same report may stand there often
            for i in similarity.argsort(descending=True, stable=True).tolist():
                if len(best) < self.found:
                    best.setdefault(reports[i], float(similarity[i]))
            found = [(value, text, text == reports[row]) for text, value in best.items()]
            other_text = torch.tensor([text != reports[row] for text in reports[: self.candidates]])
            rank = 1 + int(((similarity >= similarity[row]) & other_text).sum())
            strips.append(Retrieved(queries[index], rank, len(texts), found))
        return strips

    @staticmethod
    def _pictured(trainer: L.Trainer, samples: Sequence[Sample]) -> list[PicturedPair]:
        names = data_facts(trainer).concept_names
        return [picture_of(sample, names) for sample in samples]

    # ------------------------------------------------------------------------------------------------- curves
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add a point to every curve."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._add_loss(trainer)
        for name, value in trainer.callback_metrics.items():
            if name.startswith("val/"):
                self._curves.setdefault(name, []).append((trainer.global_step, float(value)))

    def _add_loss(self, trainer: L.Trainer) -> None:
        """Add the mean of the losses since the last point, if there are any."""
        if self._losses:
            mean = float(torch.stack(self._losses).mean())
            self._curves.setdefault("train/loss", []).append((trainer.global_step, mean))
            self._losses = []

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the curves."""
        self._add_loss(trainer)
        directory, panels = run_directory(trainer), curve_panels(self._curves)
        if trainer.is_global_zero and directory is not None and panels:
            figure = metric_curves(panels, "training curves")
            save_picture(trainer, figure, directory / "pictures" / "curves.png", "pictures/curves")

    def state_dict(self) -> dict[str, Any]:
        """Return the curves so far, so that a resumed run draws them whole."""
        return {
            "curves": {name: [list(point) for point in curve] for name, curve in self._curves.items()},
            "losses": [float(loss) for loss in self._losses],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the curves of the run that is resumed."""
        self._curves = {name: [(x, y) for x, y in curve] for name, curve in state_dict["curves"].items()}
        self._losses = [torch.tensor(loss) for loss in state_dict.get("losses", [])]


_PANELS = {
    "loss": ("train/loss", "val/loss"),
    "AUROC, mean over concepts": ("val/*/auroc_macro",),
    "retrieval": ("val/retrieval/i2t_hit@10", "val/retrieval/t2i_hit@10"),
    "geometry": ("val/geometry/alignment", "val/geometry/uniformity", "val/geometry/modality_gap"),
}


def curve_panels(curves: Mapping[str, _Curve]) -> dict[str, dict[str, _Curve]]:
    """Sort curves into panels; panels without a curve are left out."""
    panels = {
        title: {
            name: curve
            for name, curve in curves.items()
            if name.count("/") < 3 and any(fnmatchcase(name, pattern) for pattern in patterns)
        }
        for title, patterns in _PANELS.items()
    }
    return {title: panel for title, panel in panels.items() if panel}
