from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks import DetectionPrecision, Features, Occasion
from callbacks.base.result import with_intervals
from callbacks.statistics.coco_matches import CocoMatches, DetectedBoxes
from datamodules import Columns, LabelColumns, LabelledImages
from lightning_modules import Detection, ResNetEncoder, Segmentation, ViTEncoder
from lightning_modules.downstream.boxes import boxes_of, corners
from lightning_modules.downstream.dense_box_head import DenseBoxHead
from lightning_modules.encoders import ImageEncoder
from main import main

NAMES = ("mass", "edema")
TEST = Occasion("test", NAMES, final=True)


def test_boxes_frame_the_parts_of_a_mask_and_leave_specks_out() -> None:
    mask = torch.zeros(20, 40, dtype=torch.bool)
    mask[2:6, 4:12] = True
    mask[10:18, 30:40] = True
    mask[19, 0] = True
    boxes = corners(boxes_of(mask)) * torch.tensor([40, 20, 40, 20])
    assert torch.allclose(boxes, torch.tensor([[4.0, 2, 12, 6], [30, 10, 40, 18]]))
    assert boxes_of(torch.zeros(4, 4, dtype=torch.bool)).shape == (0, 4)


def made(n: int = 24, shift: float = 0.0, wrong: bool = False) -> Features:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        corner = rng.uniform(0.1, 0.4, (2, 2))
        truth = np.concatenate([corner, corner + 0.3], 1)
        kinds = np.array([0, 1 if i else 0])
        found = 1 - kinds if wrong else kinds
        rows.append(DetectedBoxes(NAMES, truth, kinds, truth + shift, found, np.array([0.9, 0.4])))
    index, none = torch.arange(n), torch.zeros(n, 1)
    return Features(none, none, index, None, none, index, index, measured={"detection": rows})


def test_precision_is_that_of_coco() -> None:
    callback = DetectionPrecision(resamples=20)
    perfect = with_intervals(callback.evaluate(made(), TEST))
    assert perfect.metrics["map"] == perfect.metrics["map50/mass"] == pytest.approx(1)
    assert perfect.details["intervals"].keys() == {"map", "map50", "map50_any"}
    assert perfect.details["intervals"]["map"] == pytest.approx([1, 1])
    assert perfect.details["boxes"] == {"mass": 25, "edema": 23}
    # Shifted by a tenth of its side both ways a box has an IoU of .81 / 1.19 = .68: 4 of 10 thresholds.
    shifted = callback.evaluate(made(shift=0.03), TEST).metrics
    assert shifted["map50"] == pytest.approx(1) and shifted["map"] == pytest.approx(0.4, abs=0.02)
    wrong = callback.evaluate(made(wrong=True), TEST).metrics
    assert wrong["map50"] < 0.4 and wrong["map50_any"] == pytest.approx(1), (
        "found, and called by another name"
    )
    few = DetectionPrecision(min_count=24, resamples=0).evaluate(made(), TEST)
    assert few.details["left_out"] == {"edema": 23} and "map/edema" not in few.metrics


def test_a_resample_equals_the_images_themselves() -> None:
    rows = made(shift=0.03).measured["detection"]
    draw = np.array([0, 0, 3, 5, 5, 5, 7])
    again = CocoMatches([rows[i] for i in draw], [0, 1]).precision(np.arange(7))
    assert np.allclose(CocoMatches(rows, [0, 1]).precision(draw), again)


def test_a_head_that_says_the_truth_gives_the_true_boxes() -> None:
    """The surest boxes of a perfect answer are the true ones; it costs nothing, and each fault costs."""
    head = DenseBoxHead([4], 2, 8)
    truth = torch.tensor([[0.3, 0.4, 0.2, 0.3], [0.7, 0.6, 0.5, 0.1], [0.32, 0.41, 0.6, 0.6]])
    kinds = torch.tensor([0, 0, 1])
    targets = [{"boxes": truth, "class_labels": kinds}, {"boxes": truth[:0], "class_labels": kinds[:0]}]
    heat, boxes = torch.full((2, 2, 16, 16), -20.0), torch.zeros(2, 2, 16, 16, 4)
    for box, kind in zip(truth, kinds.tolist(), strict=True):
        boxes[0, kind][head._bump(box, heat) > 0.01] = corners(box)
        column, row = (box[:2] * 16).int().tolist()
        heat[0, kind, row, column] = 20
    assert head.loss(heat, boxes, targets).item() == pytest.approx(0, abs=1e-4)
    found, scores, classes = head.best(heat, boxes, 4)
    assert found.shape == (2, 4, 4) and (scores > 0.5).sum(1).tolist() == [3, 0]
    order = sorted(range(3), key=lambda i: found[0, i].tolist())
    right = sorted(range(3), key=lambda i: corners(truth)[i].tolist())
    torch.testing.assert_close(found[0, order], corners(truth)[right])
    assert classes[0, order].tolist() == kinds[right].tolist()
    assert head.loss(-heat, boxes, targets) > 10 and head.loss(heat, boxes + 0.1, targets) > 1
    nothing = head.loss(heat[1:], boxes[1:], targets[1:])
    assert nothing.item() == pytest.approx(0, abs=1e-4)


