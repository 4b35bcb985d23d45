"""What a user reads when a run fails: the cause in a few lines, the traceback with `SYNVLP_DEBUG=1`."""

from __future__ import annotations

import errno
import linecache
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException

ROOT = Path(__file__).resolve().parents[2]
DEBUG = "SYNVLP_DEBUG"
HINT = f"  {DEBUG}=1 shows the whole traceback"
LINES = 8
_WORKER = re.compile(r"Caught (\w+) in DataLoader worker process \d+\.\n(?P<trace>.*)", re.DOTALL)
_INTERNAL = re.compile(r"Given value type:|Does not validate against any of the Union")


def exit_code(program: Callable[[], object]) -> int:
    """Run a program and return its exit code; what ends it is answered on stderr in a few lines.

    Every program of this project ends with it: ``sys.exit(exit_code(main))``.

    Args:
        program: A number that it returns is the exit code, as far as nothing ends it before.

    Raises:
        Exception: Whatever ended the program, where tracebacks were asked for.
    """
    try:
        result = program()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except Exception as error:
        if debugging():
            raise
        sys.stderr.write(answered(error))
        return 1
    return result if isinstance(result, int) else 0


def debugging() -> bool:
    """Return whether tracebacks were asked for."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def answered(error: BaseException) -> str:
    """Return what is printed instead of a traceback.

    Args:
        error: What ended the run.

    Returns:
        The message alone where this project (or Lightning, of its configuration) refused something; type,
        message and the last line of this project otherwise.
    """
    cause = innermost(error)
    kind, message, place, meant = _described(cause)
    if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
        name = f" for {cause.filename}" if cause.filename else ""
        message, meant = f"no space left on the device{name}: free some, or give another --run_dir", True
    elif kind == "OutOfMemoryError":
        message = (
            f"out of memory on the GPU ({message.partition('. ')[0]}): lower data.init_args.loader.batch_size"
        )
        meant = True
    elif match := re.search(r"argument after \*\* must be a mapping, not (\w+)", message):
        message = f"a {match[1]} stands where options are meant; write a mapping: {{batch_size: 64}}"
        meant = True
    lines = [line.rstrip() for line in message.strip().splitlines() if line.strip()] or ["(no message)"]
    if len(lines) > LINES - 3:
        lines = [*lines[: LINES - 4], "…"]
    lines = [line if len(line) <= 600 else f"{line[:599]}…" for line in lines]
    first = lines[0] if meant else f"{kind}: {lines[0]}"
    where = [] if meant or place is None else [f"  at {place}"]
    return "\n".join([f"error: {first}", *lines[1:], *where, HINT, ""])


def innermost(error: BaseException) -> BaseException:
    """Return the error inside the ones that jsonargparse wraps around it while it builds classes."""
    while error.__cause__ is not None and _INTERNAL.search(str(error)):
        error = error.__cause__
    return error


def _described(error: BaseException) -> tuple[str, str, str | None, bool]:
    """Return type, message, last line of this project, and whether somebody meant to say it to the user."""
    kind = type(error).__name__
    if worker := _WORKER.match(str(error)):
        frames = re.findall(r'File "(.+?)", line (\d+), in (\w+)', worker["trace"])
        message = re.split(rf"^(?:[\w.]+\.)?{worker[1]}: ", worker["trace"], flags=re.MULTILINE)[-1]
        kind, error_text = worker[1], message
        found = [(file, int(line), name) for file, line, name in frames]
    else:
        error_text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        found = [(f.filename, f.lineno or 0, f.name) for f in traceback.extract_tb(error.__traceback__)]
    own = [frame for frame in found if _is_own(frame[0])]
    place = f"{Path(own[-1][0]).relative_to(ROOT)}:{own[-1][1]}, in {own[-1][2]}" if own else None
    raised = bool(found) and own[-1:] == found[-1:] and _raises(own[-1])
    lightning = bool(found) and "/lightning/" in found[-1][0] and _raises(found[-1])
    foreign = (lightning and kind != "RuntimeError") or isinstance(error, OmegaConfBaseException)
    return kind, error_text, place, (raised and kind != "AssertionError") or foreign


def _is_own(file: str) -> bool:
    path = Path(file)
    return path.is_relative_to(ROOT) and not {".venv", "site-packages"} & set(path.relative_to(ROOT).parts)


def _raises(frame: tuple[str, int, str]) -> bool:
    return linecache.getline(frame[0], frame[1]).lstrip().startswith("raise ")
