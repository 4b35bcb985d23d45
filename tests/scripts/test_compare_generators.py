"""`make generators` at smoke scale, and its metrics against slow, obvious recomputations."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import scripts.compare_generators
import scripts.export_generator
from main import main
from scripts.compare_generators import compare, parse, scale_of
from scripts.feature_space import FeatureSpace
from scripts.generator_metrics import (
    fidelity,
    fit_probe,
    frechet_distance,
    kernel_distance,
    manifold,
    memorisation,
    similarity_within_prompts,
)
from scripts.generator_training import Scale, _time
from scripts.resolved_config import resolved_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    os.chdir(ROOT)


def normal(count: int, shift: float = 0.0, seed: int = 0, width: int = 4) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + shift


# ------------------------------------------------------------------------------------------------- metrics
def test_frechet_distance_is_the_formula() -> None:
    a, b = normal(300), 2 * normal(300, 0.5, seed=1)
    ca, cb = np.cov(a.numpy().T), np.cov(b.numpy().T)
    values, vectors = np.linalg.eigh(ca)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ cb @ root)).sum()
    expected = float((a.mean(0) - b.mean(0)).square().sum()) + np.trace(ca + cb) - 2 * overlap
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-3)


def test_kernel_distance_sees_a_shift_and_is_the_same_twice() -> None:
    torch.manual_seed(0)
    same, deviation = kernel_distance(normal(400), normal(400, seed=1))
    torch.manual_seed(1)
    assert kernel_distance(normal(400), normal(400, seed=1)) == (same, deviation)
    assert abs(same) < 3 * deviation
    shifted, _ = kernel_distance(normal(400), normal(400, 1.0, seed=1))
    assert shifted > 20 * deviation


def test_manifolds_are_compared_as_the_definitions_say() -> None:
    reference, made, k = normal(40), normal(30, 0.7, seed=1), 3

    def radius(x: Tensor, i: int) -> float:
        return float((x - x[i]).norm(dim=1).sort().values[k])

    inside = [[float((m - r).norm()) < radius(reference, i) for i, r in enumerate(reference)] for m in made]
    around = [[float((m - r).norm()) < radius(made, j) for j, m in enumerate(made)] for r in reference]
    found = manifold(reference, made, k)
    assert found.precision == pytest.approx(np.mean([any(row) for row in inside]))
    assert found.recall == pytest.approx(np.mean([any(row) for row in around]))
    assert found.density == pytest.approx(np.mean([sum(row) / k for row in inside]))
    assert found.coverage == pytest.approx(np.mean(np.array(inside).any(0)))
    assert manifold(normal(40), normal(40, 50.0, seed=1)).precision == 0
    with pytest.raises(ValueError, match="more than k = 5"):
        manifold(normal(5), normal(40))


def test_similarity_within_prompts_tells_copies_from_variety() -> None:
    images = torch.rand(2, 3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert similarity_within_prompts(images) < 0.3
    assert similarity_within_prompts(images[:, :1].expand(-1, 3, -1, -1, -1)) == pytest.approx(1)


def test_fidelity_is_high_where_the_image_follows_the_request() -> None:
    x = normal(400, width=6)
    labels = (x[:, :2] > 0).float()
    probe = fit_probe(x[:200], labels[:200])
    good = fidelity(probe, x[200:], labels[200:], ("a", "b"))
    assert good.macro("auroc") > 0.98
    ignored = fidelity(probe, x[200:], labels[200:].roll(1, 0), ("a", "b"))
    assert abs(ignored.macro("auroc") - 0.5) < 0.12


def test_a_copied_training_image_is_found() -> None:
    training, held_out, made = normal(60), normal(60, seed=1), normal(50, seed=2)
    honest = memorisation(made, training, held_out)
    assert abs(honest.nearer_training - 0.5) < 0.2
    made[7] = training[33] + 1e-4
    copied = memorisation(made, training, held_out, show=2)
    assert copied.worst[0] == 7 and copied.training[0] == 33 and copied.least_ratio < 0.01
    assert memorisation(training, training, held_out).nearer_training == 1
    with pytest.raises(ValueError, match="equally many"):
        memorisation(made, training, held_out[:5])


# -------------------------------------------------------------------------------------------- feature spaces
def test_a_directory_of_transformers_is_a_feature_space(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model, ViTImageProcessorPil

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    model = Dinov2Model(config).eval()
    model.save_pretrained(tmp_path / "dino")
    ViTImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(tmp_path / "dino")
    space = FeatureSpace(tmp_path / "dino", batch_size=2)
    images = torch.randint(0, 256, (3, 1, 28, 28)) / 255
    with torch.no_grad():
        expected = model((2 * images - 1).expand(-1, 3, -1, -1)).pooler_output
    torch.testing.assert_close(space(images), expected, rtol=1e-4, atol=1e-5)
    for _ in range(2):
        settled = space.settle(images)
        torch.testing.assert_close(space(images), settled, rtol=0, atol=1e-6)
        assert space(images).square().mean() == pytest.approx(1, rel=1e-3)
        torch.testing.assert_close(space(images).mean(0), torch.zeros(8), rtol=0, atol=1e-4)
    with pytest.raises(FileNotFoundError, match="train one with `make fit`"):
        FeatureSpace(tmp_path / "nothing.ckpt")


def test_budgets_add_up() -> None:
    assert _time(90) == "--trainer.max_time=00:01:30:00" and _time(0.5) == "--trainer.max_time=00:00:00:30"
    given = scale_of(parse(["--scale=smoke", "--minutes=0.5", "--precision=bf16-mixed"]))
    assert given.minutes == 0.5 and "--trainer.precision=bf16-mixed" in given.common(Path("runs"))
    assert scale_of(parse([])) == replace(Scale.read("full"), arguments=["--trainer.precision=32-true"])
    with pytest.raises(FileNotFoundError, match=r"no such scale \(there are \['full', 'smoke'\]\)"):
        Scale.read("tiny")


@pytest.mark.parametrize("name", ["variational", "adversarial", "latent_diffusion"])
def test_one_text_tower_reads_for_all(name: str) -> None:
    reading = scale_of(parse(["--report_encoder=runs/a.ckpt"])).reading()
    config = resolved_config("fit", "-c", f"configs/generator/{name}.yaml", *reading)
    given = config["model"]["init_args"]["report_encoder"]["init_args"]
    assert (given["pretrained"], given["frozen"]) == ("runs/a.ckpt", True)
    assert scale_of(parse([])).reading() == [], "from scratch"


# -------------------------------------------------------------------------------------------------- all of it
@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoder")
    main(
        [
            *("fit", "-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml", f"--run_dir={out}"),
            *("--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--trainer.logger=false"),
            "--trainer.callbacks=[{class_path: ModelCheckpoint, init_args: {save_last: true}}]",
            "--trainer.enable_progress_bar=false",
            "--model.init_args.image_encoder.init_args.image_size=64",
            f"--data.init_args.artifacts_dir={out / 'artifacts'}",
        ]
    )
    return next(out.rglob("last.ckpt"))


@pytest.mark.slow
def test_the_comparison_is_complete_and_goes_on_where_it_was_stopped(encoder: Path, tmp_path: Path) -> None:
    given = ["--scale=smoke", f"--report_encoder={encoder}", f"--out={tmp_path}"]
    scripts.compare_generators.main([*given, "--train", "adversarial"])
    assert len(list((tmp_path / "runs").glob("*/export"))) == 1 and not (tmp_path / "table.md").exists()
    scale = scale_of(parse(given))
    table = compare(scale, encoder, tmp_path)
    with (tmp_path / "table.csv").open(newline="") as file:
        lines = {line["generator"]: line for line in csv.DictReader(file)}
    assert list(lines) == ["simulator", "variational", "adversarial", "diffusion"]
    assert float(lines["simulator"]["FID"]) < min(float(lines[n]["FID"]) for n in lines if n != "simulator")
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {"all.png", *(f"{n}{s}.png" for n in lines for s in ("", "_nearest"))}
    assert "16 simulated pairs" in table and f"on {torch.get_num_threads()} thread(s) of" in table
    assert (
        "Prompts are read by the text tower of " in table and "/checkpoints/last.ckpt, which stays" in table
    )
    results = json.loads((tmp_path / "table.json").read_text())
    seen = {name: facts["images_seen"] for name, facts in results["training"].items()}
    assert seen == {"variational": 16, "adversarial": 8, "autoencoder": 16, "diffusion": 16}
    assert results["generators"]["diffusion"]["FID"] == float(lines["diffusion"]["FID"])

    finished = sorted((tmp_path / "runs").glob("*/export"))
    assert len(finished) == 4
    killed = next(path.parent for path in finished if path.parent.name.startswith("variational-"))
    facts = killed / "training.json"
    facts.rename(killed / "unfinished.json")  # as if it had been killed after its last checkpoint
    compare(scale, encoder, tmp_path)
    resumed = json.loads((killed.with_name(f"{killed.name}-2") / "training.json").read_text())
    assert resumed["batches"] >= json.loads((killed / "unfinished.json").read_text())["batches"]
    assert len(list((tmp_path / "runs").glob("*/export"))) == 5  # nothing else was trained again

    scripts.export_generator.main([str(killed / "checkpoints" / "last.ckpt"), str(tmp_path / "again")])
    weights = [path / "generator.safetensors" for path in (tmp_path / "again", killed / "export")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
