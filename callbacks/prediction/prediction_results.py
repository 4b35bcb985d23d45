"""From the parts of all processes to the files that predictions end in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from callbacks.prediction.prediction_files import PredictionTable, write_npz
from callbacks.prediction.prediction_parts import merged
from callbacks.prediction.prompt_scorer import PromptScorer

if TYPE_CHECKING:
    import pyarrow as pa

IMAGE, KIND, REASON = "image", "kind", "reason"
SCORES, EMBEDDING, SIMILARITY, NEAREST = "scores", "embedding", "similarity", "nearest"


@dataclass
class PredictionCounts:
    """What became of the images.

    Attributes:
        predicted: Images with predictions.
        bad: Kind of fault → images.
        first_bad: Names and reasons of the first bad images.
        longest_name: Of the predicted images, in characters.
    """

    predicted: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    first_bad: list[tuple[str, str]] = field(default_factory=list)
    longest_name: int = 1


@dataclass(frozen=True)
class PredictionResults:
    """Writes the final files, a batch at a time.

    Attributes:
        directory: Where they go.
        parts: The parts of all processes.
        scorer: What scores are of.
        reports: Candidate reports.
        embeddings: "npz", "parquet" or both; none for no embeddings.
        size: Number of images there have to be; None if it is not known.
    """

    directory: Path
    parts: Sequence[Path]
    scorer: PromptScorer
    reports: Sequence[str]
    embeddings: Sequence[str]
    size: int | None

    def write(self) -> PredictionCounts:
        """Write all files and count.

        Raises:
            RuntimeError: If parts are missing or do not fit together.
        """
        counts = PredictionCounts()
        with ExitStack() as stack:
            tables = {name: stack.enter_context(table) for name, table in self._tables().items()}
            for rows in merged(self.parts, self.size):
                self._count(counts, rows)
                bad = rows[KIND].is_valid()
                tables["bad_files"].write([rows.filter(bad)[name] for name in (IMAGE, KIND, REASON)])
                good = rows.filter(rows[KIND].is_null())
                if len(good):
                    self._write_good(tables, good)
        if "npz" in self.embeddings:
            self._write_npz(counts)
        return counts

    def _tables(self) -> dict[str, PredictionTable]:
        import pyarrow as pa

        text, number = pa.string(), pa.float32()
        scores = pa.schema([(IMAGE, text), *((name, number) for name in self.scorer.names)])
        tables = {
            "bad_files": PredictionTable(
                self.directory / "bad_files",
                pa.schema([(name, text) for name in (IMAGE, KIND, REASON)]),
                ["csv"],
            )
        }
        if self.scorer.names:
            tables |= {
                name: PredictionTable(self.directory / name, scores) for name in ("scores", "probabilities")
            }
        if self.reports:
            nearest = pa.schema(
                [(IMAGE, text), ("rank", pa.int32()), ("similarity", number), ("report", text)]
            )
            tables[NEAREST] = PredictionTable(self.directory / NEAREST, nearest)
        return tables | self._embedding_table()

    def _embedding_table(self) -> dict[str, PredictionTable]:
        import pyarrow as pa

        if "parquet" not in self.embeddings:
            return {}
        kind = pa.ipc.open_stream(pa.memory_map(str(self.parts[0]))).schema.field(EMBEDDING).type
        schema = pa.schema([(IMAGE, pa.string()), (EMBEDDING, kind)])
        return {"embeddings": PredictionTable(self.directory / "embeddings", schema, ["parquet"])}

    def _write_good(self, tables: dict[str, PredictionTable], rows: pa.RecordBatch) -> None:
        import torch

        names = rows[IMAGE]
        if self.scorer.names:
            scores = torch.from_numpy(matrix(rows[SCORES]).copy())
            tables["scores"].write([names, *scores.numpy().T])
            tables["probabilities"].write([names, *self.scorer.probabilities(scores).numpy().T])
        if self.reports:
            similarity, found = matrix(rows[SIMILARITY]), matrix(rows[NEAREST])
            each = similarity.shape[1]
            tables[NEAREST].write(
                [
                    np.repeat(names.to_numpy(zero_copy_only=False), each),
                    np.tile(np.arange(1, each + 1, dtype=np.int32), len(names)),
                    similarity.ravel(),
                    [self.reports[i] for i in found.ravel()],
                ]
            )
        if "embeddings" in tables:
            tables["embeddings"].write([names, rows[EMBEDDING]])

    def _count(self, counts: PredictionCounts, rows: pa.RecordBatch) -> None:
        for name, kind, reason in zip(*(rows[c].to_pylist() for c in (IMAGE, KIND, REASON)), strict=True):
            if kind is None:
                counts.predicted += 1
                counts.longest_name = max(counts.longest_name, len(name))
                continue
            counts.bad[kind] += 1
            if len(counts.first_bad) < 10:
                counts.first_bad.append((name, reason))

    def _write_npz(self, counts: PredictionCounts) -> None:
        def good() -> Iterator[pa.RecordBatch]:
            return (rows.filter(rows[KIND].is_null()) for rows in merged(self.parts))

        width = self._width()
        names, vectors = np.dtype(f"<U{counts.longest_name}"), np.dtype("<f4")
        arrays: dict[str, Any] = {
            IMAGE: (
                (counts.predicted,),
                names,
                (np.array(rows[IMAGE].to_pylist(), names) for rows in good()),
            ),
            EMBEDDING: ((counts.predicted, width), vectors, (matrix(rows[EMBEDDING]) for rows in good())),
        }
        write_npz(self.directory / "embeddings.npz", arrays)

    def _width(self) -> int:
        import pyarrow as pa

        schema = pa.ipc.open_stream(pa.memory_map(str(self.parts[0]))).schema
        return int(schema.field(EMBEDDING).type.list_size)


def matrix(column: pa.Array) -> np.ndarray:
    """Return lists of a fixed size as an array ``(rows, size)``."""
    return np.asarray(column.flatten()).reshape(len(column), column.type.list_size)
