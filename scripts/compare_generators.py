"""VAE, GAN, diffusion and simulator side by side: `python -m scripts.compare_generators --encoder PATH`.

    make generators ENCODER=runs/fit/checkpoints/last.ckpt ARGS="--minutes=15"

Trains the three within equal time (see `configs/generator/scales`), has all four draw the same held-out cases
and writes `results/generators/`: the table, AUROC by concept, a sheet of all four, one of each, and the
generated images that are nearest to a training image. Each generator is judged as soon as it is trained, and
the results so far are written. The same command goes on where it was interrupted; what has been trained is
not trained again. With `--train GENERATOR …` it only trains these: one in each of several processes is sooner
done than one after the other, and the same command without `--train` then judges all.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from callbacks.run.summary import git_commit
from scripts.feature_space import FeatureSpace
from scripts.generator_ground import Ground, ground_of, pairs_of
from scripts.generator_results import write_results
from scripts.generator_training import GENERATORS, Scale, train_stages
from scripts.generator_verdict import judge
from synthesis.images.adversarial import AdversarialImageMaker
from synthesis.images.diffusion import DiffusionImageMaker
from synthesis.images.image_maker import ImageMaker
from synthesis.images.latent_image_maker import LatentImageMaker
from synthesis.images.variational import VariationalImageMaker

LEGEND = (
    "The simulator's row draws the same cases with other patients: what a perfect generator would get. "
    "Features are centred and scaled to r.m.s. 1 over the training images; FID depends on the number of "
    "images. MS-SSIM: two images of one prompt; 1 is no variety. Fidelity: a linear probe fitted on "
    "simulated images finds what was asked for. Nearer training: share of images nearer to a training "
    "image than to as many held-out ones; 0.5 if nothing is memorised."
)


def compare(scale: Scale, encoder: Path, out: Path) -> str:
    """Train, draw, measure; write everything to `out` and return the table.

    Args:
        scale: Budget and sizes.
        encoder: What features are taken from: see `FeatureSpace`.
        out: Directory for runs, table and sheets.
    """
    runs, commit = out / "runs", git_commit()  # before results change the tree
    space = FeatureSpace(encoder)
    data = pairs_of(scale, runs)
    ground = ground_of(data, space, scale)
    verdicts = {"simulator": judge("simulator", data.synthesizer.image_maker, ground, scale)}
    facts: dict[str, Mapping[str, float]] = {}
    table = ""
    for name in GENERATORS:
        stages = train_stages(name, scale, runs)
        facts |= {stage: trained.facts for stage, trained in stages.items()}
        maker = image_maker(name, stages[name].export, data.synthesizer.image_size)
        verdicts[name] = judge(name, maker, ground, scale)
        table = write_results(verdicts, facts, ground, _note(commit, scale, ground, facts), out)
    return table


def image_maker(kind: str, directory: Path, image_size: int) -> ImageMaker:
    """Return what draws with an exported generator of a kind."""
    if kind == "diffusion":
        return DiffusionImageMaker(
            directory, image_size=image_size, guidance_scale=2.0, guidance_rescale=0.7, batch_size=32
        )
    makers: dict[str, type[LatentImageMaker]] = {
        "variational": VariationalImageMaker,
        "adversarial": AdversarialImageMaker,
    }
    return makers[kind](directory=directory, image_size=image_size)


def _note(commit: str | None, scale: Scale, ground: Ground, facts: Mapping[str, Mapping[str, float]]) -> str:
    spent = ", ".join(
        f"{name} {fact['minutes']:g} min, {fact['images_seen']:,}" for name, fact in facts.items()
    )
    threads = sorted({int(fact["threads"]) for fact in facts.values()})
    return (
        f"`make generators` at {commit}: {scale.minutes:g} minutes of training each on "
        f"{' or '.join(map(str, threads))} thread(s) of {os.cpu_count()} cores (the diffusion's autoencoder "
        f"within them), {scale.train_pairs:,} simulated pairs; time spent and training images seen: {spent}. "
        f"Prompts are read by {_reader(scale)}. "
        f"{len(ground.pairs)} images each for the same held-out cases, features of {ground.space.name}, "
        f"{scale.known_pairs:,} training images for the probe and to find memorised ones. {LEGEND}"
    )


def _reader(scale: Scale) -> str:
    if scale.report_encoder is None:
        return "a text encoder that each trains from scratch"
    return f"the text tower of {'/'.join(Path(scale.report_encoder).parts[-3:])}, which stays as it is"


def parse(args: list[str] | None = None) -> argparse.Namespace:
    """Read the script's own command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", default="full", help="a file in configs/generator/scales (default: full)")
    parser.add_argument("--minutes", type=float, help="training time of each (default: the scale's)")
    parser.add_argument("--precision", default="32-true", help="of training, as Lightning names it")
    parser.add_argument("--train", nargs="+", choices=GENERATORS, help="train these only, judge nothing")
    parser.add_argument("--encoder", type=Path, default=Path("runs/fit/checkpoints/last.ckpt"))
    parser.add_argument("--report_encoder", help="a checkpoint whose text tower reads the prompts, frozen")
    parser.add_argument("--out", type=Path, help="default: results/generators, or -<scale> of it")
    return parser.parse_args(args)


def scale_of(options: argparse.Namespace) -> Scale:
    """Return the scale that a command line asks for."""
    scale = Scale.read(options.scale)
    arguments = [*scale.arguments, f"--trainer.precision={options.precision}"]
    minutes = scale.minutes if options.minutes is None else options.minutes
    reader = options.report_encoder or scale.report_encoder
    return replace(scale, minutes=minutes, arguments=arguments, report_encoder=reader)


def main(args: list[str] | None = None) -> None:
    """Compare, or only train, as a command line says."""
    options = parse(args)
    default = Path("results/generators" if options.scale == "full" else f"results/generators-{options.scale}")
    scale, out = scale_of(options), options.out or default
    if options.train is None:
        print(compare(scale, options.encoder, out))
        return
    pairs_of(scale, out / "runs")  # outside the time of training
    for name in options.train:
        train_stages(name, scale, out / "runs")


if __name__ == "__main__":
    main()
