"""Contact sheets to look at: every concept beside its twin, random pairs with reports, real radiographs.

    make gallery                          # simulated only
    make gallery REAL=/path/to/radiographs  # the same layout for a folder of real ones beside it

Writes PNG files, a table of what the pictures measure and an index page to `docs/gallery/`.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib

from scripts.command_line.errors import exit_code

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from synthesis.cases import BalancedCaseSampler, Case, Finding, View
from synthesis.concepts import Concept
from synthesis.files import replaced, write_atomically
from synthesis.images.simulator import Simulator
from synthesis.pairs import PairSynthesizer
from synthesis.progress import track
from synthesis.reports.grammar import GrammarWriter
from synthesis.seeding import pair_seed

COLUMNS = 6  # examples of a severity on a contact sheet


def examples(concept: Concept, severity: str | None, count: int) -> list[Case]:
    """Return cases with this one finding, cycling through its sides and places."""
    sides = concept.lateralities or (None,)
    cases = []
    for k in range(count):
        side = sides[k % len(sides)]
        places = concept.places(side)
        place = places[(k // len(sides) + k) % len(places)] if places else None
        finding = Finding(concept.name, side, place, severity)
        view: View = "PA" if concept.views[k % len(concept.views)] == "PA" else "AP"
        cases.append(Case((finding,), (), view))
    return cases


def concept_sheet(simulator: Simulator, concept: Concept, path: Path) -> None:
    """One row a severity; each picture with its mask outlined, its counterfactual twin beside it."""
    severities: Sequence[str | None] = concept.severities or (None,)
    figure, axes = plt.subplots(
        len(severities), 2 * COLUMNS, figsize=(2 * COLUMNS * 1.5, len(severities) * 1.75), squeeze=False
    )
    for row, severity in enumerate(severities):
        cases = examples(concept, severity, COLUMNS)
        seeds = [pair_seed(5, concept.name, k) for k in range(COLUMNS)]
        drawings = simulator.draw(cases, seeds)
        for k, drawing in enumerate(drawings):
            pictures = drawing.pictures([None, 0]) if drawing.changes else drawing.pictures([None, None])
            here, twin = axes[row, 2 * k], axes[row, 2 * k + 1]
            here.imshow(pictures[0], cmap="gray", vmin=0, vmax=1)
            twin.imshow(pictures[1], cmap="gray", vmin=0, vmax=1)
            mask = (pictures[0] - pictures[1]).abs()
            if drawing.changes:
                here.contour(mask > 0.25 * mask.max(), levels=[0.5], colors="tab:orange", linewidths=0.6)
            finding = cases[k].findings[0]
            words = " ".join(w for w in (finding.severity, finding.laterality, finding.location) if w)
            here.set_title(
                (words or concept.name) + ("" if drawing.changes else " (not visible)"), fontsize=6
            )
            twin.set_title("twin without", fontsize=6)
    _finish(figure, f"{concept.preferred_name}", path)


def pair_sheet(synthesizer: PairSynthesizer, path: Path, count: int = 6) -> None:
    """Random pairs with their report text."""
    pairs = synthesizer.make(range(count), seed=7, split="gallery")
    figure, axes = plt.subplots(count // 2, 4, figsize=(13, 3.3 * count / 2), width_ratios=[1, 1, 1, 1])
    for k, pair in enumerate(pairs):
        picture, text = axes[k // 2, 2 * (k % 2)], axes[k // 2, 2 * (k % 2) + 1]
        picture.imshow(pair.image[0], cmap="gray", vmin=0, vmax=255)
        parts = (f"FINDINGS: {pair.report.findings}", "", f"IMPRESSION: {pair.report.impression}")
        lines = [line for part in parts for line in (textwrap.wrap(part, 44) or [""])]
        text.text(0, 1, "\n".join(lines), fontsize=8.5, va="top", transform=text.transAxes)
    _finish(figure, None, path)


def mosaic(pictures: Sequence[Tensor], path: Path, columns: int = 10) -> None:
    """Draw pictures in rows, nothing else, so that simulated and real ones can be compared at a glance."""
    size = pictures[0].shape[-1]
    rows = len(pictures) // columns
    grid = torch.stack(list(pictures[: rows * columns])).view(rows, columns, size, size)
    array = (grid.permute(0, 2, 1, 3).reshape(rows * size, columns * size) * 255).round().byte().numpy()
    Image.fromarray(array).save(path)


def measures(pictures: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """Return percentiles 5, 25, 50, 75, 95 over pictures of what needs no lung mask.

    Grey is stretched to the 1st to 99th percentile of each picture first.
    """
    rows: dict[str, list[float]] = {
        "s.d. of grey": [],
        "mean grey of the outer frame": [],
        "fine texture": [],
    }
    for picture in pictures:
        low, high = np.percentile(picture, [1, 99])
        grey = np.clip((picture.numpy() - low) / max(high - low, 1e-3), 0, 1)
        rim = max(2, round(4 * grey.shape[0] / 256))
        frame = np.ones_like(grey, bool)
        frame[rim:-rim, rim:-rim] = False
        blurred = torch.nn.functional.avg_pool2d(
            torch.from_numpy(grey)[None, None], 7, 1, 3, count_include_pad=False
        )
        middle = slice(grey.shape[0] // 4, 3 * grey.shape[0] // 4)
        rows["s.d. of grey"].append(float(grey.std()))
        rows["mean grey of the outer frame"].append(float(grey[frame].mean()))
        rows["fine texture"].append(float((grey - blurred[0, 0].numpy())[middle, middle].std()))
    return {name: np.percentile(values, [5, 25, 50, 75, 95]) for name, values in rows.items()}


def real_pictures(folder: Path, size: int, count: int) -> list[Tensor]:
    """Read some pictures of a folder, squeezed to squares."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".png", ".jpg", ".jpeg"})
    if not files:
        raise SystemExit(f"{folder} holds no .png or .jpg file: give a folder of radiographs")
    step = max(1, len(files) // count)
    images = [
        Image.open(f).convert("L").resize((size, size), Image.Resampling.LANCZOS)
        for f in files[::step][:count]
    ]
    return [torch.from_numpy(np.asarray(image, dtype=np.float32) / 255) for image in images]


def _finish(figure: plt.Figure, title: str | None, path: Path) -> None:
    for axis in figure.axes:
        axis.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=10)
    figure.tight_layout(pad=0.3)
    with replaced(path) as temporary:
        figure.savefig(temporary, dpi=110, format=path.suffix[1:])
    plt.close(figure)


