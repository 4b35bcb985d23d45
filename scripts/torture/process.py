"""Runs commands of this project in forked processes: what is imported here need not be imported again."""

from __future__ import annotations

import atexit
import ctypes
import os
import resource
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Of the project: paths in its YAML are those of a checkout."""
POLL = 0.01  # seconds
_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        code: Its exit code; minus the number of the signal that killed it.
        output: What it wrote to stdout and stderr.
        seconds: How long it ran.
        peak: Most memory that it had at once, in bytes.
    """

    code: int
    output: str
    seconds: float
    peak: int = 0

    @property
    def last(self) -> str:
        """Its last lines, in one."""
        return " ".join(" ".join(self.output.strip().splitlines()[-3:]).split())


def fork(
    work: Callable[[], None], log: Path, stdin: str = "", environment: Mapping[str, str] | None = None
) -> int:
    """Call something in a process of its own and return the number of that process.

    Args:
        work: What to call; the exit code is that of a script that calls it.
        log: Where stdout and stderr go.
        stdin: What the process reads there.
        environment: Variables over those of this process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()  # a group: whoever kills us can kill our children too
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # and none outlives its campaign
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _redirect(log, stdin)
        os.environ.update(environment or {})
        os.chdir(ROOT)
        code = _exit_code(work)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def start(words: Sequence[str], log: Path, **options: object) -> int:
    """Run ``python -m words[0] words[1:]`` in a forked process; options are those of `fork`."""
    return fork(lambda: _run_module(words), log, **options)  # type: ignore[arg-type]


def run(
    words: Sequence[str] | Callable[[], object],
    log: Path,
    seconds: float = 170.0,
    kill_after: float | None = None,
    with_signal: int = signal.SIGKILL,
    memory: int | None = None,
    file_size: int | None = None,
    **options: object,
) -> Ended:
    """Run a command, or call something, in a forked process and wait for it.

    Args:
        words: A module and its arguments, or something to call.
        log: Where stdout and stderr go.
        seconds: After which it is killed.
        kill_after: Send it a signal after so many seconds, if it still runs.
        with_signal: Which.
        memory: Most bytes of address space that it may ask for.
        file_size: Longest file that it may write, in bytes; more is an error, as on a full disk.
        **options: Those of `fork`.
    """

    def work() -> None:
        if memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        if file_size is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        if callable(words):
            words()
        else:
            _run_module(words)

    begun = time.monotonic()
    child = fork(work, log, **options)  # type: ignore[arg-type]
    signalled = False
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        passed = time.monotonic() - begun
        if ended:
            break
        if kill_after is not None and not signalled and passed >= kill_after:
            os.kill(child, with_signal)  # that process alone, as the kernel does
            signalled = True
        if passed > seconds:
            kill_group(child)
        time.sleep(POLL)
    kill_group(child)  # what it left behind, such as loader workers
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, log.read_text(errors="replace"), passed, usage.ru_maxrss << 10)


def kill_group(child: int) -> None:
    """Kill a process that `fork` began, and its children."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return


def _run_module(words: Sequence[str]) -> None:
    sys.modules.pop(words[0], None)  # else runpy warns that it is there already
    sys.argv = [str(ROOT / f"{words[0].replace('.', '/')}.py"), *words[1:]]
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _redirect(log: Path, stdin: str) -> None:
    reading, writing = os.pipe()
    os.write(writing, stdin.encode())
    os.close(writing)
    os.dup2(reading, 0)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdin = open(0, closefd=False)
    sys.stdout = open(1, "w", buffering=1, closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)


def _exit_code(work: Callable[[], None]) -> int:
    """Call it, and print and return what the interpreter would at the end of a script."""
    try:
        work()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
