"""Bad inputs: is the answer short, and does it say what is wrong, where, and what to do?

The inputs stand in `scripts/torture/bad_inputs/`: a file a kind, a line an input.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

from scripts.torture import bad_inputs as folder
from scripts.torture.bad_inputs.bad_input import BadInput
from scripts.torture.campaign import Campaign, Case, Outcome
from scripts.torture.process import Ended, run
from scripts.torture.samples import small_fit

MOST_LINES = 8
SHORT = 20  # attempts of the short version, of the command line and of YAML
REMEDY = re.compile(
    r"\b(give|use|write|correct|delete|remove|set|choose|must|expected|one of|there are|did you mean|install|"
    r"ask for|make|run|add|at least|at most|between|known|wanted|needs?|has to|have to|should|only|instead|"
    r"name|take|put|lower|raise|greater|positive|available|beside it|go back|download|loosen|rename|move|"
    r"leave|try|change|configure|train|fetch|embed|accepted|allowed|possible|"
    r"options|begin with|is not an?|is no)\b|[≥≤]",
    re.IGNORECASE,
)
NOISE = re.compile(
    r"^(Seed set|GPU available|TPU available|HPU available|💡|⚡|Using |`?Trainer|.*UserWarning|"
    r".*FutureWarning|"
    r".*DeprecationWarning|\s+(warnings\.warn|rank_zero_warn)|INFO|.*litlogger|.*wandb: )"
)
OWN = re.compile(
    r'File "[^"]*/((synthesis|datamodules|lightning_modules|callbacks|scripts|benchmarks)/|main\.py)'
)
FRAME = re.compile(r'^\s*File "([^"]+)", line \d+')
HARNESS = ("scripts/torture/", "<frozen")


class BadInputs(Campaign):
    """See the head of this file."""

    name = "bad_inputs"
    title = f"the answer is clear: at most {MOST_LINES} lines with key, file or row, the value and the remedy"
    survives = frozenset({"clear", "warned", "meant"})
    explained = frozenset({"meant"})
    least = 0.97
    never = frozenset({"obscure", "silent"})

    def prepare(self, directory: Path, short: bool) -> None:
        """Train what is tested with bad data."""
        if not short:
            ended = run(small_fit(directory), directory / "fit.txt")
            if ended.code:
                raise RuntimeError(ended.output[-2000:])

    def cases(self, directory: Path, short: bool) -> Iterator[Case]:
        """Yield the inputs of all tables."""
        inputs = list(known_inputs())
        for entry in inputs[:: max(1, len(inputs) // SHORT)] if short else inputs:
            if not short or entry.name.startswith(("cli", "yaml")):
                yield Case(entry.name, partial(attempt, entry, directory), seconds=90)

    def sabotage(self) -> None:
        """Let the command line fail as Python does."""
        import main

        main.command = main.main  # type: ignore[assignment]


def known_inputs() -> Iterator[BadInput]:
    """Yield the inputs of every file in the folder of tables."""
    for module in pkgutil.iter_modules(folder.__path__):
        found = import_module(f"{folder.__name__}.{module.name}")
        if hasattr(found, "inputs"):
            yield from found.inputs()


def attempt(entry: BadInput, shared: Path, directory: Path) -> Outcome:
    """Give a bad input and class the answer."""
    ended = run(entry.words(directory, shared), directory / "answer.txt", seconds=80, memory=16 << 30)
    return classed(entry, ended)


def classed(entry: BadInput, ended: Ended) -> Outcome:
    """Return the class of an answer.

    Returns:
        ``clear``, ``warned`` (accepted, and a warning names what is wrong), ``meant`` (accepted, with a
        reason), ``silent`` (accepted without a word), ``buried`` (the right words in too many lines),
        ``vague`` (short, but it does not name all) or ``obscure`` (a library's traceback, or death).
    """
    text = ended.output.replace("\\n", "\n")
    lines = [line for line in text.splitlines() if line.strip() and not NOISE.match(line)]
    shown = " / ".join(lines[-MOST_LINES:])[-600:]
    missing = [name for name in entry.names if not says(name, text)]
    if ended.code == 0:
        warned = bool(entry.names) and not missing and "arning" in ended.output
        if warned:
            return Outcome("warned", shown)
        return Outcome("meant", entry.meant) if entry.meant else Outcome("silent", shown)
    if ended.code < 0:
        return Outcome("obscure", f"ended by signal {-ended.code}: {shown}")
    frames = [frame for line in lines if (frame := FRAME.match(line)) and not any(h in line for h in HARNESS)]
    traceback = any(line.startswith("Traceback") for line in lines)
    clear = not missing and bool(REMEDY.search(text))
    if traceback:
        own = bool(frames) and bool(OWN.match(frames[-1].group().strip()))
        return Outcome(
            "buried" if clear or own else "obscure", f"missing {missing}; {shown}" if missing else shown
        )
    if len(lines) > MOST_LINES:
        return Outcome("buried" if clear else "obscure", f"{len(lines)} lines, missing {missing}: {shown}")
    if not clear:
        return Outcome("vague", f"missing {missing or 'a remedy'}: {shown}")
    return Outcome("clear", shown)


def says(name: str, text: str) -> bool:
    """Return whether a text has a name, or one of several divided by ``|``, in any case of letters."""
    return any(part.lower() in text.lower() for part in name.split("|"))
