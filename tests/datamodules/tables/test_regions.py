"""Regions of real images: a mask for each concept, a box for each region."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from datamodules.tables.regions import named_phrases, region_boxes, region_masks

CONCEPTS = {"Nodule/Mass": 3, "Effusion": 1}
OVERLAPPING = [{"label": "Effusion", "box": [10, 10, 40, 40]}, {"label": "Effusion", "box": [30, 30, 40, 40]}]
# The small one has 7 % of the area of both.
UNEQUAL = [
    {"label": "Nodule/Mass", "box": [50, 50, 300, 300]},
    {"label": "Nodule/Mass", "box": [380, 380, 80, 80]},
]


def pixels(regions: list[dict[str, Any]], shape: tuple[int, int], size: int, fit: Any) -> list[list[float]]:
    """Left, top, right, bottom in pixels of the framed image."""
    boxes, _ = region_boxes(json.dumps(regions), CONCEPTS, shape, size, fit)
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return (torch.cat([centre - half, centre + half], 1) * size).round(decimals=3).tolist()


@pytest.mark.parametrize("regions", [OVERLAPPING, UNEQUAL])
def test_every_region_keeps_its_box_and_a_concept_has_one_mask(regions: list[dict[str, Any]]) -> None:
    framed = (json.dumps(regions), CONCEPTS, (512, 512), 512, "crop")
    expected = [[x, y, x + width, y + height] for x, y, width, height in (r["box"] for r in regions)]
    assert pixels(regions, (512, 512), 512, "crop") == expected
    _, concepts = region_boxes(*framed)
    assert concepts.tolist() == [CONCEPTS[regions[0]["label"]]] * 2
    masks, mask_concepts = region_masks(*framed)
    union = torch.zeros(512, 512, dtype=torch.bool)
    for left, top, right, bottom in expected:
        union[top:bottom, left:right] = True
    assert torch.equal(masks, union[None]) and mask_concepts.tolist() == concepts[:1].tolist()


def test_boxes_are_framed_as_the_image_is() -> None:
    # 200 rows of 100 pixels, halved: the middle 50 of 100 rows remain, or 25 columns are put on either side.
    box = {"label": "Effusion", "box": [20, 60, 60, 120]}
    assert pixels([box], (200, 100), 50, "crop") == [[10, 5, 40, 50]]
    assert pixels([box], (200, 100), 100, "pad") == [[35, 30, 65, 90]]
    outside = [{"label": "Effusion", "box": [0, 0, 50, 40]}, {"label": "Effusion", "box": [100, 60, 20, 20]}]
    assert pixels(outside, (200, 100), 50, "crop") == []
    beyond = {"label": "Effusion", "box": [-30, 50, 60, 50]}
    assert pixels([beyond], (200, 100), 100, "pad") == [[25, 25, 40, 50]], "the border shows nothing"


def test_the_box_of_runs_is_their_extent() -> None:
    # Down the columns of 4 × 6 pixels: rows 1 and 2 of column 1, row 3 of column 3.
    regions = [{"label": "Effusion", "runs": "5 2 8 1", "size": [4, 6]}]
    assert pixels(regions, (4, 6), 6, "pad") == [[1, 2, 4, 5]]
    assert pixels([{"label": "Effusion", "runs": "0 0", "size": [4, 6]}], (4, 6), 6, "pad") == []


def test_labels_that_are_not_asked_for_have_no_box() -> None:
    boxes, concepts = region_boxes(
        json.dumps([{"label": "Other", "box": [0, 0, 9, 9]}]), {}, (9, 9), 9, "pad"
    )
    assert boxes.shape == (0, 4) and boxes.dtype == torch.float32 and concepts.dtype == torch.int64
    assert region_boxes("", CONCEPTS, (9, 9), 9, "pad")[0].shape == (0, 4)


def test_a_box_is_scaled_from_the_size_that_it_was_drawn_on() -> None:
    drawn = {"label": "Effusion", "box": [40, 120, 120, 240], "size": [400, 200], "phrase": "fluid"}
    other = drawn | {"box": [0, 0, 20, 40], "phrase": ""}
    assert pixels([drawn], (200, 100), 50, "crop") == [[10, 5, 40, 50]]
    framed = (json.dumps([drawn, other, drawn]), CONCEPTS, (200, 100), 100, "pad")
    masks, concepts = region_masks(*framed)
    assert named_phrases(*framed[:2]) == [(1, "fluid"), (1, "")] and concepts.tolist() == [1, 1]
    assert masks[0, 30:90, 35:65].all() and int(masks[0].sum()) == 60 * 30
    assert masks[1, :10, 25:30].all() and int(masks[1].sum()) == 10 * 5
