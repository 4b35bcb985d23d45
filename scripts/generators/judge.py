"""What one generator can do: it draws held-out cases, and what it drew is measured."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from callbacks.statistics.concept_scores import ConceptTable
from callbacks.statistics.intervals import PatientBootstrap, percentile_interval
from scripts.comparison.configuration import words
from scripts.comparison.definition import Layers
from scripts.comparison.measure import Measure, Measured
from scripts.comparison.run import Run
from scripts.comparison.tables import write_table
from scripts.generators.counterfactual_report import keep_removals, report_removals
from scripts.generators.counterfactuals import by_concept, change, drawn, removals
from scripts.generators.drawing import draw
from scripts.generators.ground import Ground, ground_of
from scripts.generators.metrics import (
    Memorisation,
    fidelity,
    frechet_distance,
    kernel_distance,
    manifold,
    memorisation,
    similarity_within_prompts,
)
from scripts.generators.sheets import sheet
from scripts.generators.sides import SideAccuracy
from scripts.resolved_config import resolved_config
from synthesis.cases import Case
from synthesis.files import replaced
from synthesis.images.image_maker import ImageMaker
from synthesis.limits import at_least

_SHOWN = 8


class GeneratorJudge(Measure):
    """Has a generator draw held-out cases again, and compares its images with those of the simulator.

    Args:
        layers: YAML files of a training configuration: its training, validation and test pairs are what
            generators are compared on.
        overrides: Values over them.
        encoder: What features are taken from: see `FeatureSpace`.
        maker: Draws; None draws with the simulator of the pairs.
        prompts: Prompts of which several images are drawn, for MS-SSIM.
        samples_per_prompt: How many images of each of them.
        counterfactuals: Cases that are drawn once more without one of their findings; 0 for none.
        sampling_seeds: How often all cases are drawn for the fidelity, from other noise each time.
        workers: Processes that draw, on a CPU; 0 draws in this one. The figures do not depend on it, but for
            the rate of drawing.

    Raises:
        ValueError: If a number is too small.
    """

    def __init__(
        self,
        layers: list[str],
        overrides: dict[str, str | int | float | bool | None],
        encoder: str,
        maker: ImageMaker | None = None,
        prompts: int = 32,
        samples_per_prompt: int = 4,
        workers: int = 0,
        counterfactuals: int = 128,
        sampling_seeds: int = 1,
    ) -> None:
        at_least(self, 0, workers=workers, counterfactuals=counterfactuals)
        at_least(self, 1, sampling_seeds=sampling_seeds)
        self.layers = Layers(tuple(layers), overrides)
        self.encoder, self.maker = Path(encoder), maker
        self.prompts, self.samples_per_prompt, self.workers = prompts, samples_per_prompt, workers
        self.counterfactuals, self.sampling_seeds = counterfactuals, sampling_seeds

    def identity(self, run: Run) -> Any:
        """Return the configuration of the pairs, when the encoder was written, and what draws."""
        stamp = self.encoder.stat().st_mtime_ns if self.encoder.exists() else None
        drawn_by = None if self.maker is None else self.maker.describe()
        return [resolved_config("fit", *words(self.layers))["data"], stamp, drawn_by]

    def measure(self, run: Run, directory: Path) -> Measured:
        """Draw and measure."""
        ground = ground_of(self.layers, self.encoder)
        maker = self.maker or ground.data.synthesizer.image_maker
        maker.make([ground.pairs[0].case], [ground.pairs[0].report], [0])  # loads what is to be loaded
        start = time.perf_counter()
        images, cases = draw(maker, ground.pairs, "generated", f"{run.name}: drawing", self.workers)
        rate = len(images) / (time.perf_counter() - start)
        asked = ground.pairs[: self.prompts]
        again = [
            draw(maker, asked, f"again {k}", f"{run.name}: again, {k}", self.workers)[0]
            for k in range(1, self.samples_per_prompt)
        ]
        samples = torch.stack([images[: self.prompts], *again], 1)
        features = ground.space(images)
        told, spread_of_seeds = self._fidelity(run, ground, maker, features, cases)
        sides = self._sides(run, ground, maker)
        removed = removals(ground.pairs[: self.counterfactuals], ground.data.synthesizer)
        both = drawn(maker, removed, f"{run.name}: with and without a finding")
        changed = change(both, removed)
        near = memorisation(features, ground.training.features, ground.held_out.features)
        reference = ground.reference.features
        kid, spread = kernel_distance(reference, features)
        metrics = {
            "FID": frechet_distance(reference, features),
            "KID": 1000 * kid,
            "KID_sd_of_subsets": 1000 * spread,
            **asdict(manifold(reference, features)),
            "MS-SSIM": similarity_within_prompts(samples),
            "fidelity": told.macro("auroc"),
            "fidelity_sd_of_seeds": spread_of_seeds,
            **{f"side/{side.concept}": side.accuracy for side in sides},
            "sides": _mean(side.accuracy for side in sides),
            "counterfactual": changed.place,
            "nearer_training": near.nearer_training,
            "least_ratio": near.least_ratio,
            "images_a_second": rate,
        }
        concepts = {k.removeprefix("auroc/"): v for k, v in told.metrics().items() if k.startswith("auroc/")}
        details: dict[str, Any] = {"split_sha256": ground.data.split_sha256("test"), "auroc": concepts}
        details["sides"] = [asdict(side) for side in sides]
        details["intervals"] = {"fidelity": percentile_interval(told.macro_resampled("auroc"))}
        details["counterfactuals"] = {"all findings": asdict(changed)} | {
            name: asdict(of) for name, of in by_concept(both, removed, least=5).items()
        }
        _keep(directory / "images.npz", ground, images, samples, near)
        if removed:
            keep_removals(directory, both[:_SHOWN], removed[:_SHOWN])
        return Measured({f"judge/{key}": value for key, value in metrics.items()}, {"judge": details})

    def _fidelity(
        self, run: Run, ground: Ground, maker: ImageMaker, features: Tensor, cases: list[Case]
    ) -> tuple[ConceptTable, float]:
        """Judge all seeds together, resampled by case; return the deviation between them, too."""
        catalog = ground.data.catalog
        labels = torch.stack([torch.from_numpy(case.labels(catalog)) for case in cases])
        known, asked = [features], [labels]
        for k in range(1, self.sampling_seeds):
            what = f"{run.name}: seed {k}"
            images, shown = draw(maker, ground.pairs, f"generated {k}", what, self.workers)
            known.append(ground.space(images))
            asked.append(torch.stack([torch.from_numpy(case.labels(catalog)) for case in shown]))
        least = min(10, len(features) // 6)
        each = [
            fidelity(ground.probe, *one, catalog.names, least).macro("auroc")
            for one in zip(known, asked, strict=True)
        ]
        bootstrap = PatientBootstrap(np.tile(np.arange(len(features)), len(known)))
        told = fidelity(ground.probe, torch.cat(known), torch.cat(asked), catalog.names, least, bootstrap)
        return told, float(np.std(each, ddof=1)) if len(each) > 1 else math.nan

    def _sides(self, run: Run, ground: Ground, maker: ImageMaker) -> tuple[SideAccuracy, ...]:
        if not ground.sided:
            return ()
        images, cases = draw(maker, ground.sided, "sides", f"{run.name}: sides", self.workers)
        return ground.sides.judge(ground.space(images), cases, least=min(10, len(ground.pairs) // 6))

    def report(self, directories: Mapping[str, Path], out: Path) -> None:
        """Write AUROC by concept, a sheet of all generators, and two sheets of each."""
        kept = {name: dict(np.load(path / "images.npz")) for name, path in directories.items()}
        concepts = {
            name: json.loads((path / "measured.json").read_text())["details"]["judge"]["auroc"]
            for name, path in directories.items()
        }
        names = list(dict.fromkeys(concept for of in concepts.values() for concept in of))
        rows = [
            {"concept": concept} | {name: of.get(concept, float("nan")) for name, of in concepts.items()}
            for concept in names
        ]
        note = "AUROC of the probe on images drawn for the same cases; nan: too few cases with or without it."
        if rows:
            write_table(rows, out / "concepts", note)
        _side_table(directories, out)
        report_removals(directories, out)
        first = next(iter(kept.values()))
        prompts = [str(prompt) for prompt in first["prompts"]]
        columns = {name: _floats(of["images"]) for name, of in kept.items()}
        sheet(columns, prompts, "The same reports, drawn by each", out / "all.png")
        for name, of in kept.items():
            several = {f"{name} {k + 1}": _floats(of["samples"][:, k]) for k in range(of["samples"].shape[1])}
            beside = {"case": _floats(of["cases"])} | several
            sheet(beside, prompts, f"{name}: several images of each report", out / f"{name}.png")
            worst = {"generated": "worst", "nearest training": "training", "nearest held out": "held_out"}
            near = {title: _floats(of[key]) for title, key in worst.items()}
            asked = [str(prompt) for prompt in of["worst_prompts"]]
            sheet(near, asked, f"{name}: most like a training image", out / f"{name}_nearest.png")


def _side_table(directories: Mapping[str, Path], out: Path) -> None:
    """Write how often findings lie on the side that was asked for, with intervals."""
    rows = []
    for name, path in directories.items():
        sides = json.loads((path / "measured.json").read_text())["details"]["judge"].get("sides", [])
        row = {"arm": name} | {side["concept"]: _interval(side) for side in sides}
        rows += [row] if sides else []  # measured before sides were
    note = (
        "Share of images whose finding a linear probe, fitted on simulated images, sees on the side that was "
        "asked for, among held-out cases with it on one side; in brackets the 95 % interval (Wilson) and the "
        "cases. "
        "0.5 is guessing, the simulator's row what the probe can see."
    )
    if rows:
        write_table(rows, out / "sides", note)


def _interval(side: Mapping[str, Any]) -> str:
    return "{accuracy:.3f} [{low:.3f}, {high:.3f}; {cases}]".format_map(side)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _keep(path: Path, ground: Ground, images: Tensor, samples: Tensor, near: Memorisation) -> None:
    """Keep the images that sheets show, 8 bits a pixel."""
    shown = min(_SHOWN, len(ground.pairs), len(samples))
    arrays = {
        "images": images[:shown, 0],
        "samples": samples[:shown, :, 0],
        "cases": ground.reference.images[:shown, 0],
        "worst": images[near.worst, 0],
        "training": ground.training.images[near.training, 0],
        "held_out": ground.held_out.images[near.held_out, 0],
    }
    texts = {
        "prompts": [pair.report.impression for pair in ground.pairs[:shown]],
        "worst_prompts": [ground.pairs[int(row)].report.impression for row in near.worst],
    }
    kept: dict[str, Any] = {name: array.mul(255).round().byte().numpy() for name, array in arrays.items()}
    kept |= {name: np.array(lines) for name, lines in texts.items()}
    with replaced(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **kept)


def _floats(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).float() / 255
