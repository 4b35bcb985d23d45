"""How fast simulated pairs are made, beside an earlier commit of ours and beside a renderer of CTs."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.rows import Cost, Row, compared, in_turns, installed
from benchmarks.simulator_speed import ROOT, Checkout
from benchmarks.timing import threads
from synthesis.cases import BalancedCaseSampler
from synthesis.images.simulator import Simulator
from synthesis.seeding import pair_seed

COMMIT = "2b3aed4"
"""What the goal of making pairs counts from."""
SIZE = 128
_CT = (512, 512, 133)  # voxels of a chest CT with thick slices


def rows(quick: bool) -> Iterator[Row]:
    """Yield pairs a second beside `COMMIT`, and images a second beside nanodrr."""
    yield beside_commit(64 if quick else SIZE, 1 if quick else 8, 2 if quick else 48)
    for samples, goal in ((500, 40), (150, 10)):
        yield beside_nanodrr(samples, goal, quick)


def beside_commit(size: int, turns: int, count: int) -> Row:
    """Return pairs a second of one core, with mask and report, beside an earlier commit in the same run.

    Args:
        size: Height and width of the images, px.
        turns: Rounds of ours, theirs, theirs, ours.
        count: Pairs a turn.
    """
    with ExitStack() as stack, threads(1):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides = {"ours": stack.enter_context(Checkout(ROOT, size))}
        if found := unpacked(COMMIT, folder):
            sides["theirs"] = stack.enter_context(Checkout(found, size))
        costs: dict[str, list[Cost]] = {name: [] for name in sides}
        for turn in range(turns):
            for name in (*sides, *reversed(sides)):
                costs[name].append(Cost(*sides[name].turn("pair", turn * count, count)))
    peer = f"ours at {COMMIT}" + ("" if "theirs" in costs else " (not in this checkout)")
    note = f"{size} px with mask and report, one thread, {count} pairs a turn."
    return compared("simulated pairs of a core", peer, None, costs, count, "pairs/s", "≥ 1.8 ×", note=note)


def unpacked(commit: str, folder: Path) -> Path | None:
    """Unpack a commit of this checkout; None where there is no git, or no such commit.

    Args:
        commit: Its hash.
        folder: Where to.
    """
    try:
        command = ["git", "-C", str(ROOT), "archive", "--format=tar", commit]
        packed = subprocess.run(command, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return folder


def beside_nanodrr(samples: int, goal: int, quick: bool) -> Row:
    """Return whole radiographs a second, beside plain projections of one CT.

    Args:
        samples: Of the CT along each ray.
        goal: How many times faster we are to be.
        quick: Whether the CT is tiny, and the images few.
    """
    count, turns = (1, 1) if quick else (8, 5)
    simulator, sampler = Simulator(image_size=SIZE), BalancedCaseSampler()
    cases = [sampler.sample(0, "train", k) for k in range(count)]
    seeds = [pair_seed(0, "train", k) for k in range(count)]
    works: dict[str, Callable[[], object]] = {"ours": lambda: simulator.make(cases, None, seeds)}
    if installed("nanodrr"):
        project = projector((32, 32, 16) if quick else _CT)
        works["theirs"] = lambda: [project(float(k), samples) for k in range(count)]
    with threads(1):
        costs = in_turns(turns, works)
    note = (
        f"{SIZE} px, one thread. Ours: anatomy, findings, masks and detector. nanodrr: integrals of one CT "
        f"of {' × '.join(map(str, _CT))} voxels, a pose each, without gradients."
    )
    return compared(
        "radiographs of a core",
        f"nanodrr, {samples} samples a ray",
        "nanodrr",
        costs,
        count,
        "images/s",
        f"≥ {goal} ×",
        note=note,
    )


def projector(voxels: tuple[int, int, int]) -> Callable[[float, int], Tensor]:
    """Return what projects a CT of such a size by nanodrr, turned by some degrees, with some samples a ray.

    What stands in the voxels makes no difference to the time.
    """
    from nanodrr.camera import make_rt_inv
    from nanodrr.data import Subject
    from nanodrr.drr import DRR
    from torchio import ScalarImage

    noise = torch.randint(-1000, 1000, (1, *voxels), generator=torch.Generator().manual_seed(0))
    millimetres = torch.diag(torch.tensor([360 / voxels[0], 360 / voxels[1], 330 / voxels[2], 1])).numpy()
    subject = Subject.from_images(ScalarImage(tensor=noise.float(), affine=millimetres))
    camera: Any = DRR.from_carm_intrinsics(1800.0, 400 / SIZE, 400 / SIZE, 0.0, 0.0, SIZE, SIZE)

    def project(degrees: float, samples: int) -> Tensor:
        with torch.inference_mode():
            pose = make_rt_inv(
                torch.tensor([[degrees, 0.0, 0.0]]),
                torch.tensor([[0.0, 1500.0, 0.0]]),
                "AP",
                subject.isocenter,
            )
            return torch.as_tensor(camera(subject, pose, n_samples=samples))

    return project
