from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from datamodules.loading.augmentation import Augmentation

OFF = {strength.name: 0.0 for strength in fields(Augmentation) if strength.name != "strong"}
STRONG = {
    "brightness": 0.12,
    "contrast": 0.15,
    "gamma": 0.2,
    "scale": 0.2,
    "shift": 0.1,
    "curve": 0.5,
    "rotation": 8.0,
    "shear": 0.06,
    "stretch": 0.2,
    "warp": 0.02,
    "shading": 0.12,
    "sharpness": 0.9,
    "noise": 0.03,
    "erase": 0.99,
}
LIGHT = ["brightness", "contrast", "gamma", "scale", "shift"]


@pytest.fixture
def image() -> torch.Tensor:
    ramp = torch.linspace(0, 255, 64)
    return (ramp[None, :, None] * 0.4 + ramp[None, None, :] * 0.6).round().to(torch.uint8)


def test_switched_off_it_changes_nothing(image: torch.Tensor) -> None:
    for seed in range(3):
        assert torch.equal(Augmentation(**OFF)(image, np.random.default_rng(seed)), image / 255)


@pytest.mark.parametrize("strengths", [{}, STRONG])
def test_the_same_random_numbers_give_the_same_image(
    strengths: dict[str, float], image: torch.Tensor
) -> None:
    change = Augmentation(**strengths)
    one, same, other = (change(image, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert one.dtype == torch.float32 and one.shape == image.shape


@pytest.mark.parametrize("strengths", [{}, STRONG])
def test_what_else_is_in_the_batch_changes_no_bit(strengths: dict[str, float]) -> None:
    """By its place in the batch, by the neighbours, or by their number."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (21, 1, 48, 64))).to(torch.uint8)
    change = Augmentation(**strengths)
    together = change.batch(images, [np.random.default_rng(k) for k in range(21)])
    for order in ([*range(21)][::-1], [20, 3]):
        other = change.batch(images[order], [np.random.default_rng(k) for k in order])
        assert torch.equal(other, together[order])
    for k, image in enumerate(images):
        assert torch.equal(change(image, np.random.default_rng(k)), together[k])


@pytest.mark.parametrize("strength", LIGHT)
def test_each_default_strength_works_alone_and_stays_light(strength: str, image: torch.Tensor) -> None:
    change = Augmentation(**{**OFF, strength: getattr(Augmentation(), strength)})
    for seed in range(20):
        difference = (change(image, np.random.default_rng(seed)) - image / 255).abs()
        assert 0 < difference.max() < 0.35
        assert difference.mean() < 0.12


@pytest.mark.parametrize("strength", STRONG)
def test_each_strength_works_alone_and_leaves_the_original_alone(strength: str) -> None:
    """A picture with structure, for sharpness has nothing to do on a ramp."""
    original = torch.from_numpy(np.random.default_rng(0).integers(40, 216, (1, 48, 64))).to(torch.uint8)
    before, change = original.clone(), Augmentation(**{**OFF, strength: STRONG[strength]})
    for seed in range(20):
        changed = change(original, np.random.default_rng(seed))
        assert changed.shape == original.shape and not torch.equal(changed, original / 255)
    assert torch.equal(original, before)


@pytest.mark.parametrize("strength", STRONG)
def test_it_is_said_whether_masks_would_fit(strength: str) -> None:
    moving = {"scale", "shift", "rotation", "shear", "stretch", "warp"}
    assert Augmentation(**{**OFF, strength: STRONG[strength]}).moves is (strength in moving)


@pytest.mark.parametrize("strength", ["scale", "shift", "rotation", "shear", "stretch", "warp", "all"])
def test_masks_follow_their_images(strength: str) -> None:
    """Whatever else is drawn before and after: a black picture with a white mask moves as the mask does."""
    toned = {name: value for name, value in STRONG.items() if name not in ("erase", "shading")}
    chosen = toned if strength == "all" else {"curve": 0.5, "noise": 0.03, strength: STRONG[strength]}
    change = Augmentation(**{**OFF, **chosen})
    masks = torch.zeros(3, 2, 48, 64, dtype=torch.bool)
    masks[:, 0, 10:30, 5:25], masks[:, 1, 25:, 40:60] = True, True
    moved = change.follow([*masks, masks[0, :0]], [np.random.default_rng(k) for k in (0, 1, 2, 3)])
    assert moved[3].shape == (0, 48, 64)
    for k in range(3):
        for mask, expected in zip(moved[k], masks[k], strict=True):
            shown = change(255 * expected[None].byte(), np.random.default_rng(k))[0] > 0.5
            assert (shown != mask).float().mean() < 0.012
    assert any((moved[k] != masks[k]).any() for k in range(3))
    assert all(
        torch.equal(a, b) for a, b in zip(Augmentation(**OFF).follow(list(masks), []), masks, strict=True)
    )


@pytest.mark.parametrize("value", [0.0, 0.99])
def test_the_range_is_kept_at_any_strength(value: float, image: torch.Tensor) -> None:
    change = Augmentation(**dict.fromkeys(OFF, value))
    for seed in range(20):
        changed = change(image, np.random.default_rng(seed))
        assert 0 <= changed.min() and changed.max() <= 1
        assert torch.isfinite(changed).all()


@pytest.mark.parametrize("strengths", [{}, {**STRONG, "erase": 0.0, "shading": 0.0}])
def test_left_stays_left(strengths: dict[str, float]) -> None:
    """What is bright on the viewer's left stays there in a thousand draws: nothing is mirrored."""
    image = torch.zeros(1, 32, 32, dtype=torch.uint8)
    image[:, :, 4:10] = 255
    for seed in range(1000):
        changed = Augmentation(**strengths)(image, np.random.default_rng(seed))
        assert changed[..., :16].sum() > changed[..., 16:].sum() * 1.5


def test_shift_and_scale_move_what_they_say() -> None:
    image = torch.zeros(1, 64, 64, dtype=torch.uint8)
    image[:, 30:34, 30:34] = 255
    shift = Augmentation(**{**OFF, "shift": 0.1})
    for seed in range(30):
        rows, columns = torch.nonzero(shift(image, np.random.default_rng(seed))[0] > 0.5, as_tuple=True)
        assert (rows.float().mean() - 31.5).abs() <= 6.5 and (columns.float().mean() - 31.5).abs() <= 6.5


def test_a_turn_is_of_so_many_degrees() -> None:
    """The ends of a bar show by how much it was turned."""
    image = torch.zeros(1, 65, 65, dtype=torch.uint8)
    image[:, 31:34, 12:53] = 255
    angles = []
    for seed in range(200):
        turned = Augmentation(**{**OFF, "rotation": 20.0})(image, np.random.default_rng(seed))[0] > 0.5
        rows, columns = (axis.float() for axis in torch.nonzero(turned, as_tuple=True))
        slope = ((rows - 32) * (columns - 32)).sum() / ((columns - 32) ** 2).sum()
        angles.append(float(slope.atan().rad2deg()))
    assert -20.7 < min(angles) < -17 and 17 < max(angles) < 20.7


def test_a_bent_curve_keeps_the_order_of_tones_and_their_ends() -> None:
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    for seed in range(50):
        bent = Augmentation(**{**OFF, "curve": 0.8})(ramp, np.random.default_rng(seed)).flatten()
        assert (bent.diff() > 0).all() and bent[0] == 0 and bent[-1] == pytest.approx(1)


def test_strengths_mean_the_same_at_any_size() -> None:
    """Drawn twice as large and averaged down again, a changed image is nearly that of the small one."""
    ramp = torch.linspace(0, 1, 64)
    small = ((torch.sin(9 * ramp)[:, None] * torch.cos(7 * ramp) + 1) * 120).round().to(torch.uint8)[None]
    large = small.repeat_interleave(2, 1).repeat_interleave(2, 2)
    change = Augmentation(**{**STRONG, "noise": 0.0, "sharpness": 0.0})
    for seed in range(20):
        one, two = (change(image, np.random.default_rng(seed)) for image in (small, large))
        assert (torch.nn.functional.avg_pool2d(two, 2) - one).abs().mean() < 0.02


@pytest.mark.parametrize("name", OFF)
@pytest.mark.parametrize("value", [-0.1, 90.0, float("nan")])
def test_senseless_strengths_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"augmentation {name}="):
        Augmentation(**{name: value})
