"""What the filters share that ask how much an image looks like a chest."""

from __future__ import annotations

import math
from typing import Any

from synthesis.filters.appearance import appearance
from synthesis.filters.measured_filter import MeasuredFilter


class AppearanceFilter(MeasuredFilter):
    """A measure of `Appearance`, held against limits.

    Args:
        least: Lowest value allowed.
        most: Highest value allowed.
        components: File of `Appearance`; None takes the one shipped.
    """

    def __init__(
        self, least: float = -math.inf, most: float = math.inf, components: str | None = None
    ) -> None:
        super().__init__(least, most)
        self.components = components
        appearance(components)  # a missing file is named now, not in a worker

    def describe(self) -> dict[str, Any]:
        """Everything the decision depends on."""
        return {**super().describe(), "components_sha256": appearance(self.components).sha256}
