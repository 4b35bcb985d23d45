"""How samples are put into batches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoaderOptions:
    """How samples are put into batches: the same options for any data.

    Attributes:
        batch_size: Training samples of one rank in a step.
        eval_batch_size: Evaluation samples of one rank in a step; None takes ``batch_size``. No result
            depends on it.
        epoch_size: Training samples of an epoch over all ranks: a seeded permutation of all samples is walked
            so many at a time. None takes all.
        num_workers: Processes that make batches, a loader; 0 makes them in the training process.
        seed: Seed of order, augmentation and text views; of made pairs, the seed of the pairs too.
        echo: How often an epoch shows each of its training samples, see `EpochSampler`.
        label_fraction: Share of the training patients that are trained on, in (0, 1]: 0.01, 0.1 and 1 are
            usual. A smaller share is a subset of a larger one; other seeds choose others. An epoch has as
            many samples as with all, for curves over labels at equal steps. Evaluation keeps all.
        ahead: Make the next batch in a thread of the training process while the step of this one runs: for
            pairs that are drawn on a GPU, with ``num_workers`` 0.
    """

    batch_size: int = 64
    eval_batch_size: int | None = None
    epoch_size: int | None = None
    num_workers: int = 0
    seed: int = 0
    echo: int = 1
    label_fraction: float = 1.0
    ahead: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes and shares that make no sense."""
        for name in ("batch_size", "eval_batch_size", "epoch_size", "echo"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"loader.{name}={size}: give 1 or more.")
        if self.num_workers < 0 or self.seed < 0:
            raise ValueError(
                f"loader.num_workers={self.num_workers}, loader.seed={self.seed}: give both 0 or more."
            )
        if self.ahead and self.num_workers:
            raise ValueError(
                f"loader.ahead with loader.num_workers={self.num_workers}: workers make batches ahead; "
                "leave one of them out."
            )
        if not 0 < self.label_fraction <= 1:
            raise ValueError(
                f"loader.label_fraction={self.label_fraction}: give a share of the patients in (0, 1]."
            )

    @property
    def evaluated_at_once(self) -> int:
        """Evaluation samples of one rank in a step."""
        return self.batch_size if self.eval_batch_size is None else self.eval_batch_size
