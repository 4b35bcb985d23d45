"""Trains the generators that are compared: each within a budget of time, each going on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Timer

from callbacks.run.generator_export import EXPORT, export
from main import main
from scripts.resolved_config import resolved_config
from synthesis.files import write_json
from synthesis.identity import json_sha256

CONFIGS = Path("configs/generator")
GENERATORS = ("variational", "adversarial", "diffusion")
_FACTS = "training.json"  # written last: a run that has it has finished


@dataclass(frozen=True)
class Scale:
    """A file in `configs/generator/scales`.

    Attributes:
        minutes: Wall-clock time of training for each generator.
        autoencoder_share: Share of the diffusion's time that its autoencoder gets.
        train_pairs: Size of the training corpus.
        images: Images that each generator draws for as many held-out cases.
        known_pairs: Training pairs that are encoded: the probe of condition fidelity learns from them, and
            memorised images are looked for among them and as many held-out ones.
        prompts: Prompts of which several images are drawn.
        samples_per_prompt: How many images of each of them.
        arguments: Added to every `main.py fit`.
        report_encoder: What reads the prompts of all and stays as it is: see `ReportEncoder.pretrained`. None
            has each learn to read within its time.
    """

    minutes: float
    autoencoder_share: float
    train_pairs: int
    images: int
    known_pairs: int
    prompts: int
    samples_per_prompt: int
    arguments: list[str] = field(default_factory=list)
    report_encoder: str | None = None

    @classmethod
    def read(cls, name: str) -> Scale:
        """Read a scale by the name of its file.

        Raises:
            FileNotFoundError: If there is none of that name.
        """
        path = CONFIGS / "scales" / f"{name}.yaml"
        if not path.exists():
            known = sorted(file.stem for file in path.parent.glob("*.yaml"))
            raise FileNotFoundError(f"{path}: no such scale (there are {known})")
        return cls(**yaml.safe_load(path.read_text()))

    def common(self, runs: Path) -> list[str]:
        """Return the arguments that all generators share: the same pairs and the same tokenizer."""
        data = {
            "train_pairs": self.train_pairs,
            "val_pairs": self.known_pairs,
            "test_pairs": self.images,
            "cache_dir": runs / "cache",
            "artifacts_dir": runs / "artifacts",
        }
        given = [f"--data.init_args.{name}={value}" for name, value in data.items()]
        return [*given, "--trainer.limit_val_batches=4", *self.arguments]  # validation costs training time

    def reading(self) -> list[str]:
        """Return the arguments that say what reads the prompts."""
        if self.report_encoder is None:
            return []
        given = {"pretrained": self.report_encoder, "frozen": "true"}
        return [f"--model.init_args.report_encoder.init_args.{name}={value}" for name, value in given.items()]


@dataclass(frozen=True)
class Trained:
    """A generator that has spent its time.

    Attributes:
        export: The directory that an image maker opens.
        facts: ``minutes``, ``threads``, ``images_seen``, ``batches``, ``parameters``.
    """

    export: Path
    facts: dict[str, float]


def train_stages(generator: str, scale: Scale, runs: Path) -> dict[str, Trained]:
    """Train what has not finished of one generator, all its stages within the time of one.

    Args:
        generator: One of `GENERATORS`.
        scale: Budget and sizes.
        runs: Directory under which the runs go.

    Returns:
        The stages by name; that of the generator's own name draws.
    """
    common, reading, first = scale.common(runs), scale.reading(), scale.autoencoder_share
    if generator != "diffusion":
        return {generator: train(generator, [*common, *reading, _time(scale.minutes)], runs)}
    autoencoder = train("autoencoder", [*common, _time(first * scale.minutes)], runs)
    second = [f"--model.init_args.autoencoder={autoencoder.export}", _time((1 - first) * scale.minutes)]
    diffusion = train("latent_diffusion", [*common, *reading, *second], runs)
    return {"autoencoder": autoencoder, "diffusion": diffusion}


def train(name: str, arguments: Sequence[str], runs: Path) -> Trained:
    """Train one generator, or go on with it, unless it has finished.

    A run is known by the hash of its whole configuration. What a killed run had trained is kept up to its
    last checkpoint, and its time counts.

    Args:
        name: A file in `configs/generator`.
        arguments: What differs from it.
        runs: Directory under which the run goes.
    """
    given = ["-c", str(CONFIGS / f"{name}.yaml"), *arguments, "--trainer.max_epochs=-1"]
    stem = runs / f"{name}-{json_sha256(resolved_config('fit', *given))[:8]}"
    attempts = sorted(runs.glob(f"{stem.name}*"), key=lambda path: (len(path.name), path.name))
    finished = [path for path in attempts if (path / _FACTS).is_file()]
    if finished:
        print(f"{name}: finished before, in {finished[0]}")
        return Trained(finished[0] / EXPORT, json.loads((finished[0] / _FACTS).read_text()))
    checkpoints = [path / "checkpoints" / "last.ckpt" for path in attempts]
    going_on = [f"--ckpt_path={path}" for path in checkpoints if path.exists()][-1:]
    print(f"{name}: {'going on from ' + going_on[0][12:] if going_on else 'training'}")
    line = main(["fit", *given, *going_on, f"--run_dir={stem}"])
    directory = Path(line.trainer.default_root_dir)
    if going_on and not (directory / EXPORT).is_dir():  # nothing was left to train
        module = LightningModule.load_from_checkpoint(
            going_on[0].partition("=")[2], map_location="cpu", weights_only=True
        )
        export(module, directory / EXPORT)
    facts = _facts(line)
    write_json(directory / _FACTS, facts)
    return Trained(directory / EXPORT, facts)


def _facts(line: Any) -> dict[str, float]:
    batches = line.trainer.fit_loop.total_batch_idx + 1
    timers = [callback for callback in line.trainer.callbacks if isinstance(callback, Timer)]
    return {
        "minutes": round(timers[0].time_elapsed() / 60, 2),
        "threads": torch.get_num_threads(),
        "images_seen": batches * line.datamodule.loader.batch_size,
        "batches": batches,
        "parameters": sum(parameter.numel() for parameter in line.model.parameters()),
    }


def _time(minutes: float) -> str:
    seconds = round(timedelta(minutes=minutes).total_seconds())
    days, rest = divmod(seconds, 86400)
    return f"--trainer.max_time={days:02}:{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
