"""The two worlds of `make reproduce-paper`: apart, matched in steps, and never called real."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scripts.comparison.engine import Plan
from scripts.comparison.outcomes.note import note_facts
from scripts.comparison.outcomes.results import read_results
from scripts.comparison.reader import read_comparison
from scripts.comparison.record import RunRecord
from scripts.resolved_config import resolved_config
from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.strict_yaml import read_mapping

ROOT = Path(__file__).resolve().parents[3]
HOSPITAL_GRAMMAR = "configs/reports/grammar_hospital.yaml"
ARMS = ("hospital", "synthetic", "both", "hospital_reports")
ARMS_AGAIN = ("fine_tuned", "adversarial")


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    os.chdir(ROOT)


@cache
def plan() -> Plan:
    return Plan(read_comparison("paper"), "cpu", Path("unused"))


@cache
def data_of(arm: str) -> Mapping[str, Any]:
    """The resolved data of an arm; the layers are merged as training merges them."""
    found: Mapping[str, Any] = plan().run(plan().comparison.arms[arm], 0).config()["data"]["init_args"]
    return found


def synthesizers() -> dict[str, Mapping[str, Any]]:
    made = {arm: data_of(arm)["synthesizer"]["init_args"] for arm in ARMS if arm != "both"}
    both = data_of("both")["sources"]
    return made | {f"both/{name}": one["init_args"]["synthesizer"]["init_args"] for name, one in both.items()}


def test_the_synthetic_side_has_nothing_of_the_hospital() -> None:
    made = synthesizers()
    for name, parts in made.items():
        maker, phrases = parts["image_maker"]["init_args"], parts["writer"]["init_args"]["phrases"]
        population = maker["population"]
        hospital_films = name in ("hospital", "both/hospital")
        assert (population["half"], bool(population["detector"])) == (
            ("second", True) if hospital_films else ("first", False)
        ), name
        assert (population["texture_seed"] != 20) == hospital_films
        assert [bool(maker[key]) for key in ("crisp", "tone", "grain")] == [hospital_films] * 3, name
        assert phrases == (None if name in ("synthetic", "both/synthetic") else HOSPITAL_GRAMMAR), name
    assert made["both/hospital"] == made["hospital"] and made["both/synthetic"] == made["synthetic"]
    assert made["hospital_reports"]["image_maker"] == made["synthetic"]["image_maker"]


def test_arms_of_the_synthetic_side_are_made_of_layers_that_do_not_name_the_hospital() -> None:
    """Those that are not resolved above: by the text of their layers."""
    comparison = plan().comparison
    pairs = "configs/reproduce/synthetic/pairs.yaml"
    side = [name for name, arm in comparison.arms.items() if pairs in arm.layers.files]
    assert len(side) >= 12 and "synthetic_start" in side
    for name in side:
        layers = comparison.arms[name].layers
        for file in layers.files:
            lines = [line.partition("#")[0] for line in Path(file).read_text().splitlines()]
            assert not re.search("hospital|second|crisp|tone:|grain:|1021", "\n".join(lines)), (name, file)
        assert "hospital" not in str(layers.overrides)


def test_generators_learn_from_the_hospital_alone() -> None:
    stages = [arm for arm in plan().comparison.arms.values() if not arm.measured and not arm.base]
    assert len(stages) == 4
    assert all("configs/generator/data/hospital.yaml" in arm.layers.files for arm in stages)
    one, other = (
        read_mapping(Path(f"configs/{p}.yaml"))["data"]["init_args"]["synthesizer"]
        for p in ("generator/data/hospital", "reproduce/hospital/pairs")
    )
    for synthesizer in (one, other):
        synthesizer["init_args"]["image_maker"]["init_args"].pop("image_size")
    assert one == other


def test_all_are_tested_on_new_clean_patients_of_the_hospital() -> None:
    layers = ("pretrain", "reproduce/training", "reproduce/evaluation/hospital")
    config = resolved_config("test", *(word for file in layers for word in ("-c", f"configs/{file}.yaml")))
    data, hospital = config["data"]["init_args"], synthesizers()["hospital"]
    tested = data["synthesizer"]
    assert tested["class_path"].endswith("PairSynthesizer") and "mispaired" not in tested["init_args"]
    for part in ("image_maker", "writer"):
        assert tested["init_args"][part] == hospital[part]
    assert data["loader"]["seed"] not in plan().all_seeds


def test_damage_is_the_published_share() -> None:
    for layer, share in (("pairs", 0.03), ("damaged", 0.2)):
        file = read_mapping(Path(f"configs/reproduce/hospital/{layer}.yaml"))
        parts = file["data"]["init_args"]["synthesizer"]["init_args"]
        assert 1 - (1 - parts["mispaired"]) * (1 - parts["corrupted"]) == pytest.approx(share, abs=5e-4)
        assert parts["splits"] == ["train"]


def test_the_rare_third_is_that_of_the_catalogue() -> None:
    catalog = ConceptCatalog.load(None)
    concepts = [c for c in catalog if c.sampled and not c.is_device and c.name != NO_FINDING]
    general = {a.name for a in concepts for b in concepts if a is not b and catalog.implies(b.name, a.name)}
    concepts = [c for c in concepts if c.name not in general]
    rare = sorted(concepts, key=lambda c: c.prevalence)[: round(len(concepts) / 3)]
    layer = read_mapping(Path("configs/reproduce/evaluation/hospital.yaml"))
    (zero_shot,) = (c for c in layer["trainer"]["callbacks"] if c["class_path"].endswith("ZeroShot"))
    assert zero_shot["init_args"]["subsets"]["rare"] == [c.name for c in rare]


def test_arms_are_matched_in_steps_and_ten_are_core() -> None:
    comparison = plan().comparison
    assert len(comparison.groups["core"]) == 10 and comparison.groups["core"][:1] == ("hospital",)
    lengths = {name: comparison.length(name) for name in comparison.lines}
    assert {name for name, length in lengths.items() if length != 1} == {"hospital_twice", "both_epochs"}
    assert list(comparison.lines)[:10] == list(comparison.groups["core"]), "core first"
    for contrast in comparison.contrasts:
        assert lengths[contrast.arm] == lengths[contrast.minus]
    primary = {"zero-shot AUROC, rare third", "probe AUROC, 1 % of labels"}
    assert {c.metric for c in comparison.contrasts} == primary


def test_what_did_not_run_is_named_with_what_it_needs(tmp_path: Path) -> None:
    here = Plan(plan().comparison, "cpu", tmp_path)
    key = here.comparison.metrics[0].key
    for arm in ("hospital", "synthetic"):
        here.record.add(RunRecord(arm, 0, {"steps": "1175"}, {key: (0.5, None, None)}))
    results = read_results(here)
    missing = "; ".join(results.missing)
    for name, arm in here.comparison.lines.items():
        assert name in ("hospital", "synthetic") or arm.title in missing
    assert "images by GAN (needs a GAN, trained on the hospital's pairs for 00:00:50:00)" in missing
    assert "hospital, N, seeds 1 and 2: not run" in missing
    facts = note_facts(here, results)
    assert facts["groups"].startswith("core: hospital, N | hospital, N, cleaned by filters | ")


@pytest.mark.parametrize(
    "page", ["README.md", "docs/comparisons.md", "docs/results.md", "configs/comparisons/paper.yaml"]
)
def test_no_page_lets_the_hospital_be_taken_for_real(page: str) -> None:
    text = " ".join(Path(page).read_text().split())
    assert not re.search(r"\breal hospital|real patients of the hospital|hospital's real", text)
    if re.search(r"\bhospital's (pairs|new patients|own)\b", text):
        assert "simulated" in text and re.search(r"no pair is of a real patient", text, re.IGNORECASE)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_arms_with_the_most_parts_run_at_smoke_scale_twice_alike(tmp_path: Path) -> None:
    """Mixture, fine-tuning and a trained generator; the steps of what was trained before are counted in."""
    from scripts.comparison.__main__ import main

    figures = {}
    for place, arms in {"one": ("hospital", "both", "fine_tuned", "adversarial"), "two": ARMS_AGAIN}.items():
        words = ["--arms", *arms, f"--out={tmp_path / place}", f"--cache={tmp_path / 'cache'}"]
        main(["paper", "--scale=smoke", *words])
        runs = Plan(read_comparison("paper"), "smoke", tmp_path / place).record.read()
        assert {run.facts["steps"] for run in runs} == {"5"} and len(runs) == len(arms)
        assert all(len(run.figures) == 8 for run in runs), "all but the radiographs from outside"
        figures[place] = {run.arm: run.figures for run in runs}
        for file in ("table.md", "report.html"):
            assert "images by VAE (needs" in (tmp_path / place / file).read_text().replace("&#39;", "'")
    assert figures["two"] == {arm: figures["one"][arm] for arm in ARMS_AGAIN}
