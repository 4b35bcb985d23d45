from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from callbacks import (
    DenseHeadMaps,
    FeatureCollector,
    Features,
    LocalHeadMaps,
    Occasion,
    PatchMaps,
    PhraseGrounding,
)
from callbacks.evaluations.phrase_grounding import GroundedFinding
from callbacks.statistics.grounding import agreement, location_prior, similarity_map
from lightning_modules import (
    BertEncoder,
    DenseSupervision,
    DualEncoder,
    EvaluationOutput,
    InfoNCE,
    ViTEncoder,
)
from synthesis.concepts import ConceptCatalog
from tests.known_data import KnownData

THRESHOLDS = (0.5, 0.9)


@pytest.mark.parametrize("pooling", ["mean", "spatial"])
def test_what_patches_add_is_what_the_image_is(pooling: Any) -> None:
    torch.manual_seed(0)
    encoder = ViTEncoder(32, 8, 16, 1, 2, pooling=pooling, projection_dim=6).eval()
    image = torch.rand(5, 1, 32, 32)
    output = encoder({"image": image})
    patches = encoder.project_local(output)
    assert patches.shape == (5, 16, 6)
    if pooling == "mean":
        whole = patches.mean(1)
    else:
        whole = patches.sum(1) + encoder.projection(encoder.mix.bias * (output.pooled > 0))
    assert torch.allclose(F.normalize(whole, dim=1), output.projected, atol=1e-5)


def test_a_map_on_its_mask_is_perfect_and_a_map_beside_it_is_not() -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:8, 8:12] = True
    pointing, chance, iou, cnr = agreement(mask.float() + 0.01 * torch.rand(16, 16), mask, THRESHOLDS)
    assert (pointing, chance, iou) == (1, 1 / 16, 1) and cnr > 20
    pointing, _, iou, cnr = agreement(mask.roll(8, 1).float(), mask, THRESHOLDS)
    assert (pointing, iou) == (0, 0) and cnr < 0
    half = 0.7 * mask.float() + 0.3 * mask.float() * (torch.arange(16) < 10)
    assert agreement(half, mask, THRESHOLDS)[2] == pytest.approx((1 + 0.5) / 2)  # whole at .5, half at .9
    assert agreement(torch.zeros(16, 16), mask, THRESHOLDS)[3] == 0


def test_a_map_points_where_the_patch_that_resembles_the_phrase_lies() -> None:
    patches = torch.zeros(4, 4, 3)
    patches[1, 2] = torch.tensor([0.0, 5, 0])
    map_ = similarity_map(patches, torch.tensor([0.0, 1, 0]), (32, 32))
    top = divmod(int(map_.argmax()), 32)
    assert 8 <= top[0] < 16 and 16 <= top[1] < 24
    assert similarity_map(patches, torch.tensor([1.0, 0, 0]), (32, 32)).abs().max() == 0


def grounded(concept: int, pointing: float, mask: np.ndarray, cnr: float = 1.0) -> GroundedFinding:
    return GroundedFinding(concept, pointing, 0.25, 0.125, 0.5, cnr, np.packbits(mask), (4, 5))


def test_findings_are_averaged_and_concepts_with_few_are_named() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1, 3] = True
    rows = [[grounded(0, float(i % 2), mask)] for i in range(20)]
    rows[3].append(grounded(1, 0.0, mask, cnr=-1.0))
    index, none = torch.arange(20), torch.zeros(20, 2)
    features = Features(none, none, index, None, none, index, index, measured={"grounding": rows})
    result = PhraseGrounding(resamples=40).evaluate(features, Occasion("test", ("edema", "mass"), True))
    assert result.metrics["pointing"] == pytest.approx(10 / 21)
    assert result.metrics["pointing_gain"] == pytest.approx(10 / 21 - 0.25)
    assert result.metrics["gain_over_shuffled"] == pytest.approx(10 / 21 - 0.125)
    # All edema lies in one place, which other patients' masks give away; the mass is the only one.
    assert result.metrics["pointing_prior"] == result.metrics["pointing_prior/edema"] == 1
    assert result.metrics["gain_over_prior"] == -0.5 and result.details["without_prior"] == 1
    assert result.metrics["pointing/edema"] == 0.5 and "pointing/mass" not in result.metrics
    assert result.details["left_out"] == {"mass": 1}
    assert result.draws.keys() == {
        "pointing", "pointing_chance", "pointing_shuffled", "pointing_prior", "pointing_gain", "iou", "cnr",
        "gain_over_prior", "gain_over_shuffled",
    }  # fmt: skip


