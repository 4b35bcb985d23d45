"""Makes the attempts of campaigns, a few at a time, each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.torture.campaign import Campaign, Case, Outcome
from scripts.torture.process import fork, kill_group
from scripts.torture.record import Record
from synthesis.files import write_json

_PREPARED = "prepared.json"
_PROGRESS = 15.0  # seconds between two lines


@dataclass
class _Job:
    campaign: Campaign
    case: Case | None  # None prepares the campaign
    directory: Path
    begun: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.campaign.name}: {self.case.name if self.case else 'preparing'}"

    @property
    def seconds(self) -> float:
        return self.case.seconds if self.case else self.campaign.seconds

    @property
    def processes(self) -> int:
        return self.case.processes if self.case else 1


class Schedule:
    """Prepares campaigns and makes their attempts.

    Args:
        campaigns: In the order in which they are begun.
        work: Directory of everything that they write; what was done there before is not done again.
        record: Where outcomes go; its work directory is this one.
        short: Whether a few quick attempts of each are enough.
        cores: How many processes may be busy at once.
        sabotage: Whether what is tried is broken first.
        only: Attempts whose name holds this.
    """

    def __init__(
        self,
        campaigns: Sequence[Campaign],
        work: Path,
        record: Record,
        short: bool,
        cores: int,
        sabotage: bool,
        only: str = "",
    ) -> None:
        self.work, self.record, self.short, self.cores, self.sabotage = work, record, short, cores, sabotage
        self.only = only
        self.order = {campaign.name: number for number, campaign in enumerate(campaigns)}
        self.waiting: list[_Job] = []
        self.running: dict[int, _Job] = {}
        self.total = 0
        for campaign in campaigns:
            directory = work / campaign.name
            if (directory / _PREPARED).exists():
                self._add_cases(campaign)
            else:
                shutil.rmtree(directory, ignore_errors=True)
                self.waiting.append(_Job(campaign, None, directory))

    def carry_out(self) -> None:
        """Make all attempts that have no outcome yet."""
        told = begun = time.monotonic()
        try:
            while self.waiting or self.running:
                self._begin_what_fits()
                self._look_after()
                if time.monotonic() - told > _PROGRESS:
                    told = time.monotonic()
                    print(self._progress(told - begun), flush=True)
                time.sleep(0.02)
        finally:
            for child in self.running:
                kill_group(child)

    def _add_cases(self, campaign: Campaign) -> None:
        directory = self.work / campaign.name
        known = set()
        for number, case in enumerate(campaign.cases(directory, self.short)):
            assert case.name not in known, f"{campaign.name}: two attempts are called {case.name}"
            known.add(case.name)
            if self.only not in case.name:
                continue
            self.total += 1
            if not self.record.has(campaign.name, case.name):
                self.waiting.append(_Job(campaign, case, directory / "cases" / f"{number:04}"))
        # What is to be prepared first, so that a core that is free has something to do.
        self.waiting.sort(key=lambda job: (job.case is not None, self.order[job.campaign.name]))

    def _begin_what_fits(self) -> None:
        busy = sum(job.processes for job in self.running.values())
        for job in list(self.waiting):
            if busy and busy + job.processes > self.cores:
                continue
            self.waiting.remove(job)
            busy += job.processes
            shutil.rmtree(job.directory, ignore_errors=True)
            job.directory.mkdir(parents=True)
            job.begun = time.monotonic()
            self.running[fork(lambda job=job: self._do(job), job.directory / "log.txt")] = job  # type: ignore[misc]

    def _do(self, job: _Job) -> None:
        """Do it, in the child."""
        if job.case is None:
            job.campaign.prepare(job.directory, self.short)
        else:
            if self.sabotage:
                job.campaign.sabotage()
            write_json(job.directory / "outcome.json", asdict(job.case.run(job.directory)))

    def _look_after(self) -> None:
        for child, job in list(self.running.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            late = time.monotonic() - job.begun > job.seconds
            if not ended and not late:
                continue
            kill_group(child)
            if not ended:
                os.waitpid(child, 0)
            del self.running[child]
            self._end(job, status, late)

    def _end(self, job: _Job, status: int, late: bool) -> None:
        log = (job.directory / "log.txt").read_text(errors="replace").strip()
        if job.case is None:
            if status or late:
                print(f"{job.name}: FAILED\n{log[-3000:]}", flush=True)
                self.record.add(job.campaign.name, "preparing", Outcome("not prepared", log))
            else:
                write_json(job.directory / _PREPARED, {"seconds": time.monotonic() - job.begun})
                self._add_cases(job.campaign)
            return
        path = job.directory / "outcome.json"
        if late:
            outcome = Outcome("hung", f"not over after {job.seconds:.0f} s")
        elif path.exists():
            outcome = Outcome(**json.loads(path.read_bytes()))
        else:
            outcome = Outcome("not judged", log)
        self.record.add(job.campaign.name, job.case.name, outcome)
        if outcome.verdict in job.campaign.survives:
            shutil.rmtree(job.directory, ignore_errors=True)
        else:
            print(f"{job.name}: {outcome.verdict}: {' '.join(outcome.detail.split())[:300]}", flush=True)

    def _progress(self, seconds: float) -> str:
        parts = []
        for name, outcomes in self.record.outcomes.items():
            left = sum(job.campaign.name == name for job in (*self.waiting, *self.running.values()))
            parts.append(f"{name} {len(outcomes)}/{len(outcomes) + left}")
        now = ", ".join(f"{job.name} ({time.monotonic() - job.begun:.0f} s)" for job in self.running.values())
        return f"{seconds / 60:5.1f} min · {' · '.join(parts)} · now {now}"
