"""How many zero-shot prompts are, word for word, sentences of the reports that a model is trained on.

    python -m benchmarks.prompt_overlap                 # the 50,000 reports of the short recipe
    python -m benchmarks.prompt_overlap --reports=1000

Counts the catalogue's prompts, which `ZeroShot` asks, and those of each file in `configs/prompts/zero_shot/`.
Writes `results/prompts/overlap.json`. The reports are those of the training pairs' cases. Where the simulator
changes a case because a finding would not be visible, the report as first written counts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from callbacks.evaluations.zero_shot_prompts import Prompts, catalogue_prompts, read_prompts, share_in_reports
from datamodules.batch import DataFacts
from scripts.command_line.errors import exit_code
from synthesis.cases import BalancedCaseSampler
from synthesis.concepts import ConceptCatalog
from synthesis.configuration import shipped
from synthesis.reports.grammar import GrammarWriter
from synthesis.seeding import pair_seed

RESULTS = Path("results/prompts")


def overlap(reports: int, seed: int = 0) -> dict[str, Any]:
    """Return for each set of prompts their number and the share that occurs as a sentence of a report.

    Args:
        reports: How many training reports are read, ≥ 1.
        seed: The seed of the corpus.
    """
    sampler, writer = BalancedCaseSampler(), GrammarWriter()
    cases = [sampler.sample(seed, "train", index) for index in range(reports)]
    written = writer.write(cases, [pair_seed(seed, "train", index) for index in range(reports)])
    texts = [report.text for report in written]
    counts: dict[str, Any] = {"reports": reports, "seed": seed}
    for name, prompts in prompt_sets().items():
        number = sum(len(sentences) for sides in prompts.values() for sentences in sides.values())
        counts[name] = {"prompts": number, "share": share_in_reports(prompts, texts)}
    return counts


def prompt_sets() -> dict[str, Prompts]:
    """Return the catalogue's prompts and those of each file, by name."""
    catalog = ConceptCatalog.load()
    facts = cast(DataFacts, SimpleNamespace(concept_names=catalog.names, catalog=catalog))
    files = sorted(shipped("configs/prompts/zero_shot").glob("*.yaml"))
    return {"catalogue": catalogue_prompts(facts), **{path.stem: read_prompts(path, facts) for path in files}}


def main(args: Sequence[str] | None = None) -> None:
    """Count, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reports", type=int, default=50_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    wanted = parser.parse_args(args)
    if wanted.reports < 1:
        parser.error(f"--reports={wanted.reports}: at least one report has to be read")
    text = json.dumps(overlap(wanted.reports), indent=1)
    wanted.out.mkdir(parents=True, exist_ok=True)
    (wanted.out / "overlap.json").write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    sys.exit(exit_code(main))
