"""Pictures while training: pairs as the model sees them, what images retrieve, and curves at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor

from callbacks.base.features import FeatureCollector, Features
from callbacks.drawing.pictures import PicturedPair, Retrieved, metric_curves, pair_sheet, retrieval_sheet
from callbacks.run.run_directory import run_directory, save_picture
from datamodules.batch import IMAGE, INDEX, LABELS, MASK_CONCEPTS, MASKS, REPORT, VIEW, VIEWS

_Sample = dict[str, Any]  # what is kept of one sample of a batch, on the CPU
_Curve = list[tuple[float, float]]  # (step, value)


class PairGallery(L.Callback):
    """Writes pictures to ``<run directory>/pictures`` and to loggers that take images.

    - ``train_pairs_<epoch>.png``: pairs of the epoch's first batch, with all that augmentation did to image
      and text;
    - ``val_pairs.png``, ``test_pairs.png``: the first pairs by index, findings outlined where the batch has
      masks;
    - ``val_retrieval_<epoch>.png``, ``test_retrieval.png``: for some of these images the reports most similar
      to them;
    - ``curves.png`` at the end of a fit: loss, AUROC, retrieval and geometry over steps.

    Args:
        pairs: Pairs on a sheet.
        queries: Images on a retrieval sheet, at most `pairs`.
        found: Reports shown for each.
        candidates: Reports to find them among, the first by index.
        every_n_epochs: How often pictures are made while fitting; the last epoch always.

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
        self._kept: list[_Sample] = []
        self._curves: dict[str, _Curve] = {}
        self._losses: list[Tensor] = []

    # --------------------------------------------------------------------------------------------- collecting
    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Draws the first batch of an epoch and keeps the loss for the curve."""
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            self._losses.append(loss.detach())
        if batch_idx == 0 and self._due(trainer):
            directory = run_directory(trainer)
            if trainer.is_global_zero and directory is not None:
                samples = [_sample(batch, row) for row in range(min(self.pairs, len(batch[IMAGE])))]
                figure = pair_sheet(
                    self._pictured(trainer, samples), f"training pairs, epoch {trainer.current_epoch}"
                )
                name = f"train_pairs_{trainer.current_epoch:03d}"
                save_picture(trainer, figure, directory / "pictures" / f"{name}.png", "pictures/train_pairs")

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps the samples of lowest index."""
        if not trainer.sanity_checking and dataloader_idx == 0:
            self._keep(batch)

    on_test_batch_end = on_validation_batch_end

    def _keep(self, batch: Mapping[str, Any]) -> None:
        index = batch[INDEX].cpu()
        worst = self._kept[-1]["index"] if len(self._kept) >= self.pairs else None
        rows = [row for row in range(len(index)) if worst is None or int(index[row]) < worst]
        rows = sorted(rows, key=lambda row: int(index[row]))[: self.pairs]
        self._kept = self._lowest([*self._kept, *(_sample(batch, row) for row in rows)])

    def _lowest(self, samples: Iterable[_Sample]) -> list[_Sample]:
        once = {sample["index"]: sample for sample in samples}  # ranks may share a sample
        return [once[index] for index in sorted(once)[: self.pairs]]

    # ------------------------------------------------------------------------------------------------ drawing
    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the validation pairs and what their images retrieve, unless this is the sanity check."""
        if trainer.sanity_checking:
            return
        if trainer.state.fn != "fit":
            self._draw(trainer, "val", "")
        elif self._due(trainer):
            self._draw(trainer, "val", f"_{trainer.current_epoch:03d}")
        self._kept = []

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the test pairs and what their images retrieve."""
        self._draw(trainer, "test", "")
        self._kept = []

    def _due(self, trainer: L.Trainer) -> bool:
        last = trainer.max_epochs not in (None, -1) and trainer.current_epoch + 1 == trainer.max_epochs
        return last or trainer.should_stop or trainer.current_epoch % self.every_n_epochs == 0

    def _draw(self, trainer: L.Trainer, stage: str, suffix: str) -> None:
        features = FeatureCollector.of(trainer).features(trainer)
        samples, directory = self._gathered(trainer), run_directory(trainer)
        if not trainer.is_global_zero or directory is None:
            return
        pictured = self._pictured(trainer, samples)
        figure = pair_sheet(pictured, f"{stage} pairs")
        save_picture(
            trainer, figure, directory / "pictures" / f"{stage}_pairs.png", f"pictures/{stage}_pairs"
        )
        if features.text is not None and features.reports is not None:
            queries = {sample["index"]: pair for sample, pair in zip(samples, pictured, strict=True)}
            strips = self._strips(features, features.reports, queries)
            heading = f"{stage}: reports found for an image" + (
                f", epoch {trainer.current_epoch}" if suffix else ""
            )
            path = directory / "pictures" / f"{stage}_retrieval{suffix}.png"
            save_picture(trainer, retrieval_sheet(strips, heading), path, f"pictures/{stage}_retrieval")

    def _gathered(self, trainer: L.Trainer) -> list[_Sample]:
        if trainer.world_size == 1:
            return self._kept
        shards: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(shards, self._kept)
        return self._lowest(sample for shard in shards for sample in shard)

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
    def _pictured(trainer: L.Trainer, samples: Sequence[_Sample]) -> list[PicturedPair]:
        names = tuple(getattr(trainer.datamodule, "concept_names", ()))  # type: ignore[attr-defined]
        return [_picture(sample, names) for sample in samples]

    # ------------------------------------------------------------------------------------------------- curves
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Adds a point to every curve."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if self._losses:
            self._curves.setdefault("train/loss", []).append(
                (trainer.global_step, float(torch.stack(self._losses).float().mean()))
            )
            self._losses = []
        for name, value in trainer.callback_metrics.items():
            if name.startswith("val/"):
                self._curves.setdefault(name, []).append((trainer.global_step, float(value)))

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the curves."""
        directory, panels = run_directory(trainer), curve_panels(self._curves)
        if trainer.is_global_zero and directory is not None and panels:
            figure = metric_curves(panels, "training curves (train/loss: mean since the last validation)")
            save_picture(trainer, figure, directory / "pictures" / "curves.png", "pictures/curves")

    def state_dict(self) -> dict[str, Any]:
        """The curves so far, so that a resumed run draws them whole."""
        return {"curves": {name: [list(point) for point in curve] for name, curve in self._curves.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the curves of the run that is resumed."""
        self._curves = {name: [(x, y) for x, y in curve] for name, curve in state_dict["curves"].items()}


