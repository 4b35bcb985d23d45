from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from datamodules.transforms import Augmentation, TextView, full_text
from synthesis.reports.report import Report

OFF = {"brightness": 0.0, "contrast": 0.0, "gamma": 0.0, "scale": 0.0, "shift": 0.0}
REPORT = Report("The heart is large. The lungs are clear. No effusion.", "Cardiomegaly.")


@pytest.fixture
def image() -> torch.Tensor:
    ramp = torch.linspace(0, 255, 64)
    return (ramp[None, :, None] * 0.4 + ramp[None, None, :] * 0.6).round().to(torch.uint8)


def test_switched_off_it_changes_nothing(image: torch.Tensor) -> None:
    for seed in range(3):
        assert torch.equal(Augmentation(**OFF)(image, np.random.default_rng(seed)), image / 255)


def test_the_same_random_numbers_give_the_same_image(image: torch.Tensor) -> None:
    change = Augmentation()
    one, same, other = (change(image, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert one.dtype == torch.float32 and one.shape == image.shape


@pytest.mark.parametrize("strength", OFF)
def test_each_strength_works_alone_and_stays_light(strength: str, image: torch.Tensor) -> None:
    defaults = Augmentation()
    change = Augmentation(**{**OFF, strength: getattr(defaults, strength)})
    for seed in range(20):
        difference = (change(image, np.random.default_rng(seed)) - image / 255).abs()
        assert 0 < difference.max() < 0.35
        assert difference.mean() < 0.12


@pytest.mark.parametrize("value", [0.0, 0.99])
def test_the_range_is_kept_at_any_strength(value: float, image: torch.Tensor) -> None:
    change = Augmentation(value, value, value, value, value)
    for seed in range(20):
        changed = change(image, np.random.default_rng(seed))
        assert 0 <= changed.min() and changed.max() <= 1
        assert torch.isfinite(changed).all()


def test_left_stays_left() -> None:
    """What is bright on the viewer's left stays there in a thousand draws: nothing is mirrored."""
    image = torch.zeros(1, 32, 32, dtype=torch.uint8)
    image[:, :, 4:10] = 255
    for seed in range(1000):
        changed = Augmentation()(image, np.random.default_rng(seed))
        assert changed[..., :16].sum() > changed[..., 16:].sum() * 1.5


def test_shift_and_scale_move_what_they_say() -> None:
    image = torch.zeros(1, 64, 64, dtype=torch.uint8)
    image[:, 30:34, 30:34] = 255
    shift = Augmentation(**{**OFF, "shift": 0.1})
    for seed in range(30):
        rows, columns = torch.nonzero(shift(image, np.random.default_rng(seed))[0] > 0.5, as_tuple=True)
        assert (rows.float().mean() - 31.5).abs() <= 6.5 and (columns.float().mean() - 31.5).abs() <= 6.5


@pytest.mark.parametrize("name", OFF)
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_senseless_strengths_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"augmentation {name}="):
        Augmentation(**{name: value})


def test_text_views_occur_as_often_as_stated() -> None:
    view = TextView(whole=0.4, findings=0.3, impression=0.2, sentences=0.1, most_sentences=2)
    texts = Counter(view(REPORT, np.random.default_rng(seed)) for seed in range(2000))
    assert abs(texts[REPORT.text] - 800) < 100
    assert abs(texts[REPORT.findings] - 600) < 100
    assert 350 < texts[REPORT.impression] < 550, "a single sentence may be the impression too"
    assert "The lungs are clear." in texts and "The heart is large. No effusion." in texts


def test_sentences_keep_their_order_and_number() -> None:
    view = TextView(0, 0, 0, 1, most_sentences=3)
    sentences = list(REPORT.sentences())
    for seed in range(200):
        text = view(REPORT, np.random.default_rng(seed))
        chosen = [s for s in sentences if s in text]
        assert text == " ".join(chosen) and 1 <= len(chosen) <= 3
        assert view(REPORT, np.random.default_rng(seed)) == text


@pytest.mark.parametrize(
    "view", [TextView(0, 1, 0, 0), TextView(0, 0, 1, 0), TextView(0, 0, 0, 1), TextView()]
)
@pytest.mark.parametrize(
    "report", [Report("", "Normal chest."), Report("Normal chest.", ""), Report("x", " ")]
)
def test_no_view_of_a_report_is_empty(view: TextView, report: Report) -> None:
    for seed in range(50):
        assert view(report, np.random.default_rng(seed)).strip()


def test_headings_stand_only_over_sections_that_are_there() -> None:
    assert full_text(REPORT) == REPORT.text
    assert full_text(Report("Clear.", " ")) == "FINDINGS: Clear."
    assert full_text(Report("", "Clear.")) == "IMPRESSION: Clear."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 0, 0), "at least one of them > 0"),
        ((-1, 1, 1, 1), "must be ≥ 0"),
        ((1, 1, 1, 1, 0), "most_sentences=0"),
    ],
)
def test_impossible_views_are_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextView(*arguments)  # type: ignore[arg-type]
