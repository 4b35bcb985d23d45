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
from lightning_modules import Detection, Segmentation, ViTEncoder
from lightning_modules.downstream.boxes import boxes_of, corners
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
    assert perfect.details["intervals"]["map"] == pytest.approx([1, 1])
    assert perfect.details["boxes"] == {"mass": 25, "edema": 23}
    # Shifted by a tenth of its side both ways a box has an IoU of .81 / 1.19 = .68: 4 of 10 thresholds.
    shifted = callback.evaluate(made(shift=0.03), TEST).metrics
    assert shifted["map50"] == pytest.approx(1) and shifted["map"] == pytest.approx(0.4, abs=0.02)
    assert callback.evaluate(made(wrong=True), TEST).metrics["map50"] < 0.4
    few = DetectionPrecision(min_count=24, resamples=0).evaluate(made(), TEST)
    assert few.details["left_out"] == {"edema": 23} and "map/edema" not in few.metrics


def test_a_resample_equals_the_images_themselves() -> None:
    rows = made(shift=0.03).measured["detection"]
    draw = np.array([0, 0, 3, 5, 5, 5, 7])
    again = CocoMatches([rows[i] for i in draw], [0, 1]).precision(np.arange(7))
    assert np.allclose(CocoMatches(rows, [0, 1]).precision(draw), again)


def test_it_runs_the_towers_own_blocks_and_learns() -> None:
    torch.manual_seed(0)
    tower = ViTEncoder(32, 8, 16, 2, 2, mean=0.5, std=0.5)
    model = Detection(tower, ("mass",), tokens=4)
    model._columns = [1]
    model.take_places()
    assert model.detector.vit.encoder.layer[0] is tower.vit.layers[0]
    image, masks = torch.zeros(4, 1, 32, 32), torch.zeros(4, 1, 32, 32, dtype=torch.bool)
    for i in range(4):
        masks[i, 0, 4 * i : 4 * i + 12, 8:24] = True
        image[i, 0][masks[i, 0]] = 1
    batch = {"image": image, "masks": list(masks), "mask_concepts": [torch.tensor([1])] * 4}
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    first = model._detect(batch).loss.item()
    for _ in range(60):
        optimizer.zero_grad()
        model._detect(batch).loss.backward()
        optimizer.step()
    assert model._detect(batch).loss.item() < 0.5 * first
    assert tower.vit.layers[0].mlp.fc1.weight.grad.abs().max() > 0
    idle = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert all(name.startswith("image_encoder.projection") for name in idle), idle
    with pytest.raises(KeyError, match="knows where findings are"):
        model.targets({"image": image})


def test_it_runs_the_blocks_of_dinov2(dinov2: str) -> None:
    tower = ViTEncoder(42, 14, 16, 2, 2, pretrained=dinov2, mean=0.5, std=0.5).eval()
    model = Detection(tower, ("mass",), tokens=3).eval()
    model._columns = [0]
    model.take_places()
    assert model.detector.vit.encoder.layer[1] is tower.vit.encoder.layer[1]
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.2]])
    batch = {
        "image": torch.rand(2, 1, 42, 42),
        "boxes": [boxes, boxes[:0]],
        "box_concepts": [torch.tensor([0]), torch.tensor([], dtype=torch.int64)],
    }
    found = model._detect(batch)
    assert found.pred_boxes.shape == (2, 3, 4)
    found.loss.backward()
    assert tower.vit.encoder.layer[0].mlp.fc1.weight.grad.abs().max() > 0
    idle = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert all(name.startswith("image_encoder.projection") for name in idle), idle
    # Where no token attends to another, the tower's own features have to come out.
    for block in tower.vit.encoder.layer:
        torch.nn.init.zeros_(block.attention.o_proj.weight)
    own = tower(batch).local
    torch.testing.assert_close(model._detect(batch).last_hidden_state[:, 1:-3], own, atol=1e-5, rtol=1e-4)


def test_towers_with_register_tokens_are_refused(tmp_path: Path) -> None:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Dinov2WithRegistersConfig(**sizes, image_size=28, patch_size=14)
    Dinov2WithRegistersModel(config).save_pretrained(tmp_path)
    tower = ViTEncoder(28, 14, 16, 1, 2, pretrained=str(tmp_path))
    with pytest.raises(ValueError, match=r"Dinov2WithRegistersModel.*without registers"):
        Detection(tower, ("mass",))


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
    few = ["--data.init_args.loader.batch_size=16", "--trainer.max_epochs=1", "--model.init_args.tokens=5"]
    summary, directory = train("detection", weights, *few)
    assert 0 <= summary["val/detection/map"] <= summary["val/detection/map50"] <= 1
    assert (directory / "pictures" / "val_detection.png").stat().st_size > 10_000
    checkpoint = f"--ckpt_path={directory / 'checkpoints' / 'best.ckpt'}"
    main(["test", "-c", str(directory / "config.yaml"), checkpoint])
    tested = json.loads((directory / "test" / "summary.json").read_text())
    assert tested["details"]["test/detection"].keys() >= {"n", "split_sha256", "intervals", "boxes"}
