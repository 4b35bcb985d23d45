"""Learn what whole frontal chests look like, from simulated radiographs, for the filters of geometry.

    python -m scripts.simulator.build_appearance            # rewrites synthesis/filters/appearance.npz

It is learnt from simulated images alone. With `--images FOLDER` it is learnt from those of a folder, such as
your own scanner's, whose good images are then told from bad ones better. Give the filters the file as
`components`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datamodules.tables.image_file import read_radiograph
from scripts.command_line.errors import exit_code
from scripts.corpora.make_corpus import read_data
from synthesis.filters.appearance import SHIPPED, learn
from synthesis.filters.measured import CANONICAL
from synthesis.progress import track

SPLIT, SEED = "appearance", 0
_CHUNK = 64


def simulated(count: int) -> Tensor:
    """Return radiographs of the base configuration, ``(count, 64, 64)`` in [0, 1]."""
    size = f"--model.init_args.image_encoder.init_args.image_size={CANONICAL}"
    synthesizer = read_data([], [size]).synthesizer
    images: list[Tensor] = []
    for start in track(range(0, count, _CHUNK), "simulating"):
        pairs = synthesizer.make(range(start, min(start + _CHUNK, count)), SEED, SPLIT)
        images += [pair.image[0] for pair in pairs]
    return torch.stack(images).float() / 255


def of_folder(folder: Path) -> Tensor:
    """Return the radiographs of a folder, ``(images, 64, 64)`` in [0, 1]."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".dcm"))
    if len(files) < 100:
        raise SystemExit(f"{folder} holds {len(files)} .png, .jpg or .dcm files; give 100 or more.")
    images = [read_radiograph(file, CANONICAL)[0] for file in track(files, "reading")]
    return torch.stack(images).float() / 255


def main(args: Sequence[str] | None = None) -> Path:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="simulated radiographs to learn from")
    parser.add_argument("--components", type=int, default=40)
    parser.add_argument("--images", type=Path, help="a folder of sound radiographs instead of simulated ones")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    known = parser.parse_args(args)
    images = simulated(known.count) if known.images is None else of_folder(known.images)
    learnt = learn(images, known.components)
    np.savez_compressed(known.out, mean=learnt["mean"], components=learnt["components"])
    print(f"{known.components} components of {len(images):,} radiographs are in {known.out}")
    return known.out


if __name__ == "__main__":
    sys.exit(exit_code(main))
