"""Simulated beside real radiographs: what tells them apart, on a small tree in NIH's layout."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from callbacks.statistics.intervals import auroc
from scripts.realism import main, told_apart
from scripts.simulator.film_features import GROUPS, measures
from tests.nih_table import nih_rows, write_image, write_table


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in place of films, of thirty patients: every feature tells it from simulated ones."""
    root, rows = tmp_path_factory.mktemp("nih"), nih_rows(60)
    for i, row in enumerate(rows):
        write_image(root / "images" / row[0], i)
    write_table(root / "Data_Entry_2017_v2020.csv", rows)
    return root


def test_what_is_no_radiograph_is_told_apart_and_halves_of_it_are_not(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([f"--real={real}", "--size=64", f"--out={tmp_path}", "--data", "configs/simulator/grain.yaml"])
    printed = capsys.readouterr().out
    assert "make realism REAL=… DATA=configs/simulator/grain.yaml" in printed and "30 PA, 30 AP" in printed
    found = json.loads((tmp_path / "realism.json").read_text())
    assert found["films"] == 60 and found["auroc"].keys() == GROUPS.keys()
    for group in found["auroc"].values():
        assert group.keys() == {"all", "PA", "AP", "real halves"}
        value, low, high = group["all"]
        assert value > 0.95 and low <= value <= high
    assert 0.3 < np.mean([group["real halves"][0] for group in found["auroc"].values()]) < 0.7
    with (tmp_path / "measures.csv").open() as file:
        assert {"skew of grey", "edge of the hemidiaphragms"} < {
            row["measure"] for row in csv.DictReader(file)
        }
    width, height = Image.open(tmp_path / "sheet.local.png").size
    assert width > 2 * 6 * 64 and height == 8 * 64
    for name in ("histograms.png", "spectra.png", "auroc.md"):
        assert (tmp_path / name).stat().st_size > 100


def films(seed: int, count: int = 60) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 6, 6, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, size=64, mode="bicubic")[:, 0]
    return (0.6 * smooth + 0.15 + 0.02 * torch.randn(count, 64, 64, generator=rng)).clamp(0, 1)


def told(group: str, one: torch.Tensor, other: torch.Tensor) -> float:
    """How well a group of features tells one from the other."""
    kind, number = np.repeat([0, 1], 60), np.arange(120)
    scores = told_apart(GROUPS[group](torch.cat([one, other])), kind, number % 2, number)
    return auroc(scores, kind.astype(float))


def test_each_group_sees_its_own_difference() -> None:
    """Tones, noise, and something always in one place: each is seen by the features that are about it."""
    base, others = films(0), films(1)
    for group in GROUPS:
        assert 0.3 < told(group, base, others) < 0.7
    assert told("histogram", base, others**1.5) > 0.85 > told("layout", base, others**1.5)
    noise = 0.04 * torch.randn(60, 64, 64, generator=torch.Generator().manual_seed(2))
    assert told("texture", base, others + noise) > 0.95
    others[:, 15:35, 15:35] = others[:, 15:35, 15:35] * 0.5 + 0.4
    assert told("layout", base, others) > 0.85


def test_an_edge_at_the_diaphragm_and_a_dark_tail_are_measured() -> None:
    picture = torch.full((2, 64, 64), 0.2)
    picture[:, 48:] = 0.9
    picture[1, 40:56] = torch.linspace(0.2, 0.9, 16)[:, None]
    steep, slow = measures(picture)["edge of the hemidiaphragms"]
    assert steep > 0.9 > 0.3 > slow > 0
    tail = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    skew = measures(torch.cat([tail**3, 1 - tail**3]))["skew of grey"]
    assert skew[0] > 0.5 and skew[1] < -0.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--real=nowhere"], "--real=nowhere does not exist"),
        (["--real={real}", "--most=10"], "has 10 radiographs: give 20 or more"),
        (["--real={real}", "--size=0"], "--size=0: give 1 or more"),
    ],
)
def test_what_cannot_be_compared_is_named(real: Path, arguments: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        main([argument.format(real=real) for argument in arguments])
