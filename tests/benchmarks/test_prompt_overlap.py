"""The share of prompts that are sentences of training reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.prompt_overlap import main, overlap
from synthesis.cases import BalancedCaseSampler
from synthesis.concepts import ConceptCatalog
from synthesis.reports.grammar import GrammarWriter
from synthesis.seeding import pair_seed


def test_each_prompt_counts_once_if_a_report_contains_it_as_a_sentence() -> None:
    sampler, writer, reports = BalancedCaseSampler(), GrammarWriter(), []
    for index in range(300):
        (report,) = writer.write([sampler.sample(0, "train", index)], [pair_seed(0, "train", index)])
        reports.append(report)
    said = [sentence.lower() for report in reports for sentence in report.sentences()]
    absent = [prompt.lower() for concept in ConceptCatalog.load() for prompt in concept.prompts_absent]
    found = overlap(300)
    known = [prompt for prompt in absent if prompt in said]
    assert found["absent"] == {
        "prompts": len(absent),
        "in_reports": len(known),
        "share": len(known) / len(absent),
    }
    assert 0 < len(known) < len(absent)
    assert found["all"]["prompts"] == 2 * len(absent)  # type: ignore[index]


def test_counts_are_written_and_no_reports_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--reports", "20", "--out", str(tmp_path)])
    assert json.loads((tmp_path / "overlap.json").read_text()) == json.loads(capsys.readouterr().out)
    with pytest.raises(SystemExit):
        main(["--reports", "0"])
    assert "at least one report" in capsys.readouterr().err
