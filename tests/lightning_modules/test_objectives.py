from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules import ConceptAwareInfoNCE, ContradictionInfoNCE, EncoderOutput, InfoNCE
from lightning_modules.objectives import Gather
from lightning_modules.objectives.concept_aware_info_nce import same_concepts

LABELS = {
    "all differ": [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]],
    "some equal": [[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]],
    "all equal": [[0, 0, 0]] * 5,
    "unknown": [[1, 0, math.nan], [1, 0, math.nan], [1, 0, 0], [1, 0, 0], [math.nan] * 3],
}


def output(vectors: Tensor) -> EncoderOutput:
    return EncoderOutput(
        vectors, vectors[:, None], F.normalize(vectors, dim=-1), torch.ones(len(vectors), 1).bool()
    )


def pair(count: int = 5, dim: int = 7) -> tuple[EncoderOutput, EncoderOutput]:
    draw = torch.Generator().manual_seed(count)
    image, text = (torch.randn(count, dim, generator=draw, requires_grad=True) for _ in range(2))
    return output(image), output(text)


def slow_direction(
    rows: Tensor, columns: Tensor, temperature: float, target: list[list[float]], left_out: Any
) -> float:
    """−Σ_j target_ij · log(e^{s_ij} / Σ_k e^{s_ik}), averaged over i, one exponential at a time."""
    total = 0.0
    for i in range(len(rows)):
        similar = [float(rows[i] @ columns[j]) / temperature for j in range(len(columns))]
        below = sum(math.exp(s) for j, s in enumerate(similar) if not left_out(i, j))
        total -= sum(t * (similar[j] - math.log(below)) for j, t in enumerate(target[i]) if t)
    return total / len(rows)


