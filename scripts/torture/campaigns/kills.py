"""Kills, full disks and other file systems: what is begun again ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from scripts.torture.campaign import Campaign, Case, Outcome
from scripts.torture.mounts import may_mount, mount, private_mounts
from scripts.torture.process import Ended, run
from scripts.torture.samples import differing
from scripts.torture.targets import TARGETS, Target
from synthesis.files import write_json

SHARED_MEMORY = Path("/dev/shm")  # another file system than that of temporary files
SHORT = {"store": {"kill": 2}}


class Kills(Campaign):
    """See the head of this file."""

    name = "kills"
    title = "SIGKILL, SIGTERM, full disks, other file systems, then on: the same end to the bit"

    def prepare(self, directory: Path, short: bool) -> None:
        """Do everything once without interruption."""
        for target in TARGETS:
            if short and target.name not in SHORT:
                continue
            place = directory / target.name
            place.mkdir()
            ended = run(target.begin(place), place / "log.txt")
            if ended.code:
                raise RuntimeError(f"{target.name}: {ended.output[-2000:]}")
            used = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
            content = {"seconds": ended.seconds, "bytes": used, "result": target.result(place)}
            write_json(directory / f"{target.name}.json", content)
            print(target.name, f"{ended.seconds:.1f} s, {used:,} bytes")

    def cases(self, directory: Path, short: bool) -> Iterator[Case]:
        """Yield the interruptions."""
        for target in TARGETS:
            for way, count in (SHORT.get(target.name, {}) if short else target.attempts).items():
                for number in range(count):
                    name = f"{target.name} {way}/{number}"
                    straight = directory / f"{target.name}.json"
                    yield Case(name, partial(WAYS[way], target, straight, random.Random(name)), seconds=400)

    def sabotage(self) -> None:
        """Write files where they are to lie, a part at a time."""
        from synthesis import files

        def write_slowly(path: Path, content: bytes | str) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")

        files.write_atomically = write_slowly


def killed(target: Target, straight: Path, rng: random.Random, directory: Path) -> Outcome:
    """Kill it up to three times, at any moment of its run."""
    known = json.loads(straight.read_text())
    words = target.begin(directory)
    for number in range(rng.choice((1, 1, 2, 3))):
        moment = known["seconds"] * rng.uniform(0.02, 1.0)
        ended = run(words, directory / f"log-{number}.txt", kill_after=moment)
        if ended.code == 0:
            return _judged(target, known, directory)
        if ended.code != -signal.SIGKILL:
            return Outcome("did not go on", f"killed after {moment:.1f} s: {ended.last}")
        words = target.go_on(directory)
    return _gone_on(target, known, words, directory)


def terminated(target: Target, straight: Path, rng: random.Random, directory: Path) -> Outcome:
    """Ask it to end, as a batch system does, and look at its exit code."""
    known = json.loads(straight.read_text())
    moment = known["seconds"] * rng.uniform(0.3, 0.9)
    ended = run(target.begin(directory), directory / "log.txt", kill_after=moment, with_signal=signal.SIGTERM)
    if ended.code not in (143, -signal.SIGTERM):
        return Outcome("wrong exit code", f"{ended.code} after SIGTERM at {moment:.1f} s: {ended.last}")
    return _gone_on(target, known, target.go_on(directory), directory)


def elsewhere(target: Target, straight: Path, rng: random.Random, directory: Path) -> Outcome:
    """Kill it where it writes to another file system than that of temporary files."""
    place = Path(tempfile.mkdtemp(prefix="torture-", dir=SHARED_MEMORY))
    try:
        return killed(target, straight, rng, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def full(target: Target, straight: Path, rng: random.Random, directory: Path) -> Outcome:
    """Let the disk be full at some time, then make room and begin again."""
    known = json.loads(straight.read_text())
    place = directory / "disk"
    place.mkdir()
    room = int(known["bytes"] * rng.uniform(0.1, 0.95))
    if may_mount():
        private_mounts()
        mount(place, room)
        ended = run(target.begin(place), directory / "log.txt")
        mount(place, 4 * known["bytes"] + (64 << 20), again=True)
    else:
        ended = run(target.begin(place), directory / "log.txt", file_size=room // 4)
    if ended.code < 0:
        return Outcome("died", f"with {room:,} bytes: {ended.last}")
    if ended.code == 0:
        return _judged(target, known, place)
    unnamed = not _names_a_file(ended, place)
    again = _gone_on(target, known, target.go_on(place), place)
    if again.verdict == "survived" and unnamed:
        return Outcome("file not named", f"with {room:,} bytes: {ended.last}")
    return again


WAYS = {"kill": killed, "terminate": terminated, "other file system": elsewhere, "full disk": full}


def _names_a_file(ended: Ended, place: Path) -> bool:
    tail = [line for line in ended.output.splitlines() if line.strip()][-8:]
    return any(str(place) in line for line in tail)


def _gone_on(target: Target, known: dict[str, Any], words: Any, directory: Path) -> Outcome:
    ended = run(words, directory / "log-last.txt")
    if ended.code:
        return Outcome("did not go on", f"exit code {ended.code}: {ended.last}")
    return _judged(target, known, directory)


def _judged(target: Target, known: dict[str, Any], directory: Path) -> Outcome:
    try:
        found = json.loads(json.dumps(target.result(directory)))
    except Exception as error:
        return Outcome("result lost", repr(error))
    if different := differing(known["result"], found):
        return Outcome("another end", f"{len(different)} differences, first {different[0]}")
    return Outcome("survived")
