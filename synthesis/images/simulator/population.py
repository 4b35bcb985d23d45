"""Populations that share nothing: whose anatomy, whose detector and whose textures are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from synthesis.images.simulator.exposure import Exposure
from synthesis.images.simulator.patient import CONTROL_POINTS, Patient
from synthesis.images.simulator.textures import TEXTURE_SEED
from synthesis.limits import at_least, within

_PLANE = np.random.default_rng(97).normal(size=(2, CONTROL_POINTS, CONTROL_POINTS))
"""Normal of the plane that parts the smooth warps of the two halves; it belongs to the simulator."""


@dataclass(frozen=True)
class DetectorFamily:
    """Detectors and processing of one make: each range replaces that of `draw_exposure`, drawn evenly.

    The defaults lie beyond what `draw_exposure` draws, so that no film of this family could be of that one.

    Attributes:
        knee: Steepness of the S-shaped curve; above 2 the curve would fall.
        equalise: Share of the local mean that is taken out.
        edge: Gain of unsharp masking. `Tone` has its own in its place.
    """

    knee: tuple[float, float] = (1.65, 1.95)
    equalise: tuple[float, float] = (0.42, 0.6)
    edge: tuple[float, float] = (0.95, 1.3)

    def __post_init__(self) -> None:
        """Refuse ranges that make no sense."""
        for name, most in (("knee", 2.0), ("equalise", 1.0), ("edge", 5.0)):
            least, greatest = getattr(self, name)
            within(self, 0, most, **{f"least {name}": least, f"greatest {name}": greatest})
            at_least(self, least, **{f"greatest {name}": greatest})

    def change(self, exposure: Exposure, rng: np.random.Generator) -> Exposure:
        """Return an exposure by a detector of this family."""
        draws = rng.random(3)
        ranges = (self.knee, self.equalise, self.edge)
        knee, equalise, edge = (
            float(low + (high - low) * draw) for (low, high), draw in zip(ranges, draws, strict=True)
        )
        return replace(exposure, knee=knee, equalise=equalise, edge=edge)


@dataclass(frozen=True)
class Population:
    """One half of all anatomy that the simulator can draw, the films and the textures of a place.

    The halves share no pose of the atlas, no shoulder girdle and no shape: hearts turn one way or the other,
    ribs lie high or low, and the smooth warp lies on one side of a plane. Everything else of a patient is
    drawn as before, with the same random numbers. So pairs of one half can be held out from training on the
    other without a second CT; an atlas of another CT comes on top of that.

    Attributes:
        half: "first" or "second".
        detector: Whose films; None for those of `draw_exposure`.
        texture_seed: Of the random fields that findings cut their textures from.
    """

    half: Literal["first", "second"] = "first"
    detector: DetectorFamily | None = None
    texture_seed: int = TEXTURE_SEED

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        if self.half not in ("first", "second"):
            raise ValueError(f"Population: half={self.half!r}: give first or second")
        at_least(self, 0, texture_seed=self.texture_seed)

    def change(self, patient: Patient, poses: Sequence[int]) -> Patient:
        """Return the patient of this half that has the same random numbers.

        Args:
            patient: As drawn from everybody.
            poses: Atlas poses of the same subject in the same view.

        Raises:
            ValueError: If there is no second pose, so that the halves would share the only one.
        """
        if len(poses) < 2:
            raise ValueError(
                f"Population: the atlas has {len(poses)} pose of a view of one subject, which two halves "
                "would share: build it with more (`make atlas`)"
            )
        half = ("first", "second").index(self.half)
        sign = 1.0 if half else -1.0
        shift, spread = patient.rib_shift
        warp = patient.warp * (1.0 if sign * float((patient.warp * _PLANE).sum()) >= 0 else -1.0)
        return replace(
            patient,
            pose=_nearest(poses, poses.index(patient.pose), half),
            girdle=patient.girdle - patient.girdle % 2 + half,
            heart_turn=sign * abs(patient.heart_turn),
            rib_shift=(sign * abs(shift), spread),
            warp=warp,
        )

    def expose(self, exposure: Exposure, rng: np.random.Generator) -> Exposure:
        """Return an exposure by this population's detector."""
        return exposure if self.detector is None else self.detector.change(exposure, rng)


def _nearest(poses: Sequence[int], place: int, half: int) -> int:
    """Return the pose at a place, or beside it, that belongs to a half: every other one."""
    place += half - place % 2
    return poses[place if place < len(poses) else place - 2]