_PANELS = {
    "loss": ("train/loss", "val/loss"),
    "AUROC, mean over concepts": ("val/probe/auroc_macro", "val/zero_shot/auroc_macro"),
    "retrieval": ("val/retrieval/i2t_hit@10", "val/retrieval/t2i_hit@10"),
    "geometry": ("val/geometry/alignment", "val/geometry/uniformity", "val/geometry/modality_gap"),
}


def curve_panels(curves: Mapping[str, _Curve]) -> dict[str, dict[str, _Curve]]:
    """Sorts curves into panels; panels without a curve are left out."""
    panels = {
        title: {name: curves[name] for name in names if name in curves} for title, names in _PANELS.items()
    }
    return {title: panel for title, panel in panels.items() if panel}


def _sample(batch: Mapping[str, Any], row: int) -> _Sample:
    sample: _Sample = {"index": int(batch[INDEX][row]), "image": batch[IMAGE][row, 0].float().cpu().numpy()}
    for key in (REPORT, VIEW, LABELS, MASKS, MASK_CONCEPTS):
        if key in batch:
            value = batch[key][row]
            sample[key] = value.cpu().numpy() if isinstance(value, Tensor) else value
    return sample


def _picture(sample: _Sample, names: Sequence[str]) -> PicturedPair:
    text = sample.get(REPORT)
    if text is None:
        present = np.flatnonzero(sample.get(LABELS, np.empty(0)) == 1)
        text = ", ".join(names[int(i)].replace("_", " ") for i in present) or "no label present"
    view = int(sample.get(VIEW, -1))
    title = f"sample {sample['index']}" + (f", {VIEWS[view]}" if view >= 0 else "")
    concepts = sample.get(MASK_CONCEPTS, ())
    masks = [(names[int(c)], mask) for c, mask in zip(concepts, sample.get(MASKS, ()), strict=False)]
    return PicturedPair(sample["image"], text, title, masks)
