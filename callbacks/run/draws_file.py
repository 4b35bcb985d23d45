"""The bootstrap draws of a run's figures, for paired comparisons of runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.base.files import written_whole
from callbacks.statistics.intervals import Array

DRAWS = "bootstrap.npz"
"""Name of the file in the run directory."""

ABOUT = "about"


def store_draws(
    path: Path,
    draws: Mapping[str, Mapping[str, Array]],
    about: Mapping[str, Mapping[str, Any]],
    stages: Sequence[str],
) -> None:
    """Write draws to ``bootstrap.npz``, beside those that other stages left in it.

    The file holds, under ``<stage>/<callback>/<figure>``, the figure in each resample, float32
    ``(resamples,)``; and under ``about`` a JSON text: ``<stage>/<callback>`` → seed, resamples, n and split
    SHA-256. Where these are the same in two runs, resample i is of the same patients in both, so the
    difference of the draws is that of a paired bootstrap.

    Args:
        path: The file; one that is damaged begins anew, with a warning.
        draws: ``<stage>/<callback>`` → figure → ``(resamples,)``.
        about: ``<stage>/<callback>`` → what the draws depend on, ready for JSON.
        stages: What they left in the file before is dropped.
    """
    old: dict[str, Array] = {}
    old_about: dict[str, dict[str, Any]] = {}
    if path.exists():
        try:
            old, old_about = read_draws(path)
        except ValueError as error:
            rank_zero_warn(f"{error}; it begins anew")
    kept: dict[str, Any] = {key: drawn for key, drawn in old.items() if key.split("/")[0] not in stages}
    kept |= {
        f"{prefix}/{figure}": drawn.astype(np.float32)
        for prefix, figures in draws.items()
        for figure, drawn in figures.items()
    }
    told = {key: value for key, value in old_about.items() if key.split("/")[0] not in stages}
    told |= {prefix: dict(about[prefix]) for prefix, figures in draws.items() if figures}
    if not kept and not path.exists():
        return
    with written_whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **(kept | {ABOUT: np.array(json.dumps(told))}))


def read_draws(path: Path) -> tuple[dict[str, Array], dict[str, dict[str, Any]]]:
    """Read what `store_draws` wrote.

    Args:
        path: The file.

    Returns:
        ``<stage>/<callback>/<figure>`` → draws ``(resamples,)``, and what each callback's depend on.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        about: dict[str, dict[str, Any]] = json.loads(str(arrays.pop(ABOUT)))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ValueError(
            f"{path} holds no bootstrap draws that can be read ({error}); delete it, and test again"
        ) from error
    return arrays, about
