"""What a campaign is: many attempts to lose, damage or mislead something, each with a verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        verdict: A word; those in `Campaign.survives` are good.
        detail: What was seen, in a line or two; the answer of the program where that is what is judged.
    """

    verdict: str
    detail: str = ""


@dataclass(frozen=True)
class Case:
    """One attempt.

    Attributes:
        name: Of the attempt, unlike any other of its campaign.
        run: Makes the attempt: called in a process of its own with an empty directory.
        seconds: After which it is killed, and has the verdict ``hung``.
        processes: How many of the machine's cores it keeps busy.
    """

    name: str
    run: Callable[[Path], Outcome]
    seconds: float = 180.0
    processes: int = 1


class Campaign(ABC):
    """Attempts of one kind. A new one is a new file in `scripts/torture/campaigns/`.

    Attributes:
        name: A word, for the command line.
        title: What is tried, for the table.
        survives: The verdicts that are good.
        explained: The good verdicts whose detail is a reason; the table lists them.
        least: Share of the attempts that have to be good.
        never: The verdicts that fail the campaign at once.
        seconds: Longest that `prepare` may take.
        quick: Whether it has a short version.
    """

    name: str
    title: str
    survives: frozenset[str] = frozenset({"survived"})
    explained: frozenset[str] = frozenset()
    least: float = 1.0
    never: frozenset[str] = frozenset({"not prepared"})
    seconds: float = 600.0
    quick: bool = True

    def prepare(self, directory: Path, short: bool) -> None:  # noqa: B027  most have nothing to prepare
        """Make what the attempts share; called once, in a process of its own.

        Args:
            directory: Of the campaign, empty.
            short: Whether only what the short version needs is made.
        """

    @abstractmethod
    def cases(self, directory: Path, short: bool) -> Iterator[Case]:
        """Yield the attempts, always the same ones.

        Args:
            directory: Where `prepare` has left what it made.
            short: Whether only a few are wanted, which take seconds.
        """

    @abstractmethod
    def sabotage(self) -> None:
        """Take away, in this process, what the attempts are survived by.

        `--sabotage` calls it: a campaign whose attempts then are all survived shows nothing.
        """
