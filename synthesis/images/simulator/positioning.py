"""The same patient before the detector once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthesis.images.simulator.patient import Patient


def repositioned(patient: Patient, rng: np.random.Generator, poses: Sequence[int], portable: bool) -> Patient:
    """Return a patient placed anew: other direction of the rays, distance, centring, turn and arms.

    Build, organs and depth of inspiration stay. The ranges are those of `draw_patient`, but for the field,
    which follows the size of the patient and varies by a tenth.

    Args:
        patient: The patient as placed first.
        rng: The stream of this exposure's positioning.
        poses: Atlas poses of the wanted view, of the patient's own subject.
        portable: See `draw_patient`.
    """
    loose = 1.8 if portable else 1.0
    return replace(
        patient,
        pose=poses[int(rng.integers(len(poses)))],
        field=patient.field * float(np.exp(rng.uniform(-0.1, 0.1))),
        centre=(float(rng.normal(0, 7 * loose)), float(rng.normal(-9, 9 * loose))),
        rotation=float(rng.normal(0, 1.4 * loose)),
        arm_angle=(float(rng.uniform(0.02, 0.5)), float(rng.uniform(0.02, 0.5))),
        girdle_shift=(float(rng.normal(0, 5)), float(rng.normal(0, 9 * loose))),
    )
