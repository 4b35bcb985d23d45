"""Bad inputs: is the answer short, and does it say what is wrong, where, and what to do?

The inputs stand in `scripts/torture/bad_inputs/`: a file a kind, a line an input.

An answer is *clear* if a person who reads it knows

- where: the key or the option, or the file and its row or line;
- what was given there: the value, also beside a path;
- what to give instead: an instruction (``give 0 or more``), a range or a list of what there is, the type that
  is wanted, or the name that was probably meant.

The first two are the `names` of an input: each has to stand in the answer as a word or number of its own.
Names of the attempt's directory do not count, so that a digit of a path is no value; nor does what was
printed before the error. ``--help``, a list of all options, and how to see the traceback are no remedy, nor
is the bare statement that something is wrong. An exception that nobody wrote for a reader (``error: KeyError:
…``) is obscure unless it says all of that. Lines are those of the whole output, without the
greetings of the libraries.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator, Sequence
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
_VERBS = (
    "add|ask|break|build|change|check|choose|configure|convert|copy|correct|cut|delete|download|embed|extend|"
    "fetch|fill|free|give|go|install|keep|leave|list|load|look|loosen|lower|make|monitor|move|name|open|pick|pip|"
    "predict|put|raise|rebuild|remove|rename|run|save|say|set|start|switch|take|train|try|unpack|use|write"
)
_TYPES = (
    "a whole number|a finite number|true or false|text|null|a list|a mapping|a path|a time|one of|a number"
)
REMEDY = re.compile(
    rf"(^\s*|[.;:,(–-]\s+|\b(or|and|then|so|please)\s+)({_VERBS})\s+\S|"  # an instruction
    r"\bmust (not )?(be|have|hold|lie|name|stand|sum|begin|end)\b|\b(has|have) to\b|\bshould be\b|"
    r"\bneeds? (a|an|at|one|two|it|them|the|\d+)\b|\bat (least|most) \S|\bbetween \S|"
    r"\bfrom -?[\d.]+ to\b|[≥≤]|\bone of\b|\b(there|known|they|options) are\b|\bchoose from\b|"
    r"\b(allowed|available|supported|possible) .*(:|\bare\b)|\bcan only be\b|"
    r"\bdid you mean\b|\bare required: |\bexpected (one|at|\d)|\binvalid (int|float) value\b|"
    rf"\bis (not|neither) ({_TYPES})",
    re.IGNORECASE | re.MULTILINE,
)
POINTER = re.compile(
    r"^\s*(its options|all options|all classes|usage): |SYNVLP_DEBUG|JSONARGPARSE_DEBUG|--help\b"
)
UNMEANT = re.compile(r"^(error: )?[\w.]*(Error|Exception|Interrupt)\b|^\s+at \S+\.py:\d+, in ", re.MULTILINE)
WARNING = re.compile(r"arning|\.py:\d+: |rows that are kept|: says that nothing was found")
NOISE = re.compile(
    r"^(Seed set|GPU available|TPU available|HPU available|💡|⚡|Using |`?Trainer|.*UserWarning|"
    r".*FutureWarning|"
    r".*DeprecationWarning|\s+(warnings\.warn|rank_zero_warn)|INFO|.*litlogger|.*wandb: )"
)


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
    return classed(entry, ended, directory)


def classed(entry: BadInput, ended: Ended, directory: Path | None = None) -> Outcome:
    """Return the class of an answer.

    Args:
        entry: What was given.
        ended: The process that was given it.
        directory: Of the attempt: its name is no part of the answer.

    Returns:
        ``clear``, ``warned`` (accepted, and a warning names what is wrong), ``meant`` (accepted, with a
        reason), ``silent`` (accepted without a word), ``buried`` (clear, but in too many lines or under a
        traceback), ``vague`` (short, written for a reader, and something is missing) or ``obscure`` (a
        library's words, or death).
    """
    text = ended.output.replace("\\n", "\n")
    if directory is not None:
        text = text.replace(str(directory), "…")
    lines = [line for line in text.splitlines() if line.strip() and not NOISE.match(line)]
    shown = " / ".join(lines[-MOST_LINES:])[-600:]
    if ended.code == 0:
        warnings = "\n".join(line for line in text.splitlines() if WARNING.search(line))
        if entry.names and not missing(entry, warnings):
            return Outcome("warned", shown)
        return Outcome("meant", entry.meant) if entry.meant else Outcome("silent", shown)
    if ended.code < 0:
        return Outcome("obscure", f"ended by signal {-ended.code}: {shown}")
    answer = said(lines)
    lacking = missing(entry, answer)
    if not any(REMEDY.search(line) for line in answer.splitlines() if not POINTER.search(line)):
        lacking.append("a remedy")
    traceback = any(line.startswith("Traceback") for line in lines)
    if lacking:
        own = not traceback and not UNMEANT.search(answer) and len(lines) <= MOST_LINES
        return Outcome("vague" if own else "obscure", f"missing {lacking}: {shown}")
    if traceback or len(lines) > MOST_LINES:
        return Outcome("buried", f"{len(lines)} lines: {shown}")
    return Outcome("clear", shown)


def said(lines: Sequence[str]) -> str:
    """Return the answer: the lines from the last one on that says ``error:``, or all."""
    starts = [number for number, line in enumerate(lines) if re.match(r"(\S+: )?error: ", line)]
    return "\n".join(lines[starts[-1] if starts else 0 :])


def missing(entry: BadInput, text: str) -> list[str]:
    """Return the names of an input that a text does not say."""
    return [name for name in entry.names if not says(name, text)]


def says(name: str, text: str) -> bool:
    """Return whether a text has a name as a word or number of its own, in any case of letters.

    Args:
        name: Or several divided by ``|``, any of which will do.
        text: Of the answer. Numbers may be written with separators, and whole ones with a zero after a point.
    """
    text = re.sub(r"(?<=\d)[,_](?=\d{3}(?!\d))", "", text)
    return any(_word(part).search(text) is not None for part in name.split("|"))


def _word(part: str) -> re.Pattern[str]:
    number = re.fullmatch(r"-?\d+(\.\d+)?", part)
    before = r"(?<![\w.-])" if number else r"(?<!\w)" if re.match(r"\w", part) else ""
    zero = r"(\.0+)?(?!\.?\d)" if number else ""
    after = r"(?!\w)" if re.search(r"\w$", part) else ""
    return re.compile(f"{before}{re.escape(part)}{zero}{after}", re.IGNORECASE)
