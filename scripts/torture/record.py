"""What is known of a campaign: an outcome a line while it runs, a table at its end."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scripts.torture.campaign import Campaign, Outcome
from synthesis.files import write_atomically, write_json

OUTCOMES = "outcomes.jsonl"

_KEPT = 400  # letters of what a program said last


class Record:
    """The outcomes of a work directory, by campaign and attempt.

    Args:
        directory: Of the work.
        facts: What the outcomes depend on: those that were found with other facts are set aside.
    """

    def __init__(self, directory: Path, facts: Mapping[str, Any]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path, self.facts = directory / OUTCOMES, dict(facts)
        self.outcomes: dict[str, dict[str, Outcome]] = {}
        lines = self._lines()
        if lines and lines[0] != self.facts:
            aside = self.path.with_suffix(f".earlier-{lines[0].get('commit', 'unknown')}.jsonl")
            self.path.replace(aside)
            print(f"the earlier outcomes are of {lines[0]}, now {self.facts}: they are set aside in {aside}")
            lines = []
        for line in lines[1:]:
            outcome = Outcome(line["verdict"], line["detail"])
            self.outcomes.setdefault(line["campaign"], {})[line["case"]] = outcome
        # Written anew: the last line may be cut short.
        text = "".join(json.dumps(line) + "\n" for line in (lines or [self.facts]))
        write_atomically(self.path, text)

    def add(self, campaign: str, case: str, outcome: Outcome) -> None:
        """Write down how an attempt ended, without the paths of this machine."""
        detail, places = outcome.detail, {self.path.parent.absolute(): "WORK", Path.cwd(): "ROOT"}
        for place, name in (places | {Path(sys.base_prefix): "PYTHON"}).items():
            detail = detail.replace(str(place), name)
        outcome = replace(outcome, detail=detail[-_KEPT:])  # a path that was cut would not be known
        self.outcomes.setdefault(campaign, {})[case] = outcome
        self._append({"campaign": campaign, "case": case, **asdict(outcome)})

    def has(self, campaign: str, case: str) -> bool:
        """Return whether an attempt has been made."""
        return case in self.outcomes.get(campaign, {})

    def _append(self, content: Mapping[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(content) + "\n")

    def _lines(self) -> list[dict[str, Any]]:
        lines = []
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                lines.append(json.loads(line))
            except ValueError:  # cut short, as this program was
                break
        return lines


def row(campaign: Campaign, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Return a line of the table: how many attempts, how many were survived, and the verdicts by kind."""
    kinds: dict[str, Counter[str]] = {}
    for name, outcome in outcomes.items():
        kinds.setdefault(name.partition("/")[0], Counter())[outcome.verdict] += 1
    survived = sum(outcome.verdict in campaign.survives for outcome in outcomes.values())
    return {
        "campaign": campaign.name,
        "title": campaign.title,
        "tried": len(outcomes),
        "survived": survived,
        "least": campaign.least,
        "passed": bool(outcomes)
        and survived >= campaign.least * len(outcomes)
        and not any(outcome.verdict in campaign.never for outcome in outcomes.values()),
        "verdicts": dict(Counter(outcome.verdict for outcome in outcomes.values()).most_common()),
        "kinds": {kind: dict(count.most_common()) for kind, count in sorted(kinds.items())},
    }


def write_table(out: Path, campaigns: Sequence[Campaign], record: Record) -> str:
    """Write ``table.md`` and ``outcomes.json`` and return the table as Markdown."""
    rows = [row(campaign, record.outcomes.get(campaign.name, {})) for campaign in campaigns]
    facts = ", ".join(f"{key} {value}" for key, value in record.facts.items())
    lines = [
        "# What was tried to break it", "",
        f"Written by `make torture` ({facts}). Every attempt: [outcomes.json](outcomes.json).", "",
        "| campaign | what is tried | survived / tried | verdicts |", "|---|---|---|---|",
        *(
            f"| {r['campaign']} | {r['title']} | {r['survived']} / {r['tried']}{'' if r['passed'] else ' ✗'} "
            f"| {', '.join(f'{n} {verdict}' for verdict, n in r['verdicts'].items())} |"
            for r in rows
        ), "",
        "## By kind", "", "| campaign | kind | verdicts |", "|---|---|---|",
        *(
            f"| {r['campaign']} | {kind} | {', '.join(f'{n} {verdict}' for verdict, n in counts.items())} |"
            for r in rows for kind, counts in r["kinds"].items()
        ), "",
    ]  # fmt: skip
    bad = [
        (c.name, name, o)
        for c in campaigns
        for name, o in sorted(record.outcomes.get(c.name, {}).items())
        if o.verdict not in c.survives
    ]
    if bad:
        lines += [
            "## Not survived",
            "",
            "| campaign | attempt | verdict | what was seen |",
            "|---|---|---|---|",
        ]
        lines += [f"| {c} | {name} | {o.verdict} | {_cell(o.detail)} |" for c, name, o in bad] + [""]
    meant = [
        (c.name, name, o)
        for c in campaigns
        for name, o in sorted(record.outcomes.get(c.name, {}).items())
        if o.verdict in c.explained
    ]
    if meant:
        lines += ["## Accepted, and why", "", "| campaign | attempt | reason |", "|---|---|---|"]
        lines += [f"| {c} | {name} | {_cell(o.detail)} |" for c, name, o in meant] + [""]
    text = "\n".join(lines)
    write_atomically(out / "table.md", text)
    outcomes = {
        c.name: {name: asdict(o) for name, o in sorted(record.outcomes.get(c.name, {}).items())}
        for c in campaigns
    }
    write_json(out / "outcomes.json", {"facts": record.facts, "campaigns": rows, "outcomes": outcomes})
    return text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:200]
