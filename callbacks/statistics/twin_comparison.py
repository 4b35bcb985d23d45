"""What a model makes of a pair and its counterfactual twin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TwinComparison:
    """What a model makes of a pair and its twin.

    Attributes:
        concept: The finding that the twin lacks, or shows otherwise, in label order; -1 where there is no
            twin.
        similarity: ``(2, 2)``: of the image (row 0) and its twin (row 1) to the report and to the twin's.
        images: The image and its twin ``(2, height, width)``, kept for the first samples alone.
        reports: Their reports, kept with the images.
    """

    concept: int
    similarity: np.ndarray
    images: np.ndarray | None = None
    reports: tuple[str, str] | None = None

    def right(self) -> np.ndarray:
        """Say whether each choice is right: of a report for both images, of an image for both reports.

        ``(4,)`` of 1, 0, and one half for a tie.
        """
        own, other = np.diag(self.similarity), np.array([self.similarity[0, 1], self.similarity[1, 0]])
        gain = np.concatenate([own - other, own - other[::-1]])
        return 0.5 * (1 + np.sign(gain))


def confusion(right: np.ndarray) -> list[list[float]]:
    """Return shares of choices: a row for the image shown, own and twin's, a column for the report chosen."""
    seen, missed = float(right[:, 0].mean()), float(right[:, 1].mean())
    return [[seen, 1 - seen], [1 - missed, missed]]
