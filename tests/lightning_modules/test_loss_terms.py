"""Terms beside the objective: against slow sums, through the model, and refused where they make no sense."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lightning_modules import (
    DenseSupervision,
    DualEncoder,
    EncodedExchange,
    EncodedPrompts,
    EncodedTwins,
    EncoderOutput,
    ImageAgreement,
    InfoNCE,
    SideContrast,
    TwinDirection,
)
from lightning_modules.objectives import Gather

Make = Callable[..., Any]
NAMES = ("mass", "nodule", "lung_lesion")


class Lesions:
    """A catalogue in which a mass is a lesion."""

    def closure(self, names: list[str]) -> frozenset[str]:
        return frozenset({*names, *(["lung_lesion"] if "mass" in names else [])})


def facts(**rest: Any) -> Any:
    return SimpleNamespace(concept_names=NAMES, catalog=Lesions(), **rest)


def tower(**rest: Any) -> Any:
    return SimpleNamespace(width=6, image_size=16, patch_size=8, **rest)


def prepared(*concepts: str, cells: int = 2) -> DenseSupervision:
    torch.manual_seed(0)
    term = DenseSupervision(6, concepts or NAMES[1:], cells=cells)
    term.prepare(tower(), facts())
    return term


def lesions() -> dict[str, Any]:
    """Of five images of 16 px: a mass, nothing, two nodules, a mass and a nodule, nothing."""
    masks = [torch.zeros(n, 16, 16, dtype=torch.bool) for n in (1, 0, 2, 2, 0)]
    masks[0][0, 3:11, 2:7] = True
    masks[2][0, :2, :4], masks[2][1, 1:3, 2:9] = True, True
    masks[3][0, 12:, 12:], masks[3][1, 5, 5] = True, True
    concepts = [torch.tensor(some, dtype=torch.long) for some in ([0], [], [1, 1], [0, 1], [])]
    return {"masks": masks, "mask_concepts": concepts}


def test_dense_supervision_equals_the_slow_sum(features: Make) -> None:
    term, batch = prepared(), lesions()
    image, text = features()
    found = term([image], [text], [batch], Gather())
    columns = {0: [1], 1: [0], 2: [1]}  # nodule is the first channel, lesion the second; a mass is a lesion
    said = image.local @ term.head.weight.T + term.head.bias
    entropy, count, sums = 0.0, 0, torch.zeros(2, 3)
    for i in range(5):
        for channel in range(2):
            for row in range(4):
                for column in range(4):
                    patch, cell = row // 2 * 2 + column // 2, row % 2 * 2 + column % 2
                    p = float(said[i, patch, channel * 4 + cell].sigmoid())
                    area = (slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
                    shares = [
                        float(mask[area].float().mean())
                        for mask, concept in zip(batch["masks"][i], batch["mask_concepts"][i], strict=True)
                        if channel in columns[int(concept)]
                    ]
                    t = max(shares, default=0.0)
                    entropy -= t * math.log(p) + (1 - t) * math.log(1 - p)
                    count += 1
                    sums[channel] += torch.tensor([p * t, p, t])
    dice = float((2 * sums[:, 0] / (sums[:, 1] + sums[:, 2])).mean())
    assert float(found["loss"]) == pytest.approx((entropy / count + 1 - dice) / 2, rel=1e-5)
    assert float(found["dice"]) == pytest.approx(dice, rel=1e-5)


def test_concepts_that_a_batch_does_not_show_are_left_out_of_dice(features: Make) -> None:
    image, text = features()
    batch = lesions()
    batch["mask_concepts"] = [torch.zeros_like(some) for some in batch["mask_concepts"]]  # masses alone
    both, one = prepared("nodule", "lung_lesion"), prepared("lung_lesion")
    with torch.no_grad():
        one.head.weight.copy_(both.head.weight[4:])
        one.head.bias.copy_(both.head.bias[4:])
    pair = [term([image], [text], [batch], Gather())["dice"] for term in (both, one)]
    torch.testing.assert_close(*pair)
    nothing = {"masks": [torch.zeros(0, 16, 16).bool()] * 5, "mask_concepts": [torch.zeros(0).long()] * 5}
    assert float(one([image], [text], [nothing], Gather())["dice"]) == 0


def test_twin_direction_equals_the_slow_sum(features: Make) -> None:
    (v, _), (w, _), (p, _), (n, text) = (features(seed=seed) for seed in range(4))
    w.projected.data[1] = v.projected.data[1] + 0.01 * w.projected.data[1]  # a short difference
    differs = [True, True, False, True, False]
    twins = EncodedTwins(w, None, torch.tensor(differs))
    batch = {"twins": twins, "twin_prompts": EncodedPrompts(p, n)}
    found = TwinDirection()([v], [text], [batch], Gather())
    losses = []
    for i in (0, 1, 3):
        seen = v.projected[i] - w.projected[i]
        said = p.projected[i] - n.projected[i]
        losses.append(1 - float(seen @ said) / (max(float(seen.norm()), 0.1) * float(said.norm())))
    assert float(found["loss"]) == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert losses[1] > 0.8, "what hardly differs is not blown up"
    assert float(found["pairs"]) == pytest.approx(0.6)
    for leaf in (v, w, p):
        leaf.projected.retain_grad()
    TwinDirection()([v], [text], [batch], Gather())["loss"].backward()
    assert v.projected.grad is not None and w.projected.grad is not None and p.projected.grad is None


def test_agreement_is_info_nce_among_all_views(features: Make) -> None:
    views = [features(seed=seed)[0] for seed in range(3)]
    found = ImageAgreement(temperature=0.3)(views, [], [{}], Gather())
    losses = []
    for a, b in combinations(views, 2):
        similar = a.projected @ b.projected.T / 0.3
        losses.append(-(similar.log_softmax(1).diag().mean() + similar.log_softmax(0).diag().mean()) / 2)
    torch.testing.assert_close(found["loss"], torch.stack(losses).mean())
    with pytest.raises(ValueError, match=r"set data\.init_args\.views\.image_views to 2"):
        ImageAgreement()(views[:1], [], [{}], Gather())


def test_side_contrast_equals_the_slow_sum(features: Make) -> None:
    (image, text), (_, other) = features(), features(seed=1)
    exchanged = EncodedExchange(other, torch.tensor([True, False, True, True, False]))
    found = SideContrast(temperature=0.3)([image], [text], [{"sides_exchanged": exchanged}], Gather())
    losses, right = [], 0
    for i in (0, 2, 3):
        own, wrong = (float(image.projected[i] @ of.projected[i]) / 0.3 for of in (text, other))
        losses.append(-math.log(math.exp(own) / (math.exp(own) + math.exp(wrong))))
        right += own > wrong
    assert float(found["loss"]) == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert float(found["accuracy"]) == pytest.approx(right / 3)
    nothing = EncodedExchange(other, torch.zeros(5).bool())
    assert float(SideContrast()([image], [text], [{"sides_exchanged": nothing}], Gather())["loss"]) == 0


def step(dual: DualEncoder, batch: Any) -> tuple[Tensor, dict[str, float]]:
    dual._trainer = L.Trainer(logger=False, accelerator="cpu", barebones=True)
    logged: dict[str, float] = {}
    dual.log = lambda name, value, **_: logged.update({name: float(value)})  # type: ignore[method-assign]
    return dual.training_step(batch, 0), logged


def gradient(dual: DualEncoder, batch: Any) -> Tensor:
    """Of the first layer of the image tower."""
    dual.zero_grad()
    step(dual, batch)[0].backward()
    return next(p for n, p in dual.image_encoder.named_parameters() if "patch_embeddings" in n).grad.clone()  # type: ignore[union-attr]


def test_the_model_adds_the_terms_and_they_reach_the_image_tower(
    model: Make, batch: dict[str, Tensor]
) -> None:
    """All at once: the second view, the masks, the twins and their prompts, each through both towers."""
    dense = DenseSupervision(32, NAMES, weight=0.5)
    terms = [dense, TwinDirection(weight=2.0), ImageAgreement(weight=0.25), SideContrast(weight=0.5)]
    dual = model(InfoNCE(), terms=terms)
    dense.prepare(dual.image_encoder, facts())
    others = {key: batch[key].flip(0) for key in ("input_ids", "attention_mask")}
    masks = torch.zeros(6, 1, 32, 32, dtype=torch.bool)
    masks[:, :, 8:20, 4:] = True
    whole = {
        **batch,
        "other_images": [batch["image"].flip(0)],
        "masks": list(masks),
        "mask_concepts": [torch.tensor([i % 3]) for i in range(6)],
        "twins": {**others, "image": batch["image"].roll(1, 0), "left_out": torch.arange(-1, 5)},
        "twin_prompts": {"present": others, "absent": {k: batch[k] for k in others}},
        "sides_exchanged": {**others, "contradicts": torch.arange(6) > 2},
    }
    loss, logged = step(dual, whole)
    terms_sum = sum(t.weight * logged[f"train/{t.name}_loss"] for t in terms)
    _, plain = step(model(InfoNCE()), {**batch, "other_images": whole["other_images"]})
    assert float(loss) == pytest.approx(plain["train/loss"] + terms_sum, rel=1e-4)
    with_all = gradient(dual, whole)
    for term in terms:
        weight, term.weight = term.weight, 0.0
        assert (gradient(dual, whole) - with_all).norm() > 1e-3 * with_all.norm(), term.name
        term.weight = weight
    asked = {"masks", "mask_concepts", "twins", "twin_prompts", "other_images", "sides_exchanged"}
    assert asked <= dual.needs("train")
    assert dual.needs("val") == frozenset()


def test_twins_are_read_without_their_reports_where_no_objective_compares_them(
    model: Make, batch: dict[str, Tensor]
) -> None:
    dual = model(InfoNCE(), terms=[TwinDirection()])
    read: list[int] = []
    dual.text_encoder.register_forward_pre_hook(
        lambda _, inputs: read.append(inputs[0]["input_ids"].shape[1])
    )
    tokens = {key: batch[key] for key in ("input_ids", "attention_mask")}
    short = {key: value[:, :3] for key, value in tokens.items()}
    long = {key: torch.cat([value, value], 1) for key, value in tokens.items()}
    twins = {**long, "image": batch["image"] * 0.5, "left_out": torch.arange(6)}
    step(dual, {**batch, "twins": twins, "twin_prompts": {"present": short, "absent": short}})
    assert sorted(read) == [3, 3, 8]


def test_terms_that_make_no_sense_are_refused(model: Make) -> None:
    with pytest.raises(ValueError, match="terms hold 'agreement' twice"):
        model(InfoNCE(), terms=[ImageAgreement(), ImageAgreement()])
    with pytest.raises(ValueError, match=r"concepts \['gout'\] are not among those of the data"):
        prepared("gout")
    for wrong, message in (
        ({"patch_drop": 0.5}, r"patch_drop of SimpleNamespace is 0\.5.*to 0"),
        ({"width": 8}, "give width=8"),
    ):
        with pytest.raises(ValueError, match=message):
            DenseSupervision(6, NAMES).prepare(SimpleNamespace(**{**vars(tower()), **wrong}), facts())
    with pytest.raises(ValueError, match="one or more, each once"):
        DenseSupervision(6, ["mass", "mass"])
    with pytest.raises(ValueError, match="weight"):
        TwinDirection(weight=-1)
    assert model(InfoNCE(), terms=[ImageAgreement()]).needs_negatives


def test_patches_keep_their_places_in_the_map() -> None:
    """A head that reads one number of each patch puts it where the patch is."""
    term = prepared("nodule", cells=1)
    with torch.no_grad():
        term.head.weight.zero_()[0, 0] = 1
        term.head.bias.zero_()
    local = torch.zeros(1, 4, 6)
    local[0, :, 0] = torch.arange(4.0)
    output = EncoderOutput(local[:, 0], local, local[:, 0], torch.ones(1, 4).bool())
    assert term.logits(output)[0, 0].tolist() == [[0, 1], [2, 3]]
