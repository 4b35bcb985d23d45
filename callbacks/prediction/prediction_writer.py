"""Writing what a dual encoder says of images: scores, embeddings, nearest reports, similarity maps."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from callbacks.base.files import written_whole
from callbacks.base.progress_lines import ProgressLines
from callbacks.base.run_directory import run_directory
from callbacks.evaluations.zero_shot_prompts import prompts_sha256
from callbacks.prediction.map_drawer import MapDrawer
from callbacks.prediction.prediction_parts import INDEX, PredictionParts
from callbacks.prediction.prediction_results import (
    EMBEDDING,
    IMAGE,
    KIND,
    NEAREST,
    REASON,
    SCORES,
    SIMILARITY,
    PredictionCounts,
    PredictionResults,
)
from callbacks.prediction.prompt_scorer import AskedPrompts, PromptScorer, warn_of_unknown_words
from datamodules.batch import FAULTS, NamedImages, data_facts
from lightning_modules.evaluation_output import EvaluationOutput


class PredictionWriter(BasePredictionWriter):
    """Writes predictions into the run's directory: each process its part, rank zero the whole.

    Rows are in the order of the input; memory holds a batch, whatever the number of images.

    - ``scores.csv``, ``scores.parquet``: a row an image, a column a concept or prompt: the image's cosine
      with the "present" prompts minus that with the "absent" ones, as `callbacks.ZeroShot` has it, in
      [-2, 2].
    - ``probabilities.csv``, ``probabilities.parquet``: a softmax over the two cosines at the model's
      temperature, in [0, 1], as in CheXzero (Tiu et al. 2022, doi:10.1038/s41551-022-00936-9). They order
      images as the scores do. They are not calibrated: 0.7 does not mean that seven of ten such patients have
      it.
    - ``nearest.csv``, ``nearest.parquet``, where the data have candidate reports: those most similar to each
      image.
    - ``embeddings.npz`` (``image``, ``embedding``), ``embeddings.parquet``, if asked for: unit vectors.
    - ``maps/<concept>/<image>.png``, if asked for: see `MapDrawer`.
    - ``bad_files.csv``: what could not be read, with kind and reason.
    - ``prediction.json``: counts, images a second, prompts and their SHA-256.

    Args:
        concepts: Catalogue concepts to score; None takes all, or none where there are own prompts.
        prompts: Own prompts: see `own_prompts`.
        templates: What own prompts are put into.
        catalogue: YAML file of prompts for the catalogue's concepts; None takes the catalogue's own.
        maps: Concepts or own prompts of which maps are drawn, one file an image.
        map_size: Side of a map, px.
        embeddings: How embeddings are written, if at all.
        nearest: How many reports are named an image.

    Raises:
        ValueError: If a number makes no sense.
    """

    def __init__(
        self,
        concepts: list[str] | None = None,
        prompts: list[str] | None = None,
        templates: str = "configs/prompts/zero_shot/chexzero.yaml",
        catalogue: str | None = None,
        maps: list[str] | None = None,
        map_size: int = 512,
        embeddings: list[Literal["npz", "parquet"]] | None = None,
        nearest: int = 5,
    ) -> None:
        super().__init__("batch")
        if nearest < 1 or map_size < 32:
            raise ValueError(
                f"nearest={nearest}, map_size={map_size}: name one report or more, and draw 32 px or more"
            )
        self.asked = AskedPrompts(concepts, prompts or (), templates, catalogue, maps or ())
        self.map_size = map_size
        self.embeddings = tuple(embeddings or ())
        self.nearest = nearest

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Encode prompts and candidate reports, and open this process's part.

        Raises:
            TypeError: If the model does not compare images with texts, or the data do not name images.
            ValueError: If a concept is unknown, or two names are alike.
        """
        if not hasattr(pl_module, "encode_text"):
            raise TypeError(
                f"{type(pl_module).__name__} does not compare images with texts: predict with a DualEncoder "
                "or a TrainedEncoder"
            )
        self._images: NamedImages = named_images(trainer)
        self._directory = run_directory(trainer) or Path(trainer.default_root_dir)
        facts = data_facts(trainer)
        self._prompts, mapped = self.asked.prompts(facts)
        own = [name for name in self._prompts if name not in facts.concept_names]
        warn_of_unknown_words(pl_module, own)
        self._scorer = PromptScorer(pl_module, self._prompts)
        self._mapped = PromptScorer(pl_module, mapped)
        self._drawer = MapDrawer(self._directory / "maps", self._mapped, self._images, self.map_size)
        self._reports = list(self._images.candidate_reports())
        encoded = pl_module.encode_text(self._reports) if self._reports else torch.empty(0)  # type: ignore[operator]
        self._report_vectors = encoded.detach().float().cpu()
        parts = self._directory / "parts"
        self._parts = [parts / f"rank-{rank}.arrow" for rank in range(trainer.world_size)]
        width = int(pl_module.image_encoder.projection_dim)  # type: ignore[union-attr,arg-type]
        self._part = PredictionParts(self._parts[trainer.global_rank], self._schema(width))
        self._started = time.perf_counter()
        share = self._images.image_count() // trainer.world_size
        self._progress = ProgressLines(share, "images")

    def write_on_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the rows of a batch, and draw its maps.

        Raises:
            TypeError: If the prediction step returned something else than features with an index.
        """
        if not isinstance(prediction, EvaluationOutput) or prediction.index is None:
            raise TypeError(
                f"the prediction step of {type(pl_module).__name__} returned no EvaluationOutput with an "
                "index: predict with a DualEncoder or a TrainedEncoder"
            )
        indices = [int(index) for index in prediction.index]
        faults = batch.get(FAULTS) or [None] * len(indices)
        vectors = prediction.image.detach().float().cpu()
        rows: dict[str, Any] = {
            INDEX: indices,
            IMAGE: [self._images.image_name(index) for index in indices],
            KIND: [fault and fault[0] for fault in faults],
            REASON: [fault and fault[1] for fault in faults],
            SCORES: self._scorer.scores(vectors).numpy(),
            EMBEDDING: vectors.numpy(),
            **self._nearest(vectors),
        }
        self._part.write(rows)
        drawn = [index if fault is None else -1 for index, fault in zip(indices, faults, strict=True)]
        if self._mapped.names and max(drawn) >= 0:
            self._drawer.draw(pl_module, batch, drawn, self._mapped.scores(vectors))
        if trainer.is_global_zero:
            self._progress.advance(len(indices))

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the parts together, on rank zero."""
        self._part.close()
        trainer.strategy.barrier("predictions are written")
        if trainer.is_global_zero:
            files = (self._directory, self._parts, self._scorer, self._reports, self.embeddings)
            counts = PredictionResults(*files, size=self._images.image_count()).write()
            shutil.rmtree(self._parts[0].parent)
            self._tell(counts, time.perf_counter() - self._started)
        trainer.strategy.barrier("predictions are merged")

    def _nearest(self, vectors: Tensor) -> dict[str, np.ndarray]:
        if not self._reports:
            return {}
        found = (vectors @ self._report_vectors.T).topk(min(self.nearest, len(self._reports)), dim=1)
        return {SIMILARITY: found.values.numpy(), NEAREST: found.indices.numpy().astype(np.int32)}

    def _schema(self, width: int) -> Any:
        import pyarrow as pa

        fields = [(INDEX, pa.int64()), *((name, pa.string()) for name in (IMAGE, KIND, REASON))]
        fields += [(SCORES, pa.list_(pa.float32(), len(self._scorer.names)))]
        fields += [(EMBEDDING, pa.list_(pa.float32(), width))]
        if self._reports:
            each = min(self.nearest, len(self._reports))
            fields += [(SIMILARITY, pa.list_(pa.float32(), each)), (NEAREST, pa.list_(pa.int32(), each))]
        return pa.schema(fields, {"images": self._images.images_sha256()})

    def _tell(self, counts: PredictionCounts, seconds: float) -> None:
        total = counts.predicted + counts.bad.total()
        facts = {
            "images": counts.predicted,
            "bad_files": dict(counts.bad),
            "images_per_second": round(total / seconds, 2),
            "temperature": self._scorer.temperature,
            "score": "cosine with the present prompts minus cosine with the absent ones",
            "probability": "1 / (1 + exp(-score / temperature)), not calibrated",
            "prompts": self._prompts,
            "prompts_sha256": prompts_sha256(self._prompts),
            "candidate_reports": len(self._reports),
            "maps": self._mapped.names,
        }
        with written_whole(self._directory / "prediction.json") as partial:
            partial.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", "utf-8")
        print(
            f"{counts.predicted:,} images predicted in {seconds:.1f} s, {total / seconds:,.1f} images/s "
            f"→ {self._directory}"
        )
        if not counts.predicted:
            raise ValueError(
                f"no image was predicted: none of {total:,} files can be used; correct those "
                "that are listed in "
                f"{self._directory / 'bad_files.csv'}, or name other images. "
                f"{counts.first_bad[0][1] if counts.first_bad else ''}"
            )
        if counts.bad:
            kinds = ", ".join(f"{kind} {n:,}" for kind, n in counts.bad.most_common())
            print(f"{counts.bad.total():,} files could not be used ({kinds}); all are in bad_files.csv:")
            print("\n".join(f"  {reason}" for _, reason in counts.first_bad))


def named_images(trainer: L.Trainer) -> NamedImages:
    """Return what a trainer's data module says of its images.

    Raises:
        TypeError: If it does not name them.
    """
    datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(datamodule, NamedImages):
        raise TypeError(
            f"{type(datamodule).__name__} does not name its images (datamodules.batch.NamedImages): predict "
            "on datamodules.UnlabelledImages"
        )
    return datamodule
