from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from callbacks import Features, Occasion, SegmentationDice
from callbacks.base.result import with_intervals
from callbacks.evaluations.segmentation_dice import SegmentedImage
from datamodules import Augmentation, SyntheticPairs, Views
from lightning_modules import Segmentation, ViTEncoder
from lightning_modules.downstream.pyramid_decoder import PyramidDecoder
from lightning_modules.downstream.unetr_decoder import UnetrDecoder
from main import main
from synthesis.organ_names import ORGANS
from synthesis.pairs import PairSynthesizer


def tiny(**rest: Any) -> Segmentation:
    torch.manual_seed(0)
    return Segmentation(ViTEncoder(32, 8, 16, 2, 2), ("mass", "edema"), channels=4, **rest)


def test_maps_are_the_tokens_in_their_places() -> None:
    encoder = ViTEncoder(32, 8, 16, 3, 2).eval()
    batch = {"image": torch.rand(2, 1, 32, 32)}
    maps = encoder.hidden_maps(batch)
    assert [tuple(m.shape) for m in maps] == [(2, 16, 4, 4)] * 3
    assert torch.allclose(maps[-1].flatten(2).transpose(1, 2), encoder(batch).local, atol=1e-6)
    assert not torch.equal(maps[0], maps[1])
    with pytest.raises(ValueError, match="leaves holes"):
        ViTEncoder(32, 8, 16, 1, 2, patch_drop=0.5).hidden_maps(batch)


def test_every_part_of_the_decoder_is_used() -> None:
    decoder = UnetrDecoder(16, 8, 2, channels=4)
    maps = [torch.randn(2, 16, 4, 4) for _ in range(3)]
    logits = decoder(torch.rand(2, 1, 32, 32), maps)
    assert logits.shape == (2, 2, 32, 32)
    logits.sum().backward()
    assert all(p.grad is not None for p in decoder.parameters())
    with pytest.raises(ValueError, match="patch_size 1 needs no decoder"):
        UnetrDecoder(16, 1, 2)


def test_the_decoder_of_a_pyramid_draws_its_maps_and_the_image() -> None:
    torch.manual_seed(0)
    decoder = PyramidDecoder((6, 10), 3, channels=4)
    image, maps = torch.rand(2, 1, 32, 32), [torch.randn(2, 6, 8, 8), torch.randn(2, 10, 4, 4)]
    coarse = F.interpolate(decoder.pyramid(maps), (32, 32), mode="bilinear", align_corners=False)
    together = decoder.out(torch.cat([coarse, F.relu(decoder.finest(image))], 1))
    torch.testing.assert_close(decoder(image, maps), together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("patch", "size"), [(14, 42), (12, 48), (7, 28)])
def test_patches_of_any_size_are_decoded_in_their_places(patch: int, size: int) -> None:
    torch.manual_seed(0)
    decoder, side = UnetrDecoder(16, patch, 1, channels=4).eval(), size // patch
    # All maps light up in the last patch alone, so that is where the decoder's output has to change.
    dark = [torch.zeros(1, 16, side, side) for _ in range(2)]
    lit = [map_.clone() for map_ in dark]
    for map_ in lit:
        map_[:, :, -1, -1] = 5
    image = torch.zeros(1, 1, size, size)
    with torch.no_grad():
        changed = (decoder(image, lit) - decoder(image, dark)).abs()[0, 0]
    assert changed.shape == (size, size)
    assert changed[-patch:, -patch:].mean() > 2 * changed[:patch, :patch].mean()


def test_it_segments_with_a_dinov2_tower(dinov2: str) -> None:
    tower = ViTEncoder(42, 14, 16, 2, 2, pretrained=dinov2)
    model = Segmentation(tower, ("mass",), channels=4)
    model._columns = [0]
    mask = torch.zeros(2, 1, 42, 42, dtype=torch.bool)
    mask[:, :, 5:20, 5:20] = True
    batch = {"image": torch.rand(2, 1, 42, 42), "masks": list(mask), "mask_concepts": [torch.tensor([0])] * 2}
    logits, _ = model._forward(batch)
    assert logits.shape == (2, 1, 42, 42)
    model._loss(logits, model.targets(batch)).backward()
    assert tower.vit.encoder.layer[0].mlp.fc1.weight.grad.abs().max() > 0


def test_it_learns_where_a_finding_is_with_a_frozen_tower() -> None:
    model = tiny(frozen=True)
    model._columns = [1, 0]
    mask = torch.zeros(8, 32, 32, dtype=torch.bool)
    image = 0.2 * torch.rand(8, 1, 32, 32)
    for i in range(8):
        mask[i, 2 * i : 2 * i + 10, 5:20] = True
        image[i, 0][mask[i]] += 0.6
    batch = {"image": image, "masks": list(mask[:, None]), "mask_concepts": [torch.tensor([1])] * 8}
    targets = model.targets(batch)
    assert torch.equal(targets[:, 0], mask.float()) and not targets[:, 1].any()
    before = {name: p.clone() for name, p in model.image_encoder.named_parameters()}
    optimizer = torch.optim.Adam(model.decoder.parameters(), 0.02)
    for _ in range(25):
        optimizer.zero_grad()
        model._loss(model._forward(batch)[0], targets).backward()
        optimizer.step()
    drawn = model._forward(batch)[0].sigmoid() > 0.5
    assert (drawn[:, 0] & mask).sum() * 2 / (drawn[:, 0].sum() + mask.sum()) > 0.8
    assert drawn[:, 1].float().mean() < 0.05
    tower = dict(model.image_encoder.named_parameters())
    assert all(p.grad is None and torch.equal(p, before[name]) for name, p in tower.items())


