"""One finding left out of the report: whether the image changes there, and nowhere else."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.generators.counterfactual_report import keep_removals, report_removals
from scripts.generators.counterfactuals import Removal, by_concept, change, drawn, removals
from synthesis.images.image_maker import MadeImages
from synthesis.pairs import PairSynthesizer
from synthesis.seeding import pair_seed


@pytest.fixture(scope="module")
def asked(synthesizer: PairSynthesizer) -> list[Removal]:
    return removals(synthesizer.make(range(16), 0, "test"), synthesizer)


class Drawn:
    """Draws with the simulator from other seeds, reads the reports or does not."""

    image_size = 64

    def __init__(self, synthesizer: PairSynthesizer, asked: list[Removal], how: str) -> None:
        self.simulator, self.how = synthesizer.image_maker, how
        self.index = {pair_seed(0, "generated", removal.index): removal.index for removal in asked}

    def make(self, cases: Any, reports: Any, seeds: Any) -> MadeImages:
        if self.how == "same patients":
            seeds = [pair_seed(0, "removal", self.index[seed]) for seed in seeds]
        if self.how == "deaf":
            cases = [replace(case, findings=()) for case in cases]
        return self.simulator.make(cases, reports, seeds)

    def describe(self) -> dict[str, Any]:
        return {}


def test_one_finding_is_left_out_of_case_and_report(asked: list[Removal]) -> None:
    assert len(asked) > 8
    for removal in asked:
        with_it, without = (case.findings for case in removal.cases)
        (gone,) = set(with_it) - set(without)
        assert gone.concept == removal.concept and len(without) == len(with_it) - 1
        assert removal.mask.any() and removal.mask.shape == (64, 64)
        before, after = (set(report.sentences()) for report in removal.reports)
        assert before - after, "what it says of the finding"
        assert len(before & after) >= len(before) // 3, "the rest is told in the same words"


def test_who_reads_changes_the_image_there_and_who_does_not_changes_nothing(
    synthesizer: PairSynthesizer, asked: list[Removal]
) -> None:
    found = {}
    for how in ("same patients", "others", "deaf"):
        images = drawn(Drawn(synthesizer, asked, how), asked, how)
        assert images.shape == (len(asked), 2, 64, 64)
        found[how] = change(images, asked)
    assert found["same patients"].place > 0.95 and found["same patients"].outside < 1e-3
    assert found["same patients"].place > found["others"].place > 0.6
    assert (found["deaf"].place, found["deaf"].inside, found["deaf"].outside) == (0.5, 0, 0)
    assert found["others"].cases == len(asked) and found["others"].low < found["others"].place


def test_the_place_is_judged_by_rank_and_the_size_by_means() -> None:
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:2] = True
    removal: Any = Removal(0, "mass", (), (), mask)  # type: ignore[arg-type]
    there, elsewhere, noise = (torch.zeros(1, 2, 8, 8) for _ in range(3))
    there[0, 0, :2] = 0.5
    elsewhere[0, 1, 2:] = 0.1
    noise[0, 0] = 1e-7 * torch.rand(8, 8)  # a network that adds up in another order
    assert change(there, [removal]).place == 1 and change(elsewhere, [removal]).place == 0
    assert change(noise, [removal]).place == 0.5
    both = change(torch.cat([there, elsewhere]), [removal, removal])
    assert both.place == 0.5 and both.cases == 2
    assert (both.inside, both.outside) == pytest.approx((0.25, 0.05))
    assert math.isnan(change(there[:0], []).place)
    other = replace(removal, concept="edema")
    named = by_concept(torch.cat([there, there, elsewhere]), [other, removal, other], least=1)
    assert list(named) == ["edema", "mass"] and (named["edema"].place, named["mass"].place) == (0.5, 1.0)
    assert list(by_concept(there, [removal], least=2)) == []


def test_a_table_and_a_sheet_of_each(asked: list[Removal], tmp_path: Path) -> None:
    images = torch.rand(2, 2, 64, 64)
    keep_removals(tmp_path, images, asked[:2])
    known = asdict(change(images, asked[:2]))
    counterfactuals = {"all findings": known, "mass": {**known, "cases": 0}}
    measured = {"details": {"judge": {"counterfactuals": counterfactuals}}}
    (tmp_path / "measured.json").write_text(json.dumps(measured))
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "measured.json").write_text(json.dumps({"details": {"judge": {}}}))
    report_removals({"vae": tmp_path, "older": tmp_path / "older"}, tmp_path / "out")
    lines = (tmp_path / "out" / "counterfactuals.md").read_text().splitlines()
    assert lines[2].startswith(f"| vae | all findings | {known['place']:.3f} [") and "; 2]" in lines[2]
    assert not lines[3], "nothing of what was not left out, and nothing of what was measured before"
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["vae_counterfactuals.png"]
