"""The rows of `make bench`: what is compared with what, and the figures of both from one run."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

NOT_INSTALLED = "not installed"
"""What stands in place of a peer's version and figures where the package is not there."""


@dataclass(frozen=True)
class Spread:
    """A figure over the turns of one run.

    Attributes:
        median: Of the turns.
        least: Of the turns.
        most: Of the turns.
    """

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return the spread of some values, at least one."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        """Median and range, such as "2.1 [2.0, 2.3]"."""
        return f"{_figure(self.median)} [{_figure(self.least)}, {_figure(self.most)}]"


@dataclass(frozen=True)
class Cost:
    """What one turn of a work took.

    Attributes:
        cpu: Seconds of all threads of this process and of its children that have ended.
        wall: Seconds on the clock.
    """

    cpu: float
    wall: float


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        what: What is measured, in words that stand alone.
        peer: What it is compared with; "–" where there is nothing.
        version: Of the peer; `NOT_INSTALLED` where it is not there.
        unit: Of ``ours`` and ``theirs``.
        ours: Our figure.
        theirs: The peer's; None where there is none.
        ratio: How many times better ours is, of turns that were neighbours; None without a peer.
        goal: What is aimed at, such as "≥ 2 ×".
        clock: "CPU" or "wall": the seconds that the figures are of.
        wall: The ratio by the other clock, the seconds on the wall; None where ``clock`` is that.
        note: What else there is to know: sizes, settings, the floor below a missed goal.
    """

    what: str
    peer: str
    version: str
    unit: str
    ours: Spread
    theirs: Spread | None
    ratio: Spread | None
    goal: str
    clock: str = "CPU"
    wall: Spread | None = None
    note: str = ""


def installed(package: str) -> str | None:
    """Return the version of a distribution, None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cost(work: Callable[[], object]) -> Cost:
    """Do a work and return what it took."""
    cpu, wall = _cpu(), time.perf_counter()
    work()
    return Cost(_cpu() - cpu, time.perf_counter() - wall)


def in_turns(turns: int, works: Mapping[str, Callable[[], object]]) -> dict[str, list[Cost]]:
    """Return what each turn of each work took, in ABBA order: A B, then B A, and so on.

    So whatever slows a machine down for a while hits all works, and a drift hits them alike.

    Args:
        turns: Timed turns of each, ≥ 1; a turn before the first is not timed.
        works: What to do, by name.
    """
    found: dict[str, list[Cost]] = {name: [] for name in works}
    for turn in range(turns + 1):
        names = list(works) if turn % 2 else list(works)[::-1]
        for name in names:
            spent = cost(works[name])
            if turn:
                found[name].append(spent)
    return found


def compared(
    what: str,
    peer: str,
    package: str | None,
    costs: Mapping[str, list[Cost]],
    amount: float,
    unit: str,
    goal: str,
    *,
    clock: str = "CPU",
    note: str = "",
) -> Row:
    """Return the row of what `in_turns` found: speeds, and how many times faster ours is.

    Args:
        what: What is measured.
        peer: What it is compared with.
        package: Distribution whose version stands beside the peer; None takes our own.
        costs: ``ours``, and ``theirs`` where the peer is installed.
        amount: How much of ``unit`` a turn does; both speeds are amount / seconds.
        unit: Such as "pairs/s".
        goal: What is aimed at.
        clock: Which seconds count.
        note: What else there is to know.
    """

    def seconds(turn: Cost, by: str) -> float:
        return turn.cpu if by == "CPU" else turn.wall

    def ratio(by: str) -> Spread:
        pairs = zip(costs["ours"], costs["theirs"], strict=True)
        return Spread.of([seconds(theirs, by) / seconds(ours, by) for ours, theirs in pairs])

    def speed(name: str) -> Spread:
        return Spread.of([amount / seconds(turn, clock) for turn in costs[name]])

    there = "theirs" in costs
    return Row(
        what=what,
        peer=peer,
        version=(installed(package or "synvlp") or NOT_INSTALLED),
        unit=unit,
        ours=speed("ours"),
        theirs=speed("theirs") if there else None,
        ratio=ratio(clock) if there else None,
        goal=goal,
        clock=clock,
        wall=ratio("wall") if there and clock == "CPU" else None,
        note=note,
    )


def _cpu() -> float:
    """Return the seconds that this process and its ended children have computed."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def _figure(value: float) -> str:
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return digits


def as_json(row: Row) -> dict[str, Any]:
    """Return a row as JSON-able values."""
    from dataclasses import asdict

    return asdict(row)
