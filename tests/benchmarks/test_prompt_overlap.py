"""The share of prompts that are sentences of training reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.prompt_overlap import main, overlap, prompt_sets
from synthesis.cases import BalancedCaseSampler
from synthesis.reports.grammar import GrammarWriter
from synthesis.seeding import pair_seed


def test_a_prompt_counts_if_a_training_report_contains_it_as_a_sentence() -> None:
    sampler, writer, said = BalancedCaseSampler(), GrammarWriter(), set()
    for index in range(300):
        (report,) = writer.write([sampler.sample(0, "train", index)], [pair_seed(0, "train", index)])
        said |= {sentence.lower().rstrip(".") for sentence in report.sentences()}
    counts = overlap(300)
    for name, prompts in prompt_sets().items():
        texts = [text for sides in prompts.values() for texts in sides.values() for text in texts]
        known = sum(text.lower().rstrip(".") in said for text in texts)
        assert counts[name] == {"prompts": len(texts), "share": pytest.approx(known / len(texts), abs=0.02)}
    assert counts["catalogue"]["share"] > counts["outside"]["share"]


def test_counts_are_written_and_no_reports_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--reports", "20", "--out", str(tmp_path)])
    assert json.loads((tmp_path / "overlap.json").read_text()) == json.loads(capsys.readouterr().out)
    with pytest.raises(SystemExit):
        main(["--reports", "0"])
    assert "at least one report" in capsys.readouterr().err
