"""How much planted corruption the filters catch, and what they refuse without need.

    python -m benchmarks.filters                                # the standard filters, on simulated pairs
    python -m benchmarks.filters --real FOLDER                  # false rejections of real radiographs too
    python -m benchmarks.filters --checkpoint runs/fit/checkpoints/best.ckpt   # can the dual encoder tell?
    python -m benchmarks.filters --calibrate    # what the thresholds were set by, on other pairs

Every kind of damage of the simulated clinic (`synthesis.corruption`) and some of reports are planted on pairs
of a split and a seed that no threshold was set on. Writes `results/filters/table.md` and `rates.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.planted_pairs import (
    DEVELOPMENT,
    DEVELOPMENT_SEED,
    REPORTS,
    SEED,
    SPLIT,
    copied,
    folder,
    planted,
)
from lightning_modules.checkpoint_embedder import CheckpointEmbedder
from scripts.command_line.errors import exit_code
from scripts.corpora.make_corpus import read_data
from synthesis.corruption import MISPAIRED
from synthesis.filters import ImageReportAgreement, MeasuredFilter, NearDuplicateImages, StandardFilters
from synthesis.pairs import Pair, PairFilter, PairSynthesizer
from synthesis.reports.report import Report

ALL = ("configs/filters/standard.yaml",)


def each(filters: Sequence[PairFilter]) -> list[PairFilter]:
    """Return the filters with the standard ones by themselves."""
    groups = [part.filters if isinstance(part, StandardFilters) else (part,) for part in filters]
    return list(chain.from_iterable(groups))


def first_refusals(filters: Sequence[PairFilter], pairs: Sequence[Pair]) -> dict[str, list[bool]]:
    """Return for each filter whether it refuses each pair by itself, and for "any" whether one does."""
    refused = {type(part).__name__: [r is not None for r in part.reject(pairs)] for part in filters}
    return {**refused, "any": [any(flags) for flags in zip(*refused.values(), strict=True)]}


def rates(refused: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    """Return the share that each refuses."""
    return {name: float(np.mean(flags)) for name, flags in refused.items()}


def agreement(path: Path, clean: Sequence[Pair], wrong: Sequence[Pair]) -> dict[str, float]:
    """Return how well a trained dual encoder tells wrong reports: the threshold is set on the first half."""
    from sklearn.metrics import roc_auc_score

    part = ImageReportAgreement(CheckpointEmbedder(path))
    right, other = np.array(part.measured(clean)), np.array(part.measured(wrong))
    half = len(right) // 2
    threshold = float(np.quantile(right[:half], 0.02))
    labels = np.repeat([0, 1], [len(right), len(other)])
    return {
        "auroc": float(roc_auc_score(labels, -np.concatenate([right, other]))),
        "threshold": threshold,
        "caught": float((other[half:] < threshold).mean()),
        "refused": float((right[half:] < threshold).mean()),
    }


def copies(clean: Sequence[Pair]) -> dict[str, float]:
    """Return what the search for near-duplicates does to pairs of which the second half are noisy copies."""
    half, part = len(clean) // 2, NearDuplicateImages()
    doubled = [copied(pair) for pair in clean[:half]]
    refused = [r is not None for r in part.reject(part.sign([*clean[:half], *doubled]))]
    return {"caught": float(np.mean(refused[half:])), "refused": float(np.mean(refused[:half]))}


def calibration(synthesizer: PairSynthesizer, count: int, real: Sequence[Pair]) -> str:
    """Return, as Markdown, between which values each measure lies, on pairs for development and real ones."""
    parts = [part for part in each(synthesizer.filters) if isinstance(part, MeasuredFilter)]
    rows: dict[str, list[str]] = {type(part).__name__: [] for part in parts}
    simulated = planted(synthesizer, count, DEVELOPMENT, DEVELOPMENT_SEED)
    for kind, pairs in [*simulated, ("real", list(real))]:
        for part in parts if pairs and kind not in (MISPAIRED, *REPORTS) else ():
            cells = np.quantile(part.measured(pairs), [0, 0.01, 0.05, 0.5, 0.95, 0.99, 1])
            rows[type(part).__name__].append(f"| {kind} | " + " | ".join(f"{v:.4g}" for v in cells) + " |")
    lines = [
        "# Measures of the filters",
        "",
        f"{count} pairs a kind of split {DEVELOPMENT!r}, seed {DEVELOPMENT_SEED}; real: {len(real)}.",
    ]
    for part in parts:
        limits = ", ".join(f"{k} {v:g}" for k, v in part.describe().items() if isinstance(v, float))
        lines += ["", f"## {type(part).__name__} ({limits})", ""]
        lines += ["| kind | least | 1 % | 5 % | half | 95 % | 99 % | most |", f"|---|{'---:|' * 7}"]
        lines += rows[type(part).__name__]
    return "\n".join([*lines, ""])


def markdown(found: Mapping[str, Any]) -> str:
    """Render what was measured."""
    lines = [
        "# Filters on planted corruption",
        "",
        f"{found['pairs']} simulated pairs a kind, {found['image_size']} px, split {SPLIT!r}, seed {SEED}: "
        f"other pairs than the thresholds were set on. Filters: {', '.join(found['filters'])}.",
        "",
        "| kind | caught | by |",
        "|---|---:|---|",
    ]
    for kind, shares in found["caught"].items():
        by = Counter({name: share for name, share in shares.items() if name != "any" and share >= 0.005})
        named = ", ".join(f"{name} {share:.1%}" for name, share in by.most_common(3))
        lines.append(f"| {kind} | {shares['any']:.1%} | {named} |")
    names = [name for name in found["refused"] if name != "any"]
    sides = ["simulated", *(["real"] if "real" in found else [])]
    shares = {"simulated": found["refused"], "real": found.get("real", {})}
    lines += ["", f"| refused without need | {' | '.join(sides)} |", f"|---|{'---:|' * len(sides)}"]
    for name in ("any", *names):
        cells = [f"{shares[side][name]:.1%}" if name in shares[side] else "" for side in sides]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if "real" in found:
        lines += ["", f"Real: {found['real_images']} radiographs of a folder, image filters only."]
    share = found["copies"]
    lines += [
        "",
        f"Copies of an image (darker, JPEG): {share['caught']:.1%} caught, {share['refused']:.1%} of ",
    ]
    lines[-1] += "the others refused."
    if "agreement" in found:
        a = found["agreement"]
        lines += ["", f"Dual encoder on wrong reports, images alone known: AUROC {a['auroc']:.3f}; "]
        lines[-1] += f"{a['caught']:.1%} caught at {a['refused']:.1%} false rejections."
    return "\n".join([*lines, ""])


def parsed(args: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--filters", nargs="+", default=list(ALL), help="layers with filters")
    parser.add_argument("--pairs", type=int, default=500, help="simulated pairs of each kind")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--real", type=Path, help="folder of real radiographs that should all pass")
    parser.add_argument("--checkpoint", type=Path, help="a trained dual encoder")
    parser.add_argument("--calibrate", action="store_true", help="print the measures, and write measures.md")
    parser.add_argument("--results", type=Path, default=Path("results/filters"))
    return parser.parse_args(args)


def main(args: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print and write."""
    known = parsed(args)
    size = f"--model.init_args.image_encoder.init_args.image_size={known.image_size}"
    synthesizer = read_data(known.filters, [size]).synthesizer
    images = folder(known.real, known.image_size) if known.real else []
    known.results.mkdir(parents=True, exist_ok=True)
    if known.calibrate:
        text = calibration(synthesizer, known.pairs, images)
        (known.results / "measures.md").write_text(text)
        print(text)
        return {}
    found = measure(synthesizer, known.pairs, images, known.checkpoint) | {"image_size": known.image_size}
    (known.results / "rates.json").write_text(json.dumps(found, indent=1) + "\n")
    text = markdown(found)
    (known.results / "table.md").write_text(text)
    print(text)
    return found