def main() -> None:
    """Draw everything and write the index page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"))
    parser.add_argument("--real", type=Path, help="folder of real radiographs, for the same layout")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    simulator, sampler = Simulator(image_size=args.image_size), BalancedCaseSampler()
    concepts = [c for c in simulator.catalog if c.sampled and c.name != "no_finding"]
    for concept in track(concepts, "contact sheets"):
        concept_sheet(simulator, concept, args.out / f"{concept.name}.jpg")
    synthesizer = PairSynthesizer(sampler, GrammarWriter(), simulator)
    pair_sheet(synthesizer, args.out / "pairs.jpg")
    pairs = synthesizer.make(range(60), seed=3, split="gallery")
    pictures = [pair.image[0].float() / 255 for pair in pairs]
    mosaic(pictures, args.out / "simulated.jpg")
    columns = {"simulated": measures(pictures)}
    if args.real is not None:
        real = real_pictures(args.real, args.image_size, 60)
        mosaic(real, args.out / "real.local.jpg")  # ignored by git: not ours to publish
        columns["real"] = measures(real)
    lines = [
        "# Gallery",
        "",
        "Percentiles 5 / 25 / 50 / 75 / 95 over pictures, grey stretched to each one's 1st–99th.",
        "",
    ]
    lines += ["| measure | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name in columns["simulated"]:
        cells = [" / ".join(f"{v:.2f}" for v in column[name]) for column in columns.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "![pairs](pairs.jpg)", "", "![simulated](simulated.jpg)", ""]
    lines += [f"## {c.preferred_name}\n\n![{c.name}]({c.name}.jpg)\n" for c in concepts]
    write_atomically(args.out / "README.md", "\n".join(lines))
    print(f"open {args.out / 'README.md'}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
