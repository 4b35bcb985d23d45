"""What a user reads when a run fails: the cause in a few lines, the traceback with `SYNVLP_DEBUG=1`."""

from __future__ import annotations

import errno
import linecache
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException

from scripts.command_line.advice import advised
from scripts.command_line.layers import LAST, givens

ROOT = Path(__file__).resolve().parents[2]
DEBUG = "SYNVLP_DEBUG"
HINT = f"  {DEBUG}=1 shows the whole traceback"
LINES = 8
_REMEDIES = {
    errno.ENOSPC: "no space left on the device: free some, or give another --run_dir",
    errno.EDQUOT: "the quota of this disk is used up: free some, or give another --run_dir",
    errno.ENOENT: "no such file or directory; correct the path",
    errno.ENOTDIR: "is no directory, or below a file; give the path of a directory, or delete the file",
    errno.EEXIST: "is a file; give the path of a directory, or delete the file",
    errno.EISDIR: "is a directory; give the path of a file",
    errno.EACCES: "this user may not read or write it; give another path, or change its rights",
    errno.EPERM: "this user may not read or write it; give another path, or change its rights",
    errno.EROFS: "lies on a file system that is read-only; give another path",
    errno.ELOOP: "is a link that leads back to itself; give the path of what is meant",
    errno.ENAMETOOLONG: "the name is too long for the file system; give a shorter one",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n), or lower num_workers",
    errno.EADDRINUSE: "the port is taken by another program; give another one",
}
"""Error of the system → what it means for a path, and what to do."""
_NAMED = re.compile(r"\b([a-z_]\w*)(?:=| is |: )('[^']*'|\"[^\"]*\"|[^\s:;,()]+)")
_PATH = re.compile(r"/|\.[a-z]", re.IGNORECASE)
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
    if isinstance(cause, OSError) and cause.errno in _REMEDIES and (not meant or cause.strerror):
        name = f"{cause.filename}: " if cause.filename else ""
        message, meant = f"{name}{_REMEDIES[cause.errno]}", True
    elif kind == "OutOfMemoryError":
        message = (
            f"out of memory on the GPU ({message.partition('. ')[0]}): lower data.init_args.loader.batch_size"
        )
        meant = True
    elif match := re.search(r"argument after \*\* must be a mapping, not (\w+)", message):
        message = f"a {match[1]} stands where options are meant; write a mapping: {{batch_size: 64}}"
        meant = True
    elif isinstance(cause, MemoryError) or "can't allocate memory" in message:
        asked = re.sub(r"^\[enforce.*?\] ", "", message.strip())
        big = being_built(cause, largest=True)
        what = f"{big[0]}: {big[1]}" if big else "a size"
        message, meant = f"{what} is too large for the memory ({asked.rstrip('.')}); lower it", True
    elif _of_lightning(cause) and (advice := advised(message, LAST.get())) != message:
        message, meant = advice, True
    elif _of_lightning(cause) and (built := being_built(cause)):
        message = f"{built[0]}: {message.strip().rstrip('.')}; correct {built[1]}"
    elif not meant and message.strip() and (built := being_built(cause)):
        message, meant = f"{built[0]}: {message.strip().rstrip('.')}; correct {built[1]}", True
    lines = [line.rstrip() for line in message.strip().splitlines() if line.strip()] or ["(no message)"]
    if len(lines) > LINES - 3:
        lines = [*lines[: LINES - 4], "…"]
    lines = [line if len(line) <= 600 else f"{line[:599]}…" for line in lines]
    first = lines[0] if meant else f"{kind}: {lines[0]}"
    where = [] if meant or place is None else [f"  at {place}"]
    origin = given(message, LAST.get())
    if origin is not None and not any(origin in line for line in lines):
        where.append(f"  given: {origin}")
    return "\n".join([f"error: {first}", *lines[1:], *where, HINT, ""])


def given(message: str, words: Sequence[str]) -> str | None:
    """Return the argument, or file, line and key, that set what a message is about; None if that is not seen.

    A message of a class names an argument and its value (``width=33``), one of the system a path. Which of
    the options that is, and where it was set, is looked up.

    Args:
        message: What is wrong.
        words: The command line.
    """
    there = givens(words)
    named = [(match[1], match[2].strip("'\"")) for match in _NAMED.finditer(message)]
    for name, value in named:
        same = [one for one in there if one.key.rpartition(".")[2] == name]
        for one in same:
            if _same_value(one.value, value):
                return one.place
    for number in re.findall(r"(?<![\w.])\d{6,}(?![\w.])", message):
        for one in there:
            if one.value.replace("_", "") == number:
                return one.place
    first = message.partition("\n")[0]  # other paths follow: where all rows are listed, say
    paths = [
        (start, one) for one in there if _PATH.search(one.value) and (start := _begins(one.value, first)) >= 0
    ]
    return min(paths, key=lambda found: (found[0], -len(found[1].value)))[1].place if paths else None


def _of_lightning(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "/lightning/" in frames[-1].filename


def being_built(error: BaseException, largest: bool = False) -> tuple[str, str] | None:
    """Return the class that was being built when a library refused something, and the arguments in question.

    Those are the ones whose name or value the message repeats, or all.

    Args:
        error: The library's.
        largest: Whether the largest number is in question.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [f for f in frames if _is_buildable(f.f_code.co_filename) and f.f_code.co_name == "__init__"]
    if not own or "self" not in own[-1].f_locals:
        return None
    names = own[-1].f_code.co_varnames[1 : own[-1].f_code.co_argcount + own[-1].f_code.co_kwonlyargcount]
    values = {name: own[-1].f_locals.get(name) for name in names}
    plain = {n: v for n, v in values.items() if isinstance(v, int | float | str | list | tuple) and v != ""}
    text = str(error)
    told = {
        n: v
        for n, v in plain.items()
        if not isinstance(v, bool) and (_repeats(text, str(v)) or _repeats(text, n))
    }
    numbers = {n: v for n, v in plain.items() if isinstance(v, int | float)}
    if largest and numbers:
        most = max(numbers, key=lambda name: numbers[name])
        told = {most: numbers[most]}
    shown = " or ".join(f"{name}={value}" for name, value in (told or plain).items())
    return (type(own[-1].f_locals["self"]).__name__, shown) if shown else None


def _is_buildable(file: str) -> bool:
    return _is_own(file) or re.search(r"/lightning/pytorch/(callbacks|loggers|profilers)/", file) is not None


def _repeats(text: str, value: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(value)}(?!\w|\.\d)", text) is not None


def _same_value(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _begins(path: str, message: str) -> int:
    """Return where a message names a path, or something below it; -1 where it does not."""
    found = re.search(rf"(?<![\w./-]){re.escape(path.rstrip('/'))}(?![\w.-])", message)
    return -1 if found is None else found.start()


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