def measure(
    synthesizer: PairSynthesizer, count: int, images: Sequence[Pair], checkpoint: Path | None
) -> dict[str, Any]:
    """Plant every kind of damage and count what is refused."""
    filters = each(synthesizer.filters)
    found: dict[str, Any] = {"pairs": count, "caught": {}}
    found["filters"] = [type(part).__name__ for part in filters]
    made = {}
    for kind, pairs in planted(synthesizer, count, SPLIT, SEED):
        shares = rates(first_refusals(filters, pairs))
        if kind == "clean":
            found["refused"] = shares
        else:
            found["caught"][kind] = shares
        if kind in ("clean", MISPAIRED):
            made[kind] = pairs
    found["copies"] = copies(made["clean"])
    if images:
        of_images = [part for part in filters if part.reject([_without_report(made["clean"][0])]) == [None]]
        found |= {"real": rates(first_refusals(of_images, images)), "real_images": len(images)}
    if checkpoint is not None:
        found["agreement"] = agreement(checkpoint, made["clean"], made[MISPAIRED])
    return found


def _without_report(pair: Pair) -> Pair:
    """Return a pair of the image alone: what still passes a filter shows that it looks at no report."""
    return replace(pair, report=Report("", ""))


if __name__ == "__main__":
    sys.exit(exit_code(main))