def test_organs_are_segmented_beside_findings() -> None:
    model = tiny(organs=("heart", "left_lung"))
    model._columns = [1, 0]
    assert model.classes == ("mass", "edema", "heart", "left_lung") and "organs" in model.needs("train")
    assert "organs" not in tiny().needs("train")
    mask, organs = torch.zeros(2, 1, 32, 32, dtype=torch.bool), torch.zeros(2, 10, 32, 32, dtype=torch.bool)
    mask[0, 0, :4], organs[1, ORGANS.index("heart"), 8:], organs[0, ORGANS.index("left_lung"), :, 9] = 1, 1, 1
    image = torch.rand(2, 1, 32, 32)
    batch = {"image": image, "masks": list(mask), "mask_concepts": [torch.tensor([1])] * 2, "organs": organs}
    targets = model.targets(batch)
    assert model.outputs(batch).mask_logits.shape == targets.shape == (2, 4, 32, 32)
    assert targets.flatten(2).sum(2).tolist() == [[128, 0, 0, 32], [0, 0, 24 * 32, 0]]
    with pytest.raises(ValueError, match=r"organs \['liver'\] are not known: give some of"):
        tiny(organs=("liver",))
    with pytest.raises(ValueError, match="each once"):
        tiny(organs=("heart", "heart"))


def test_concepts_that_no_image_showed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    model._columns = [1, 0]
    monkeypatch.setattr(model, "all_gather", lambda counts: counts)
    masks = [torch.zeros(1, 32, 32, dtype=torch.bool), torch.ones(2, 32, 32, dtype=torch.bool)]
    concepts = [torch.tensor([0]), torch.tensor([1, 1])]  # an empty mask, and two of one image
    model.targets({"image": torch.rand(2, 1, 32, 32), "masks": masks, "mask_concepts": concepts})
    with pytest.warns(UserWarning, match=r"showed \['edema'\].*images with the others: \{'mass': 1\}"):
        model.on_train_epoch_end()


def test_organs_have_a_mean_of_their_own() -> None:
    nan = float("nan")
    rows = [SegmentedImage({"mass": 0.5, "heart": 0.9}, {"mass": nan, "heart": nan})] * 6
    none = torch.zeros(6, 2)
    features = Features(
        none, none, torch.arange(6), None, none, torch.arange(6), torch.zeros(6),
        measured={"segmentation": rows},
    )  # fmt: skip
    figures = SegmentationDice(resamples=0).evaluate(features, Occasion("test", ("mass",), True)).metrics
    assert figures["dice_macro"] == 0.5 and figures["dice_organs"] == 0.9


def test_dice_counts_images_with_the_finding_and_alarms_the_others() -> None:
    nan = float("nan")
    alarms = [{"mass": nan, "edema": float(i < 2)} for i in range(8)]
    rows = [SegmentedImage({"mass": 0.5, "edema": nan}, alarm) for alarm in alarms]
    rows += [SegmentedImage({"mass": nan, "edema": 1.0}, {"mass": 0.0, "edema": nan})]
    index, none = torch.arange(9), torch.zeros(9, 2)
    features = Features(none, none, index, None, none, index, index, measured={"segmentation": rows})
    result = SegmentationDice(resamples=20).evaluate(features, Occasion("test", ("mass", "edema"), True))
    assert result.metrics["dice/mass"] == result.metrics["dice_macro"] == 0.5
    assert result.details["left_out"] == {"edema": 1} and "dice/edema" not in result.metrics
    assert result.metrics["false_alarm_macro"] == 0
    intervals = with_intervals(result).details["intervals"]
    assert intervals["dice_macro"] == [0.5, 0.5] and intervals["false_alarm_macro"] == [0, 0]
    loose = SegmentationDice(min_count=1, resamples=0).evaluate(features, Occasion("test", ("mass",), True))
    assert loose.metrics["dice_macro"] == 0.75 and loose.metrics["false_alarm/edema"] == 0.25


def test_training_has_masks_where_they_are_asked_for(synthesizer: PairSynthesizer) -> None:
    data = SyntheticPairs(synthesizer, 4, views=Views(augmentation=Augmentation()))
    assert not data.source("train").masks and data.source("test").masks
    data.asked = {"train": frozenset({"masks"})}
    data.require("train")
    assert data.source("train").masks


@pytest.mark.parametrize("frozen", ["true", pytest.param("false", marks=pytest.mark.slow)])
def test_the_command_line_segments(
    train: Callable[..., Any], weights: str, frozen: str, pretrained: Any
) -> None:
    small = [
        "--model.init_args.channels=4",
        "--data.init_args.loader.batch_size=16",
        "--trainer.max_epochs=1",
    ]
    organs = ["-c", "configs/tasks/segmentation/organs.yaml"] if frozen == "true" else []
    summary, directory = train("segmentation", *organs, weights, *small, f"--model.init_args.frozen={frozen}")
    named = {"val/segmentation/dice_organs", "val/segmentation/dice/heart"}
    assert named & summary.keys() == (named if organs else set())
    assert 0 <= summary["val/segmentation/dice_macro"] <= 1 and np.isfinite(summary["val/loss"])
    details = summary["details"]["val/segmentation"]
    assert details.keys() >= {"n", "split_sha256", "intervals", "images_with"}
    assert (directory / "pictures" / "val_segmentation.png").stat().st_size > 10_000
    checkpoint = directory / "checkpoints" / "best.ckpt"
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    tower = torch.load(pretrained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    same = [torch.equal(saved[k], tower[k]) for k in saved if k.startswith("image_encoder.vit.layers")]
    assert all(same) if frozen == "true" else not any(same)
    if frozen == "true":
        main(["test", "-c", str(directory / "config.yaml"), f"--ckpt_path={checkpoint}"])
        assert "test/segmentation/dice_macro" in json.loads((directory / "test" / "summary.json").read_text())