def equal_sets(labels: list[list[float]]) -> list[list[bool]]:
    """NaN differs from itself, so that plain == says what it should."""
    count = len(labels)
    return [
        [i != j and all(a == b for a, b in zip(labels[i], labels[j], strict=True)) for j in range(count)]
        for i in range(count)
    ]


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("weight", [0.0, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("count", [2, 5])
def test_info_nce_equals_the_slow_sum(temperature: float, weight: float, count: int) -> None:
    image, text = pair(count)
    found = InfoNCE(temperature, image_weight=weight)(image, text, {}, Gather())
    own = [[float(i == j) for j in range(count)] for i in range(count)]
    v, u = image.projected.detach().double(), text.projected.detach().double()
    nothing = lambda i, j: False  # noqa: E731
    expected = weight * slow_direction(v, u, temperature, own, nothing) + (1 - weight) * slow_direction(
        u, v, temperature, own, nothing
    )
    assert found["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert found["temperature"].item() == pytest.approx(temperature)
    assert found["negatives"].item() == count - 1


def test_info_nce_equals_the_clip_loss_of_transformers() -> None:
    from transformers import BertConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel, ViTConfig

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = VisionTextDualEncoderConfig(
        vision_config=ViTConfig(image_size=16, patch_size=8, **sizes).to_dict(),
        text_config=BertConfig(vocab_size=16, **sizes).to_dict(),
        projection_dim=8,
    )
    model = VisionTextDualEncoderModel(config).eval()
    draw = torch.Generator().manual_seed(0)
    theirs = model(
        input_ids=torch.randint(1, 16, (6, 5), generator=draw),
        pixel_values=torch.rand(6, 3, 16, 16, generator=draw),
        return_loss=True,
    )
    objective = InfoNCE(temperature=1 / model.logit_scale.exp().item())
    ours = objective(output(theirs.image_embeds), output(theirs.text_embeds), {}, Gather())
    torch.testing.assert_close(ours["loss"], theirs.loss, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("mode", ["mask", "soft"])
@pytest.mark.parametrize("softness", [0.3, 1.0])
def test_concept_aware_equals_the_slow_sum(labels: list[list[float]], mode: Any, softness: float) -> None:
    image, text = pair()
    same = equal_sets(labels)
    target, left_out = [], (lambda i, j: mode == "mask" and same[i][j])
    for i, row in enumerate(same):
        weights = [float(i == j) + (softness * other if mode == "soft" else 0) for j, other in enumerate(row)]
        target.append([weight / sum(weights) for weight in weights])
    objective = ConceptAwareInfoNCE(mode, softness, temperature=0.2, image_weight=0.6)
    found = objective(image, text, {"labels": torch.tensor(labels)}, Gather())
    v, u = image.projected.detach().double(), text.projected.detach().double()
    expected = 0.6 * slow_direction(v, u, 0.2, target, left_out) + 0.4 * slow_direction(
        u, v, 0.2, target, left_out
    )
    assert found["loss"].item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert found["negatives"].item() == pytest.approx(4 - sum(map(sum, same)) / 5)
    found["loss"].backward()
    assert objective.log_scale.grad is not None and torch.isfinite(objective.log_scale.grad)


@pytest.mark.parametrize("mode", ["mask", "soft"])
@pytest.mark.parametrize(
    "labels", [LABELS["all differ"], [[math.nan] * 3] * 5], ids=["all differ", "all unknown"]
)
def test_concept_aware_is_info_nce_when_no_two_sets_are_equal(mode: Any, labels: list[list[float]]) -> None:
    losses, gradients = [], []
    for objective in (InfoNCE(), ConceptAwareInfoNCE(mode)):
        image, text = pair()
        loss = objective(image, text, {"labels": torch.tensor(labels)}, Gather())["loss"]
        gradients.append(torch.cat(torch.autograd.grad(loss, [image.pooled, text.pooled])))
        losses.append(loss)
    if mode == "mask":
        assert torch.equal(*losses) and torch.equal(*gradients)
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


def test_a_false_negative_is_repelled_left_alone_or_attracted() -> None:
    labels = {"labels": torch.tensor([[1.0], [1.0], [0.0]])}
    pull = []
    for objective in (
        InfoNCE(0.5),
        ConceptAwareInfoNCE("mask", temperature=0.5),
        ConceptAwareInfoNCE("soft", temperature=0.5),
    ):
        vectors = torch.eye(3).requires_grad_()  # images; reports all the same, so that only targets decide
        image = EncoderOutput(vectors, vectors, vectors, torch.ones(3, 1).bool())
        text = EncoderOutput(*[torch.eye(3)] * 3, torch.ones(3, 1).bool())
        similar = InfoNCE(0.5, image_weight=1.0) if type(objective) is InfoNCE else objective
        similar.image_weight = 1.0
        similar(image, text, labels, Gather())["loss"].backward()
        pull.append(
            -vectors.grad[0, 1].item()
        )  # how descent moves image 0 along report 1, which means the same
    assert pull[0] < 0 and pull[1] == 0 and pull[2] > 0


def test_same_concepts_agrees_with_comparing_one_by_one() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 2, (40, 3), generator=draw).float()
    rows[torch.rand(40, 3, generator=draw) < 0.1] = math.nan
    columns = rows[torch.randperm(40, generator=draw)][:25]
    assert torch.equal(same_concepts(rows, columns), (rows[:, None] == columns[None]).all(-1))


def test_scale_is_clamped_after_a_step_and_not_before() -> None:
    objective = InfoNCE(temperature=0.01)
    with torch.no_grad():
        objective.log_scale += 1
    image, text = pair()
    assert objective(image, text, {}, Gather())["temperature"].item() == pytest.approx(0.01 / math.e)
    objective.after_step()
    assert objective(image, text, {}, Gather())["temperature"].item() == pytest.approx(0.01)
    assert objective.log_scale.item() == pytest.approx(math.log(100))


def test_temperature_can_be_fixed() -> None:
    assert not InfoNCE(learnable=False).log_scale.requires_grad
    assert InfoNCE().log_scale.requires_grad


def test_loss_is_computed_in_float32_from_bfloat16_features() -> None:
    image, text = pair()
    expected = InfoNCE()(image, text, {}, Gather())["loss"]
    for features in (image, text):
        features.projected = features.projected.bfloat16()
    found = InfoNCE()(image, text, {}, Gather())["loss"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": 0.001}, "1/max_scale = 0.01"),
        ({"image_weight": 1.5}, "image_weight is 1.5"),
        ({"max_scale": 0.0}, "max_scale is 0.0"),
        ({"mode": "hard"}, "mode is 'hard'"),
        ({"softness": 0.0}, "softness is 0.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConceptAwareInfoNCE(**arguments)


def test_missing_labels_are_named() -> None:
    with pytest.raises(KeyError, match="'labels' in the batch, which has"):
        ConceptAwareInfoNCE()(*pair(), {"image": torch.zeros(5)}, Gather())


CLAIMS = {  # asserted, denied, by text; the labels are those of "all differ"
    "no claims": ([[0, 0, 0]] * 5, [[0, 0, 0]] * 5),
    "own findings": (LABELS["all differ"], [[0, 0, 0]] * 5),
    "denials": ([[0, 0, 0]] * 5, [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    "both": (
        [[1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]],
        [[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("claims", CLAIMS)
def test_only_texts_that_an_image_contradicts_are_negatives(claims: str, unknown: bool) -> None:
    image, text = pair()
    labels = [list(row) for row in LABELS["all differ"]]
    if unknown:
        labels[1] = [math.nan] * 3
    asserted, denied = CLAIMS[claims]

    def true(i: int, j: int) -> bool:  # text j of image i
        return not any(
            (a and label == 0) or (d and label == 1)
            for a, d, label in zip(asserted[j], denied[j], labels[i], strict=True)
        )

    batch = {
        "labels": torch.tensor(labels).float(),
        "asserted": torch.tensor(asserted).float(),
        "denied": torch.tensor(denied).float(),
    }
    found = ContradictionInfoNCE(temperature=0.5)(image, text, batch, Gather())
    own = [[float(i == j) for j in range(5)] for i in range(5)]
    to_texts = slow_direction(image.projected, text.projected, 0.5, own, lambda i, j: i != j and true(i, j))
    to_images = slow_direction(text.projected, image.projected, 0.5, own, lambda j, i: i != j and true(i, j))
    assert float(found["loss"]) == pytest.approx((to_texts + to_images) / 2, abs=1e-5)
    assert float(found["negatives"]) == pytest.approx(
        sum(not true(i, j) for i in range(5) for j in range(5)) / 5
    )
    if claims == "no claims":
        assert float(found["loss"]) == 0


def test_without_claims_contradiction_is_info_nce_and_without_labels_it_is_refused() -> None:
    image, text = pair()
    plain, same = (
        kind(temperature=0.2)(image, text, {}, Gather()) for kind in (InfoNCE, ContradictionInfoNCE)
    )
    assert torch.equal(plain["loss"], same["loss"])
    with pytest.raises(KeyError, match="needs 'labels' in the batch"):
        ContradictionInfoNCE()(
            image, text, {"asserted": torch.zeros(5, 3), "denied": torch.zeros(5, 3)}, Gather()
        )