def test_a_centre_on_the_edge_and_a_box_smaller_than_a_place_are_learnt() -> None:
    heat = torch.zeros(1, 1, 8, 8)
    for box in ([1.0, 1.0, 0.2, 0.2], [0.0, 0.5, 0.001, 0.001], [0.5, 0.5, 1.0, 1.0]):
        bump = DenseBoxHead._bump(torch.tensor(box), heat)
        assert bump.max() == 1 and (bump == 1).sum() == 1 and bump.isfinite().all()


def tower_of(kind: str, dinov2: str, registers: str) -> ImageEncoder:
    torch.manual_seed(0)
    if kind == "resnet":
        return ResNetEncoder(image_size=64, width=32, depths=[1, 1, 1, 1], projection_dim=8)
    if kind == "stem":
        return ViTEncoder(64, 8, 16, 2, 2, stem_channels=[8, 8, 16])
    path = {"dinov2": dinov2, "registers": registers}.get(kind)
    return ViTEncoder(42, 14, 16, 2, 2, pretrained=path) if path else ViTEncoder(64, 8, 16, 2, 2)


@pytest.fixture(scope="module")
def registers(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    directory = tmp_path_factory.mktemp("registers")
    config = Dinov2WithRegistersConfig(**sizes, image_size=42, patch_size=14)
    Dinov2WithRegistersModel(config).save_pretrained(directory)
    return str(directory)


@pytest.mark.parametrize("kind", ["plain", "stem", "resnet", "dinov2", "registers"])
def test_it_detects_with_any_tower_and_trains_all_of_it(kind: str, dinov2: str, registers: str) -> None:
    tower = tower_of(kind, dinov2, registers)
    model = Detection(tower, ("mass",), channels=8, most=3)
    model._columns = [0]
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.2]])
    side = tower.image_size
    batch = {
        "image": torch.rand(2, 1, side, side),
        "boxes": [boxes, boxes[:0]],
        "box_concepts": [torch.tensor([0]), torch.tensor([], dtype=torch.int64)],
    }
    found = model.outputs(batch)
    assert found.boxes.shape == (2, 3, 4) and found.box_scores.shape == found.box_classes.shape == (2, 3)
    model.loss(batch).backward()
    idle = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert all(name.startswith("image_encoder.projection") for name in idle), idle
    with pytest.raises(KeyError, match="knows where findings are"):
        model.targets({"image": batch["image"]})


def test_patches_must_not_be_dropped() -> None:
    model = Detection(ViTEncoder(32, 8, 16, 1, 2, patch_drop=0.5), ("mass",), channels=8)
    with pytest.raises(ValueError, match=r"patch_drop 0\.5 leaves holes"):
        model._detect({"image": torch.rand(1, 1, 32, 32)})


def test_every_box_of_a_table_is_a_true_box(tmp_path: Path) -> None:
    overlapping = [(10, 10, 40, 40), (30, 30, 40, 40)]
    unequal = [(100, 100, 300, 300), (420, 420, 80, 80)]  # the small one has 7 % of the area of both
    rows = [["image", "label", "regions"]]
    for i, boxes in enumerate((overlapping, unequal, [])):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (512, 512), np.uint8)).save(
            tmp_path / f"{i}.png"
        )
        regions = [{"label": "Mass", "box": box} for box in boxes]
        rows.append([f"{i}.png", "Mass" if boxes else "No Finding", json.dumps(regions)])
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    data = LabelledImages(
        table=tmp_path / "table.csv",
        image_root=tmp_path,
        columns=Columns("image", regions="regions"),
        image_size=512,
        labels=LabelColumns("label", "nih"),
        splits={"test": 1.0},
        artifacts_dir=tmp_path / "artifacts",
    )
    data.prepare_data()
    data.setup("test")
    (batch,) = data.test_dataloader()
    tower = ViTEncoder(512, 128, 16, 1, 2)
    detection, segmentation = Detection(tower, ("mass",)), Segmentation(tower, ("mass",), channels=2)
    detection._columns = segmentation._columns = [data.concept_names.index("mass")]
    found = detection.targets(batch)
    for target, boxes in zip(found, (overlapping, unequal, []), strict=True):
        x, y, width, height = torch.tensor(boxes).reshape(-1, 4).T
        expected = torch.stack([x, y, x + width, y + height], 1).float()
        torch.testing.assert_close(corners(target["boxes"]) * 512, expected)
        assert target["class_labels"].tolist() == [0] * len(boxes)
    area = [int(mask.sum()) for mask in segmentation.targets(batch)]
    assert area == [2 * 40**2 - 20**2, 300**2 + 80**2, 0], "a concept has one mask"


def test_the_command_line_detects(train: Callable[..., Any], weights: str) -> None:
    few = ["--data.init_args.loader.batch_size=16", "--trainer.max_epochs=1", "--model.init_args.channels=8"]
    summary, directory = train("detection", weights, *few)
    assert 0 <= summary["val/detection/map"] <= summary["val/detection/map50"] <= 1
    assert (directory / "pictures" / "val_detection.png").stat().st_size > 10_000
    checkpoint = f"--ckpt_path={directory / 'checkpoints' / 'best.ckpt'}"
    main(["test", "-c", str(directory / "config.yaml"), checkpoint])
    tested = json.loads((directory / "test" / "summary.json").read_text())
    assert tested["details"]["test/detection"].keys() >= {"n", "split_sha256", "intervals", "boxes"}
