"""How many zero-shot prompts are, word for word, sentences of the reports that a model is trained on.

    python -m benchmarks.prompt_overlap                 # the 50,000 reports of the short recipe
    python -m benchmarks.prompt_overlap --reports=1000

Writes `results/prompts/overlap.json`. The reports are those of the training pairs' cases. Where the simulator
changes a case because a finding would not be visible, the report as first written counts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from synthesis.cases import BalancedCaseSampler
from synthesis.concepts import ConceptCatalog
from synthesis.reports.grammar import GrammarWriter
from synthesis.seeding import pair_seed

RESULTS = Path("results/prompts")
CHUNK = 1_000


def overlap(reports: int, seed: int = 0) -> dict[str, object]:
    """Return counts and shares of the prompts that occur as a sentence, for presence, absence and both.

    Args:
        reports: How many training reports are read, ≥ 1.
        seed: The seed of the corpus.
    """
    sampler, writer = BalancedCaseSampler(), GrammarWriter()
    written: set[str] = set()
    for start in range(0, reports, CHUNK):
        indices = range(start, min(start + CHUNK, reports))
        cases = [sampler.sample(seed, "train", index) for index in indices]
        for report in writer.write(cases, [pair_seed(seed, "train", index) for index in indices]):
            written.update(sentence.lower() for sentence in report.sentences())
    concepts = list(ConceptCatalog.load())
    prompts = {
        "present": [prompt for concept in concepts for prompt in concept.prompts_present],
        "absent": [prompt for concept in concepts for prompt in concept.prompts_absent],
    }
    prompts["all"] = prompts["present"] + prompts["absent"]
    result: dict[str, object] = {"reports": reports, "seed": seed, "different_sentences": len(written)}
    for kind, sentences in prompts.items():
        known = sum(sentence.lower() in written for sentence in sentences)
        result[kind] = {"prompts": len(sentences), "in_reports": known, "share": known / len(sentences)}
    return result


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
    main()
