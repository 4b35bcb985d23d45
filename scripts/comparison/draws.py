"""Figures in each bootstrap resample of the test patients: what paired differences are made of."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from synthesis.files import replaced

_ABOUT = "about"
_MOST = 1 << 30  # bytes of all draws of a run
_SAMPLE = ("split_sha256", "n", "seed", "resamples")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """Draws by figure.

    Attributes:
        values: Figure → its value in each resample, ``(resamples,)``.
        sample: Figure → what says which patients were drawn: split, seed and number of resamples. Draws of
            two runs are paired where it is the same.
    """

    values: Mapping[str, Array] = field(default_factory=dict)
    sample: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_run(cls, path: Path) -> Draws:
        """Read the ``bootstrap.npz`` of a run; no draws where there is no file.

        Raises:
            ValueError: If the file is damaged.
        """
        from callbacks.run.draws_file import read_draws

        if not path.exists():
            return cls()
        values, about = read_draws(path)
        sample = {}
        for name in values:
            group = max((group for group in about if name.startswith(f"{group}/")), key=len)
            sample[name] = ":".join(str(about[group].get(key)) for key in _SAMPLE)
        return cls({name: drawn.astype(np.float64) for name, drawn in values.items()}, sample)

    @classmethod
    def read(cls, path: Path) -> Draws:
        """Read a file that `write` left; no draws where there is no file.

        Raises:
            ValueError: If the file is damaged; names the remedy.
        """
        if not path.exists():
            return cls()
        try:
            with ZipFile(path) as archive:  # a small file could hold zeros without end
                if sum(member.file_size for member in archive.infolist()) > _MOST:
                    raise ValueError(f"more than {_MOST >> 20} MiB")
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name].astype(np.float64) for name in file.files if name != _ABOUT}
                sample: dict[str, str] = json.loads(str(file[_ABOUT]))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
            raise ValueError(
                f"{path} holds no draws that can be read ({error}): delete it, and its run is not paired"
            ) from error
        return cls(arrays, sample)

    def write(self, path: Path) -> None:
        """Write the file; none where there are no draws."""
        if not self.values:
            return
        arrays: dict[str, Any] = {name: array.astype(np.float32) for name, array in self.values.items()}
        arrays[_ABOUT] = np.array(json.dumps(dict(self.sample)))
        with replaced(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)

    def only(self, names: Mapping[str, str]) -> Draws:
        """Return some of the draws under other names: name here → name there."""
        there = {new: old for old, new in names.items() if old in self.values}
        return Draws(
            {new: self.values[old] for new, old in there.items()},
            {new: self.sample[old] for new, old in there.items()},
        )
