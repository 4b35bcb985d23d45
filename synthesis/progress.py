"""How far long work is: a bar in a terminal, plain lines in a log."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, Self, TypeVar

EVERY = 25.0
"""Seconds between two lines in a log: something is written at least every half minute."""

T = TypeVar("T")


class Lines:
    """Writes a line every `EVERY` seconds while it is entered, whether the work says something or not.

    Set the attributes while the work goes on; the lines come from a thread.

    Args:
        what: What is being done.
        total: How much there is to do; None if nobody knows.
        unit: Of what, for the rate: "pairs".

    Attributes:
        what: As above.
        done: How much of `total` is done.
        total: As above.
        unit: As above.
        since: When this part of the work began, by `time.monotonic`.
    """

    def __init__(self, what: str, total: float | None = None, unit: str = "") -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.begin(what, total, unit)

    def begin(self, what: str, total: float | None = None, unit: str = "") -> None:
        """Go on to other work: the clock starts again."""
        self.what, self.total, self.unit = what, total, unit
        self.done, self.since = 0.0, time.monotonic()

    def __enter__(self) -> Self:
        """Start the thread."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, daemon=True, name="progress lines")
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            write_line(self.line())

    def line(self) -> str:
        """Return what is done, the rate and the time left."""
        spent = max(time.monotonic() - self.since, 1e-9)
        unit = f" {self.unit}" if self.unit else ""
        if not self.total:
            return (
                f"{self.what}: {self.done:,.0f}{unit}, {duration(spent)}"
                if self.done
                else (f"{self.what}: {duration(spent)} so far")
            )
        said = f"{self.what}: {self.done:,.0f} of {self.total:,.0f}{unit}"
        if not self.done:
            return f"{said}, {duration(spent)} so far"
        rate = self.done / spent
        left = max(self.total - self.done, 0) / rate
        return f"{said}, {rate:.{0 if rate >= 10 else 2}f}{unit}/s, {duration(left)} left"


class Progress:
    """A bar where standard output is a terminal, `Lines` where it is not.

    Args:
        what: What is being done.
        total: How much there is to do; None if nobody knows.
        unit: Of what, for the rate: "pairs".
        shown: False shows nothing at all.
        transient: Whether the bar goes when the work is done.
    """

    def __init__(
        self, what: str, total: float | None, unit: str = "", shown: bool = True, transient: bool = False
    ) -> None:
        self._unit = unit
        self._bar: Any = None
        self._lines: Lines | None = None
        if shown and not is_terminal():
            self._lines = Lines(what, total, unit)
        elif shown:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            columns: tuple[Any, ...] = (
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
            )  # fmt: skip
            self._bar = RichProgress(*columns, transient=transient)
            self._task = self._bar.add_task(what, total=total, rate="")

    def __enter__(self) -> Self:
        """Show it."""
        for part in (self._bar, self._lines):
            if part is not None:
                part.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Take it away."""
        for part in (self._bar, self._lines):
            if part is not None:
                part.__exit__(*error)

    def advance(self, amount: float = 1) -> None:
        """Say that so much more is done."""
        if self._lines is not None:
            self._lines.done += amount
        if self._bar is not None:
            self._bar.update(self._task, advance=amount)
            task = self._bar.tasks[self._task]
            speed = task.finished_speed or task.speed
            unit = f" {self._unit}/s" if self._unit else "/s"
            self._bar.update(self._task, rate=f"{speed:.{0 if speed >= 10 else 2}f}{unit}" if speed else "")


def track(
    items: Iterable[T], description: str, total: float | None = None, transient: bool = False
) -> Iterator[T]:
    """Yield the items and show how many have been taken.

    Args:
        items: What is gone through.
        description: What is being done.
        total: How many there are, if they do not know it themselves.
        transient: Whether the bar goes when the work is done.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(description, total, transient=transient) as progress:
        for item in items:
            yield item
            progress.advance()


def is_terminal() -> bool:
    """Return whether rich would draw on standard output."""
    from rich.console import Console

    return Console().is_terminal


def write_line(text: str) -> None:
    """Write a line to standard output at once, past Python's buffer, which a fork might find locked."""
    try:
        os.write(sys.stdout.fileno(), f"{text}\n".encode())
    except (OSError, ValueError):  # a notebook, a captured stream
        print(text, flush=True)


def duration(seconds: float) -> str:
    """Return a time as people say it: "40 s", "14 min", "2 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
