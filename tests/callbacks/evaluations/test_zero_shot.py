from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import normalize

from callbacks import Features, Occasion, ZeroShot
from callbacks.evaluations.zero_shot import catalogue_prompts, prompt_directions, prompts_sha256
from tests.known_data import KnownData

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
