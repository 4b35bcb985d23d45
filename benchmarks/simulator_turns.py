"""Makes simulated pairs turn by turn, in whichever checkout ``PYTHONPATH`` names: see `simulator_speed`.

It imports nothing but the synthesis, so that older checkouts run it too. Each line of its input, "part start
count", is a turn, answered by the CPU and wall seconds it took; "save PATH COUNT" writes what is made.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from scripts.command_line.errors import exit_code
from synthesis.cases import BalancedCaseSampler, Case
from synthesis.images.simulator import Simulator
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.reports.grammar import GrammarWriter
from synthesis.seeding import pair_seed

SPLIT = "train"


def parts(size: int) -> tuple[dict[str, Callable[[range], object]], PairSynthesizer]:
    """Return the parts of making pairs that are timed, called with the pairs' numbers, and what makes pairs.

    Args:
        size: Height and width of the images in pixels.
    """
    sampler, writer, simulator = BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=size)
    synthesizer = PairSynthesizer(sampler, writer, simulator)

    def seeds(indices: range) -> list[int]:
        return [pair_seed(0, SPLIT, i) for i in indices]

    def cases(indices: range) -> list[Case]:
        return [sampler.sample(0, SPLIT, i) for i in indices]

    works: dict[str, Callable[[range], object]] = {
        "pair": lambda indices: synthesizer.make(indices, 0, SPLIT),
        "case": cases,
        "report": lambda indices: writer.write(cases(indices), seeds(indices)),
        "drawing": lambda indices: list(simulator.draw(cases(indices), seeds(indices))),
        "image": lambda indices: simulator.make(cases(indices), None, seeds(indices)),
    }
    return works, synthesizer


def save(path: str, made: Sequence[Pair]) -> None:
    """Write pictures, masks and reports of pairs as an ``.npz``."""
    masks = [torch.zeros(0) if pair.masks is None else pair.masks for pair in made]
    np.savez(
        path,
        images=np.stack([pair.image.numpy() for pair in made]),
        masks=np.stack([mask.any(0).numpy() for mask in masks]),
        reports=np.array([pair.report.text for pair in made]),
    )


def answer(line: str, works: Mapping[str, Callable[[range], object]], synthesizer: PairSynthesizer) -> str:
    """Do what a line asks for, and return what to answer."""
    first, *numbers = line.split()
    if first == "save":
        save(numbers[0], synthesizer.make(range(int(numbers[1])), 0, SPLIT))
        return "saved"
    start, count = map(int, numbers)
    cpu, wall = time.process_time(), time.perf_counter()
    works[first](range(start, start + count))
    return f"{time.process_time() - cpu} {time.perf_counter() - wall}"


def main() -> None:
    """Answer the turns that are asked for."""
    torch.set_num_threads(1)
    works, synthesizer = parts(int(sys.argv[1]))
    synthesizer.make(range(2), 0, SPLIT)  # loads the atlas
    print("ready", flush=True)
    for line in sys.stdin:
        print(answer(line, works, synthesizer), flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
