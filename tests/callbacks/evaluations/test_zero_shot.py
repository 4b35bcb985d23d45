from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import normalize

from callbacks import Features, Occasion, ZeroShot
from callbacks.evaluations.zero_shot import prompt_directions
from callbacks.evaluations.zero_shot_prompts import (
    catalogue_prompts,
    prompts_sha256,
    read_prompts,
    share_in_reports,
)
from datamodules.texts.text_view import full_text
from synthesis.cases import BalancedCaseSampler
from synthesis.reports.grammar import GrammarWriter
from tests.known_data import KnownData

ROOT = Path(__file__).resolve().parents[3]

TEST = Occasion("test", ("edema", "mass"), final=True)
PROMPTS = {
    "edema": {"present": ["edema", "wet lungs"], "absent": ["no edema"]},
    "mass": {"present": ["mass"], "absent": ["no mass", "without a mass", "clear"]},
}


class Words:
    """Encodes a text as a fixed unit vector, drawn by the text."""

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        draw = [torch.randn(8, generator=torch.Generator().manual_seed(sum(text.encode()))) for text in texts]
        return normalize(torch.stack(draw), dim=1)


def datamodule(prompts: dict = PROMPTS) -> KnownData:
    catalog = {
        name: SimpleNamespace(prompts_present=both["present"], prompts_absent=both["absent"])
        for name, both in prompts.items()
    }
    data = KnownData()
    data.catalog, data.concept_names = catalog, tuple(prompts)
    return data


def features(images: torch.Tensor, labels: torch.Tensor) -> Features:
    index = torch.arange(len(images))
    return Features(images, images, index, None, labels, index, torch.full_like(index, -1))


def evaluated(images: torch.Tensor, labels: torch.Tensor, occasion: Occasion = TEST):
    callback = ZeroShot(resamples=50)
    callback.prepare(SimpleNamespace(datamodule=datamodule()), Words())
    return callback.evaluate(features(images, labels), occasion)


@pytest.fixture
def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    labels = (torch.rand(80, 2, generator=g) < 0.4).float()
    return normalize(torch.randn(80, 8, generator=g), dim=1), labels


def test_scores_order_images_as_the_softmax_over_present_and_absent_does(drawn) -> None:
    images, labels = drawn
    found = evaluated(images, labels).metrics
    for c, (name, both) in enumerate(PROMPTS.items()):
        present = normalize(Words().encode_text(both["present"]).mean(0), dim=0)
        absent = normalize(Words().encode_text(both["absent"]).mean(0), dim=0)
        probability = torch.softmax(torch.stack([images @ present, images @ absent], 1).double() / 0.07, 1)[
            :, 0
        ]
        assert found[f"auroc/{name}"] == pytest.approx(roc_auc_score(labels[:, c], probability))


def test_images_that_lie_at_their_sentences_are_told_apart_and_others_are_not(drawn) -> None:
    images, labels = drawn
    directions = prompt_directions(Words(), PROMPTS)
    at_sentences = normalize(((2 * labels - 1).double() @ directions).float() + 0.1 * images, dim=1)
    assert evaluated(at_sentences, labels).metrics["auroc_macro"] > 0.95
    assert evaluated(-at_sentences, labels).metrics["auroc_macro"] < 0.05
    orthogonal = images.double() - images.double() @ torch.linalg.pinv(directions) @ directions
    orthogonal += 1e-3 * directions.sum(0) * torch.randn(80, 1, generator=torch.Generator().manual_seed(1))
    assert evaluated(orthogonal.float(), labels).metrics["auroc_macro"] == pytest.approx(0.5, abs=0.12)


def test_directions_are_differences_of_unit_vectors() -> None:
    directions = prompt_directions(Words(), PROMPTS)
    first = normalize(Words().encode_text(["mass"]).double(), dim=1)
    rest = normalize(Words().encode_text(PROMPTS["mass"]["absent"]).double().mean(0, keepdim=True), dim=1)
    torch.testing.assert_close(directions[1:], first - rest)
    assert directions.shape == (2, 8) and directions.dtype == torch.float64


def test_the_prompts_are_recorded_by_their_hash(drawn) -> None:
    details = evaluated(*drawn).details
    assert details["prompts_sha256"] == prompts_sha256(PROMPTS) and details["prompts"] == 7
    reordered = {name: PROMPTS[name] for name in ("mass", "edema")}
    changed = PROMPTS | {"mass": {"present": ["a mass"], "absent": ["clear"]}}
    assert prompts_sha256(reordered) == prompts_sha256(PROMPTS) != prompts_sha256(changed)