def packed(masks: np.ndarray) -> np.ndarray:
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def test_the_prior_points_where_masks_of_other_folds_overlap_most() -> None:
    masks = np.zeros((6, 8, 8), np.uint8)
    masks[:4, 2:4, 2:4] = 1
    masks[3, 2:8, 2:8] = 1
    masks[4, 6, 6] = 1
    masks[5, 0, 0] = 1
    concept, fold = np.array([0, 0, 0, 0, 0, 1]), np.array([0, 1, 2, 3, 0, 0])
    hits = location_prior(packed(masks), (8, 8), concept, fold)
    assert hits[:5].tolist() == [1, 1, 1, 1, 0] and np.isnan(hits[5])
    # A finding of the fold itself does not vote: where patients share nothing, the prior is wrong.
    apart = np.zeros((2, 4, 4), np.uint8)
    apart[0, 0, 0] = apart[1, 3, 3] = 1
    assert location_prior(packed(apart), (4, 4), np.zeros(2), np.arange(2)).tolist() == [0, 0]


class Gloria(torch.nn.Module):
    """A model whose objective has heads for words and patches: word c looks for patch c."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.objective: Any = SimpleNamespace(image_local=torch.nn.Identity(), text_local=torch.nn.Identity())
        self.tokenizer, self.text_encoder = self.Tokenizer(), self.Reader()

    def image_encoder(self, batch: dict[str, torch.Tensor]) -> Any:
        return SimpleNamespace(local=torch.eye(4).repeat(len(batch["image"]), 1, 1))

    class Tokenizer:
        model_max_length = 8

        def __call__(self, texts: list[str], **_: Any) -> dict[str, torch.Tensor]:
            ids = torch.tensor([[0, int(text), 0] for text in texts])
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    class Reader:
        max_length = 8

        def __call__(self, batch: dict[str, torch.Tensor]) -> Any:
            local = torch.eye(4)[batch["input_ids"]]
            return SimpleNamespace(local=local, local_mask=batch["attention_mask"].bool())


def test_words_and_patches_meet_in_the_heads_of_the_objective() -> None:
    prompts = {"a": {"present": ["3"], "absent": ["0"]}, "b": {"present": ["1", "2"], "absent": ["0"]}}
    maps, model = LocalHeadMaps(), Gloria()
    maps.prepare(model, KnownData(), prompts)
    found = maps.maps(model, torch.rand(2, 1, 8, 8))
    assert found.shape == (2, 2, 2, 2)
    assert found[1].tolist() == [[[0, 0], [0, 1]], [[0, 0.5], [0.5, 0]]]
    model.objective = SimpleNamespace()
    with pytest.raises(TypeError, match=r"was trained with SimpleNamespace\. Take callbacks\.PatchMaps"):
        maps.prepare(model, KnownData(), prompts)


def test_the_head_that_found_masks_says_where_its_concepts_are(catalog: ConceptCatalog) -> None:
    torch.manual_seed(0)
    head = DenseSupervision(16, ["mass", "edema"], cells=2)
    data = KnownData()
    data.concept_names, data.catalog = catalog.names, catalog
    model = DualEncoder(
        ViTEncoder(32, 8, 16, 1, 2), BertEncoder(64, 16, 1, 2, max_length=8), InfoNCE(), terms=[head]
    )
    maps = DenseHeadMaps()
    prompts = {name: {"present": [], "absent": []} for name in catalog.names}
    maps.prepare(model, data, prompts)
    images = torch.rand(2, 1, 32, 32)
    found = maps.maps(model, images)
    assert found.shape == (2, len(catalog), 8, 8)
    with torch.no_grad():
        logits = head.logits(model.image_encoder.eval()({"image": images}))
    assert torch.equal(found[:, catalog.index("edema")], logits[:, 1])
    assert not found[:, catalog.index("nodule")].any()
    plain = DualEncoder(ViTEncoder(32, 8, 16, 1, 2), BertEncoder(64, 16, 1, 2, max_length=8), InfoNCE())
    with pytest.raises(TypeError, match=r"pre-trained with configs/terms/dense.yaml"):
        maps.prepare(plain, data, prompts)


class Quadrants:
    """A model that finds concept c in quadrant c, whatever the image shows."""

    device = torch.device("cpu")

    def encode_patches(self, images: torch.Tensor) -> torch.Tensor:
        return torch.eye(4).reshape(2, 2, 4).expand(len(images), 2, 2, 4)

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        return torch.eye(4)[[int(text) for text in texts]]


def test_a_phrase_is_compared_with_those_of_findings_that_the_image_lacks() -> None:
    data = KnownData()
    data.concept_names = ("a", "b", "c", "tube")
    kinds = ["abnormality"] * 3 + ["device"]
    data.catalog = {
        name: SimpleNamespace(prompts_present=[str(i)], prompts_absent=[str(i)], entity_type=kinds[i])
        for i, name in enumerate(data.concept_names)
    }
    collector, grounding = FeatureCollector(), PhraseGrounding()
    grounding.on_validation_start(SimpleNamespace(callbacks=[collector], datamodule=data), Quadrants())
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, :4, :] = True  # the upper half: quadrants 0 and 1
    labels = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    batch = {
        "image": torch.rand(1, 1, 8, 8),
        "index": torch.zeros(1).long(),
        "masks": [masks],
        "labels": labels,
    }
    batch["mask_concepts"] = [torch.tensor([0])]
    ((finding,),) = grounding.measure(Quadrants(), batch, EvaluationOutput(labels, labels))
    assert (
        finding.pointing == 1 and finding.pointing_shuffled == 0.5
    )  # b is in it, c is not; the tube is none
    batch["labels"] = torch.tensor([[1.0, float("nan"), 0.0, 0.0]])  # not known to lack b
    ((finding,),) = grounding.measure(Quadrants(), batch, EvaluationOutput(labels, labels))
    assert finding.pointing_shuffled == 0
    assert np.unpackbits(finding.mask, count=64).reshape(8, 8).tolist() == masks[0].int().tolist()


class Concepts(PatchMaps):
    reads_phrases = False


def test_the_phrases_of_the_data_are_looked_for_where_there_are_some() -> None:
    data = KnownData()
    data.concept_names, data.phrases = ("a", "b"), (("a", "1"), ("b", "2"), ("b", "3"))
    words = SimpleNamespace(prompts_present=["0"], prompts_absent=["0"], entity_type="abnormality")
    data.catalog = dict.fromkeys(data.concept_names, words)
    right = torch.zeros(1, 8, 8, dtype=torch.bool)
    right[0, :, 4:] = True  # quadrants 1 and 3; the prompts of both concepts point at quadrant 0

    def found(b: float, index: int, maps: PatchMaps) -> GroundedFinding:
        grounding = PhraseGrounding(maps=maps)
        grounding.on_validation_start(
            SimpleNamespace(callbacks=[FeatureCollector()], datamodule=data), Quadrants()
        )
        batch: Any = {"image": torch.rand(1, 1, 8, 8), "index": torch.tensor([index]), "masks": [right]}
        batch |= {
            "labels": torch.tensor([[1.0, b]]),
            "mask_concepts": [torch.tensor([0])],
            "phrases": [["1"]],
        }
        output: Any = EvaluationOutput(batch["labels"], batch["labels"])
        ((finding,),) = grounding.measure(Quadrants(), batch, output)  # type: ignore[arg-type]
        return finding

    nan = float("nan")
    assert found(nan, 0, PatchMaps()).pointing == 1 and found(nan, 0, Concepts()).pointing == 0
    assert found(nan, 0, PatchMaps()).pointing_shuffled == 0, "'2', at the lower left"
    assert found(nan, 1, PatchMaps()).pointing_shuffled == 1, "'3', at the lower right"
    assert np.isnan(found(1.0, 0, PatchMaps()).pointing_shuffled), "the image shows b, too"


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"thresholds=\[0.5, 1\]"):
        PhraseGrounding(thresholds=(0.5, 1))


def test_the_command_line_grounds_phrases(evaluate: Callable[..., Any]) -> None:
    summary, directory = evaluate("grounding")
    assert {"test/grounding/gain_over_prior", "test/grounding/gain_over_shuffled"} <= summary.keys()
    assert 0 < summary["test/grounding/pointing_chance"] < 1 and 0 <= summary["test/grounding/iou"] < 1
    assert summary.keys() >= {"test/grounding/pointing", "test/grounding/cnr"}
    details = summary["details"]["test/grounding"]
    assert details.keys() >= {"n", "split_sha256", "prompts_sha256", "intervals", "findings"}
    assert (directory / "pictures" / "test_grounding.png").stat().st_size > 10_000
