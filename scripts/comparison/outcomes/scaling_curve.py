"""What a scaling curve is made of: arms that differ in their number of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthesis.strict_yaml import Entry


@dataclass(frozen=True)
class ScalingCurve:
    """A curve of error over size, as the comparison's YAML declares it.

    Attributes:
        metric: The column. Its error is 1 less the figure where more is better, else the figure.
        sizes: Name of the arm → how many pairs it has, as a text that may hold the comparison's variables.
        reach: An arm whose error the curve is to reach; empty for none.
        reach_size: How many pairs that arm has.
        unit: What is counted.
    """

    metric: str
    sizes: Mapping[str, str]
    reach: str = ""
    reach_size: str = ""
    unit: str = "pairs"

    @classmethod
    def read(cls, inner: Entry, arms: Sequence[str], columns: Sequence[str]) -> list[ScalingCurve]:
        """Read one entry of ``scaling``: a curve for each of its metrics.

        Args:
            inner: ``metrics``, ``sizes`` and, as far as wanted, ``reach`` and ``unit``.
            arms: The lines of the table.
            columns: The comparison's metrics.

        Raises:
            YamlError: Naming key, value and remedy.
        """
        metrics = inner.texts("metrics", columns, least=1)
        sizes = _sizes(inner, "sizes", arms)
        reach = _sizes(inner, "reach", arms) if "reach" in inner.keys() else {}
        if len(reach) > 1:
            raise inner.error("reach", list(reach), "are several arms; name the one that is to be reached.")
        name, size = next(iter(reach.items()), ("", ""))
        unit = inner.text("unit") if "unit" in inner.keys() else cls.unit
        inner.close()
        return [cls(metric, sizes, name, size, unit) for metric in metrics]


def _sizes(inner: Entry, key: str, arms: Sequence[str]) -> dict[str, str]:
    entry = inner.entry(key)
    sizes = {name: entry.text(name) for name in list(entry.keys())}
    for name in sizes:
        if name not in arms:
            raise inner.error(key, name, f"is no arm; name some of {', '.join(arms)}.")
    if not sizes:
        raise inner.error(key, {}, 'is empty; write `arm: "number of pairs"` lines.')
    return sizes