def test_a_concept_without_prompts_and_data_without_a_catalogue_are_named() -> None:
    with pytest.raises(ValueError, match="'edema' has no absent prompts"):
        catalogue_prompts(datamodule({"edema": {"present": ["edema"], "absent": []}}))
    named = KnownData()
    named.concept_names = ("edema",)
    with pytest.raises(ValueError, match="KnownData has concept_names and no catalog"):
        catalogue_prompts(named)


def test_data_without_labels_is_noted(drawn) -> None:
    result = evaluated(drawn[0], torch.empty(80, 0), Occasion("test", (), True))
    assert result.metrics == {} and "no labels" in result.details["note"]


def named() -> KnownData:
    data = KnownData()
    data.concept_names = ("edema", "no_finding")
    data.catalog = {
        "edema": SimpleNamespace(preferred_name="pulmonary edema", entity_type="abnormality"),
        "no_finding": SimpleNamespace(preferred_name="no acute abnormality", entity_type="normality"),
    }
    return data


def test_a_file_of_templates_gives_every_concept_its_prompts(tmp_path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(
        "source: us\npresent: ['{concept}', 'an x-ray of {concept}']\nabsent: ['no {concept}']\n"
        "concepts:\n  no_finding: {present: [healthy], absent: [sick]}\n"
    )
    assert read_prompts(path, named()) == {
        "edema": {
            "present": ["pulmonary edema", "an x-ray of pulmonary edema"],
            "absent": ["no pulmonary edema"],
        },
        "no_finding": {"present": ["healthy"], "absent": ["sick"]},
    }
    callback = ZeroShot(name="other", prompts=str(path), resamples=0)
    callback.prepare(SimpleNamespace(datamodule=named()), Words())
    images = normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = (torch.arange(80).reshape(40, 2) % 3 == 0).float()
    result = callback.evaluate(features(images, labels), Occasion("test", ("edema", "no_finding"), True))
    assert result.details["prompts"] == 5 and result.details["prompts_file"] == str(path)
    scores = images.double() @ prompt_directions(Words(), read_prompts(path, named()))[0]
    assert result.metrics["auroc/edema"] == pytest.approx(roc_auc_score(labels[:, 0], scores))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("present: [a]\nabsent: [b]", "write source"),
        ("source: us\npresent: [a]", "key absent: None"),
        ("source: us\npresent: [a]\nabsent: b", "key absent: 'b'"),
        ("source: us\npresent: [a]\nabsent: [b]\nother: 1", r"holds the keys \['absent', 'other'"),
        ("source: us\npresent: [a]\nabsent: [b]\nconcepts: {edem: {}}", r"\['edem'\] are not in"),
        (
            "source: us\npresent: [a]\nabsent: [b]\nconcepts: {edema: {present: [c]}}",
            "concept edema, key absent",
        ),
    ],
)
def test_a_malformed_file_of_prompts_is_named(tmp_path, text, message) -> None:
    path = tmp_path / "prompts.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_prompts(path, named())


def test_prompts_that_reports_hold_are_counted() -> None:
    reports = ["FINDINGS: There is edema. No mass seen. IMPRESSION: Edema.", "Clear lungs."]
    prompts = {"edema": {"present": ["There is edema.", "Wet"], "absent": ["clear lungs", "No mass"]}}
    assert share_in_reports(prompts, reports) == 0.5


def test_the_shipped_files_hardly_ask_in_sentences_of_the_grammar(catalog) -> None:
    sampler, writer = BalancedCaseSampler(), GrammarWriter()
    cases = [sampler.sample(0, "train", i) for i in range(400)]
    reports = [full_text(report) for report in writer.write(cases, range(400))]
    data = KnownData()
    data.concept_names, data.catalog = catalog.names, catalog
    own = share_in_reports(catalogue_prompts(data), reports)
    outside, chexzero = (
        read_prompts(ROOT / "configs" / "prompts" / "zero_shot" / f"{name}.yaml", data)
        for name in ("outside", "chexzero")
    )
    assert outside.keys() == chexzero.keys() == set(catalog.names)
    assert own > 0.1 > 2 * share_in_reports(outside, reports)
