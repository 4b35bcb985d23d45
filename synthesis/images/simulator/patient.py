"""The random numbers that make one patient: build, age and positioning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CONTROL_POINTS = 5  # of the smooth warp, each way


@dataclass(frozen=True)
class Patient:
    """Parameters of one patient as positioned for one exposure; lengths in mm of the atlas frame.

    The ranges are set so that a population covers what real frontal radiographs measure (lung box 0.64 to
    0.95 of the image wide, 0.84 to 1 as high as wide, cardiothoracic ratio 0.39 to 0.50 without
    cardiomegaly).
    """

    pose: int
    field: float
    centre: tuple[float, float]
    rotation: float
    scale: tuple[float, float]
    apex_width: float
    base_width: float
    diaphragm: tuple[float, float]
    warp: np.ndarray
    rib_slope: tuple[float, float]
    rib_shift: tuple[float, float]
    rib_spread: float
    rib_gain: float
    spine_gain: float
    heart_scale: tuple[float, float]
    heart_shift: tuple[float, float]
    heart_turn: float
    lung_density: float
    vessel_gain: float
    mediastinum: float
    torso: tuple[float, float]
    breast: float
    breast_place: tuple[float, float, float]
    arm_angle: tuple[float, float]
    arm_radius: float
    shoulder: tuple[float, float]
    girdle: int
    girdle_shift: tuple[float, float]
    gas: np.ndarray
    heart_gain: float = 1.0
    girdle_gain: float = 1.0
    arms_raised: float = 0.0
    details: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    habitus: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))


def draw_patient(rng: np.random.Generator, poses: list[int], girdles: int, portable: bool) -> Patient:
    """Draw a patient: adult man or woman of any build, or (one in twelve) a child.

    Args:
        rng: The stream of this pair's anatomy.
        poses: Atlas poses of the wanted view.
        girdles: Number of shoulder girdles that were drawn.
        portable: Bedside film: more rotation, less inspiration, worse centring.
    """
    child = rng.random() < 0.08
    female = rng.random() < 0.5
    build = _within(rng.normal(0.0, 1.0), -2, 2.5)  # thin to obese
    age = float(rng.random())  # young to old adult
    loose = 1.8 if portable else 1.0
    inspiration = rng.normal(-0.25 if portable else 0.1, 0.55)
    height = 1.06 + 0.055 * rng.normal() + 0.05 * inspiration - (0.12 if child else 0.0)
    width = 1.0 + 0.05 * rng.normal() + (0.03 if child else 0.0)
    warp = rng.normal(0.0, 1.0, (2, CONTROL_POINTS, CONTROL_POINTS)) * np.array([4.5, 5.5])[:, None, None]
    return Patient(
        pose=poses[int(rng.integers(len(poses)))],
        field=float(rng.uniform(305, 455) if not child else rng.uniform(330, 500)),
        centre=(float(rng.normal(0, 7 * loose)), float(rng.normal(-9, 9 * loose))),
        rotation=float(rng.normal(0, 1.4 * loose)),
        scale=(float(width), _within(height, 0.82, 1.22)),
        apex_width=float(rng.normal(-0.1, 0.05)),
        base_width=float(rng.normal(0.04 + 0.02 * build, 0.04)),
        diaphragm=(
            float(30 + 11 * inspiration + rng.normal(0, 6)),
            float(23 + 11 * inspiration + rng.normal(0, 7)),
        ),
        warp=warp,
        rib_slope=(float(rng.normal(-0.06 if child else 0.0, 0.07)), float(rng.normal(0, 0.12))),
        rib_shift=(float(rng.uniform(-14, 14)), float(rng.uniform(-14, 14))),
        rib_spread=float(rng.normal(1.0, 0.06)),
        rib_gain=float(rng.uniform(1.8, 4.0) * (0.75 if child else 1.0)),
        spine_gain=float(rng.uniform(0.4, 1.3) * (0.7 if child else 1.0)),
        heart_scale=(
            _within(rng.normal(0.98 + 0.05 * age, 0.06), 0.85, 1.1),
            float(rng.normal(1.0, 0.08)),
        ),
        heart_shift=(float(rng.normal(0, 5)), float(rng.normal(0, 6))),
        heart_turn=float(rng.normal(0, 9)),
        lung_density=_within(rng.normal((0.44 if portable else 0.33) - 0.04 * inspiration, 0.05), 0.18, 0.58),
        vessel_gain=float(rng.uniform(1.5, 3.0)),
        mediastinum=_within(rng.normal(-1 + 2 * build + (4 if child else 0), 4), -6, 12),
        torso=(float(168 + 11 * build + rng.normal(0, 5)), float(205 + 18 * build + rng.normal(0, 10))),
        breast=float(
            max(0.0, rng.normal(24 + 7 * build, 10)) if female and not child else max(0, 6 * build - 5)
        ),
        breast_place=(
            float(rng.normal(80, 8)),
            float(rng.normal(52 + 18 * age, 10)),
            float(rng.normal(64 + 4 * build, 6)),
        ),
        arm_angle=(float(rng.uniform(0.02, 0.5)), float(rng.uniform(0.02, 0.5))),
        arm_radius=float(50 + 5 * build + rng.normal(0, 3)),
        shoulder=(float(rng.normal(-188, 9)), float(rng.uniform(0.02, 0.3))),
        girdle=int(rng.integers(girdles)),
        girdle_shift=(float(rng.normal(0, 5)), float(rng.normal(0, 9 * loose))),
        gas=np.concatenate([rng.random(8), rng.normal(0, 1, 8)]),
    )


def _within(value: float, low: float, high: float) -> float:
    """Return a number cut to a range; NumPy's own takes longer than to draw it."""
    return float(min(max(value, low), high))


ParameterReader = Callable[..., Tensor]
"""`each(name, part=None)`: a parameter of every patient as a (batch, 1, 1) tensor."""


def parameter_reader(patients: Sequence[Patient], device: torch.device) -> ParameterReader:
    """Return a reader of the patients' numbers, moved to the device in one go.

    `each("rotation")` reads a number, `each("scale", 1)` the second of a pair.
    """
    rows = [_numbers(patient) for patient in patients]
    table = torch.tensor([list(row.values()) for row in rows], dtype=torch.float32, device=device)
    columns = dict(zip(rows[0], table.T[:, :, None, None].unbind(0), strict=True))

    def each(name: str, part: int | None = None) -> Tensor:
        return columns[name, part]

    return each


def _numbers(patient: Patient) -> dict[tuple[str, int | None], float]:
    numbers: dict[tuple[str, int | None], float] = {}
    for name, value in vars(patient).items():
        if isinstance(value, tuple):
            numbers |= {(name, part): number for part, number in enumerate(value)}
        elif not isinstance(value, np.ndarray):
            numbers[name, None] = value
    return numbers
