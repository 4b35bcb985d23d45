"""Incidental findings: drawn, written in words of their own, and read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from synthesis.cases import BalancedCaseSampler, Case, Finding
from synthesis.concepts import NO_FINDING, Concept, ConceptCatalog
from synthesis.extended_yaml import read_extended
from synthesis.images.simulator import Simulator
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.seeding import pair_seed
from synthesis.strict_yaml import YamlError

PATH = "configs/concepts/incidental.yaml"
CATALOG = ConceptCatalog(PATH)
NEW = [concept for concept in CATALOG if concept.name not in ConceptCatalog()]
NAMES = [concept.name for concept in NEW]


@cache
def extractor() -> EntityExtractor:
    return EntityExtractor(PATH)


@cache
def writer() -> GrammarWriter:
    return GrammarWriter(PATH)


@cache
def simulator() -> Simulator:
    return Simulator(image_size=128, catalog=PATH, clutter_rate=0)


def findings(concept: Concept) -> Iterator[Finding]:
    """Every way in which a concept may be found."""
    for side in concept.lateralities or (None,):
        for place in concept.places(side) or (None,):
            for grade in concept.severities or (None,):
                yield Finding(concept.name, side, place, grade)
                if not concept.is_device:
                    yield Finding(concept.name, side, place, grade, "possible")


def test_they_come_after_the_concepts_of_the_default_catalogue() -> None:
    assert CATALOG.names[: -len(NAMES)] == ConceptCatalog().names
    assert NAMES == [
        "low_lung_volumes",
        "tortuous_aorta",
        "degenerative_spine",
        "granuloma",
        "sternotomy_wires",
        "surgical_clips",
        "ecg_leads",
    ]


@pytest.mark.parametrize("concept", NEW, ids=NAMES)
def test_it_is_drawn_with_an_exact_mask(concept: Concept) -> None:
    certain = [f for f in findings(concept) if f.certainty == "definite"]
    cases = [Case((f,), (), concept.views[0]) for f in certain] * max(1, 8 // len(certain))
    seeds = [pair_seed(1, concept.name, k) for k in range(len(cases))]
    made, twins = simulator().twins(cases, seeds, [0] * len(cases))
    shown = [bool(case.findings) for case in made.cases]
    assert np.mean(shown) >= 0.6, np.mean(shown)
    for image, twin, masks in zip(made.images, twins, made.masks, strict=True):
        if len(masks):
            changed = (255 * image).round() != (255 * twin).round()
            assert changed.any() and not (changed[0] & ~masks[0]).any()


@pytest.mark.parametrize("concept", NEW, ids=NAMES)
def test_it_is_written_and_read_back(concept: Concept) -> None:
    for finding in findings(concept):
        reports = writer().write([Case((finding,), (), concept.views[0])] * 10, list(range(10)))
        wanted = "present" if finding.certainty == "definite" else "uncertain"
        for report in reports:
            stated = [m for m in extractor().extract(report.findings) if m.status != "absent"]
            read = [m for m in stated if m.concept == concept.name]
            assert read, report.findings
            assert {m.concept for m in stated} <= {concept.name, NO_FINDING}, report.findings
            for mention in read:
                assert mention.status == wanted, report.findings
                assert mention.laterality in (finding.laterality, None), report.findings
                assert mention.location in (finding.location, None), report.findings
                assert mention.severity in (finding.severity, None), report.findings


@pytest.mark.parametrize("concept", NEW, ids=NAMES)
def test_prompts_say_what_they_claim(concept: Concept) -> None:
    for prompts, status in ((concept.prompts_present, "present"), (concept.prompts_absent, "absent")):
        for prompt in prompts:
            mentions = {(m.concept, m.status) for m in extractor().extract(prompt)}
            assert (concept.name, status) in mentions, prompt
            assert {name for name, how in mentions if how == "present"} <= {concept.name}, prompt


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("Sternotomy wires are intact.", {("sternotomy_wires", "present")}),
        ("Sternal wire fractures.", set()),
        ("Degenerative changes of the shoulders.", set()),
        ("The thoracic aorta is tortuous and ectatic.", {("tortuous_aorta", "present")}),
        ("The aorta is unremarkable.", {("tortuous_aorta", "absent")}),
        ("Low lung volumes without focal consolidation.",
         {("low_lung_volumes", "present"), ("consolidation", "absent")}),
        ("Lung volumes are normal.", {("low_lung_volumes", "absent"), ("hyperinflation", "absent")}),
        ("Stable calcified granuloma in the left mid lung.", {("granuloma", "present")}),
        ("Unchanged small left pleural effusion.", {("pleural_effusion", "present")}),
    ],
)  # fmt: skip
def test_words_of_real_reports(text: str, mentions: set[tuple[str, str]]) -> None:
    assert {(m.concept, m.status) for m in extractor().extract(text)} == mentions


def test_reports_hold_the_words_and_are_read_as_they_were_meant() -> None:
    sampler = BalancedCaseSampler(catalog=PATH, uncertain_rate=0)
    cases = [sampler.sample(0, "train", i) for i in range(600)]
    reports = writer().write(cases, [pair_seed(0, "train", i) for i in range(600)])
    words = Counter(w.strip(".,").lower() for r in reports for w in f"{r.findings} {r.impression}".split())
    for word in ("stable", "unchanged", "streaky", "degenerative", "granuloma", "tortuous", "volumes", "low"):
        assert words[word] >= 5, word
    wrong = 0
    for case, report in zip(cases, reports, strict=True):
        stated = {m.concept for m in extractor().extract(report.findings) if m.status == "present"}
        wrong += not {f.concept for f in case.findings} <= stated <= case.concepts(CATALOG)
    assert wrong <= 0.01 * len(cases), wrong


def write(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder / "more.yaml"


def test_a_file_of_words_continues_another(tmp_path: Path) -> None:
    base = {"a": ["x", "y"], "b": {"c": ["z"]}, "d": 1}
    more = {"extends": "base.yaml", "drops": {"a": ["x"]}, "a": ["w"], "b": {"c": ["v"], "e": [1]}}
    path = write(tmp_path, base=base, more=more)
    entry, content = read_extended(path)
    assert {key: entry.take(key) for key in entry.keys()} == {
        "a": ["y", "w"],
        "b": {"c": ["z", "v"], "e": [1]},
        "d": 1,
    }
    assert content.startswith((tmp_path / "base.yaml").read_bytes()), "the hash is that of both files"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"extends": "bose.yaml"}, r"bose\.yaml: no such file"),
        ({"extends": "more.yaml"}, r"more\.yaml, key extends: 'more\.yaml' leads back to this file"),
        ({"extends": "base.yaml", "d": 2}, r"more\.yaml, key d: 2 cannot continue"),
        ({"extends": "base.yaml", "b": {"c": "text"}}, r"key b\.c: 'text' cannot continue"),
        (
            {"extends": "base.yaml", "drops": {"a": ["q"]}},
            r"key a: 'q' is no item of that list in .*base",
        ),
    ],
)
def test_wrong_continuations_are_refused(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    path = write(tmp_path, base={"a": ["x"], "b": {"c": ["z"]}, "d": 1}, more=more)
    with pytest.raises(YamlError, match=message):
        read_extended(path)


def test_low_volumes_lift_both_domes() -> None:
    case = Case((Finding("low_lung_volumes"),))
    drawings = simulator().draw([case] * 6, [pair_seed(2, "low", k) for k in range(6)])
    both = torch.stack([d.pictures([None, 0]) for d in drawings if d.case == case])
    rise = (both[:, 0] - both[:, 1]).mean(dim=0)
    for columns in (slice(28, 46), slice(82, 100)):
        assert rise[70:92, columns].mean() > 0.03 > rise[20:40, columns].mean()
