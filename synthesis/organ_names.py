"""The organs whose masks are known."""

from __future__ import annotations

ORGANS = (
    "right_lung",
    "left_lung",
    "heart",
    "ribs",
    "right_upper_zone",
    "right_mid_zone",
    "right_lower_zone",
    "left_upper_zone",
    "left_mid_zone",
    "left_lower_zone",
)
"""Names of the organs and of the zones of the lungs, in the order of their masks."""
