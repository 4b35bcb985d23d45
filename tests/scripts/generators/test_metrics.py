"""`make generators` at smoke scale, and its metrics against slow, obvious recomputations."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from main import main
from scripts.comparison.__main__ import main as compare
from scripts.comparison.record import Record
from scripts.exports import export_generator
from scripts.generators.drawing import draw
from scripts.generators.feature_space import FeatureSpace
from scripts.generators.metrics import (
    fidelity,
    fit_probe,
    frechet_distance,
    kernel_distance,
    manifold,
    memorisation,
    similarity_within_prompts,
)
from scripts.generators.sides import SIDED, fit_sides, sided, sides_of
from synthesis.cases import BalancedCaseSampler
from synthesis.images.simulator import Simulator
from synthesis.pairs import PairSynthesizer
from synthesis.reports.grammar import GrammarWriter

ROOT = Path(__file__).resolve().parents[3]


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


def test_sides_are_right_where_the_image_follows_the_request() -> None:
    sampler = BalancedCaseSampler()
    cases = [sampler.sample(0, "train", i) for i in range(900)]
    asked = sides_of(cases)
    effusion = [c.findings[0].laterality if c.findings else None for c in cases]
    first = [c.findings[0].concept == SIDED[0] if c.findings else False for c in cases]
    codes = {"left": 1.0, "right": 0.0}
    for row, (is_it, side) in enumerate(zip(first, effusion, strict=True)):
        if is_it and side in codes:
            assert float(asked[row, 0]) == codes[side]
        if is_it and side == "bilateral":
            assert asked[row, 0].isnan()
    x = normal(900, width=6)
    x[:, :3] += 4 * torch.nan_to_num(asked - 0.5)
    probe = fit_sides(x[:500], cases[:500])
    good = probe.judge(x[500:], cases[500:])
    assert [side.concept for side in good] == list(SIDED)
    for column, side in enumerate(good):
        assert side.cases == int((~asked[500:, column].isnan()).sum())
        assert side.accuracy > 0.85 and side.low < side.accuracy <= side.high
        share, n = side.accuracy, side.cases
        middle, spread = (share + 1.92 / n) / (1 + 3.84 / n), 1.96 / (1 + 3.84 / n)
        width = spread * (share * (1 - share) / n + 0.96 / n**2) ** 0.5
        assert (side.low, side.high) == pytest.approx((middle - width, middle + width), abs=2e-3)
    mirrored = x.clone()
    mirrored[:, :3] -= 8 * torch.nan_to_num(asked - 0.5)
    assert all(side.accuracy < 0.15 for side in probe.judge(mirrored[500:], cases[500:]))
    assert fit_sides(x[:1], cases[:1]).judge(x, cases)[0].cases == int((~asked[:, 0].isnan()).sum())
    assert all(np.isnan(side.accuracy) for side in fit_sides(x[:1], cases[:1]).judge(x, cases))
    few = probe.judge(x[:2], cases[:2])
    assert all(np.isnan(side.accuracy) and side.cases < 10 for side in few)


def test_sides_are_judged_by_as_many_cases_of_each_finding_as_there_are() -> None:
    simulator = Simulator(image_size=64)
    read = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), simulator).make(range(80), 0, "val")
    chosen = sided(read, most=3)
    asked, known = (sides_of([pair.case for pair in of]) for of in (chosen, read))
    assert ((~asked.isnan()).sum(0) >= (~known.isnan()).sum(0).clamp(max=3)).all(), "each has its cases"
    assert (~asked.isnan()).any(1).all() and len(chosen) <= 3 * len(SIDED), "and none is drawn in vain"
    assert [pair.index for pair in chosen] == sorted(pair.index for pair in chosen)


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


def test_figures_do_not_depend_on_the_number_of_processes_that_draw() -> None:
    simulator = Simulator(image_size=64)
    pairs = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), simulator).make(range(45), 0, "test")
    found = []
    for workers in (0, 2):  # 45 are a chunk and a part of one
        images, cases = draw(simulator, pairs, "generated", "drawing", workers)
        features = images.flatten(1)[:, ::64]
        others = torch.stack([pair.image for pair in pairs]).flatten(1)[:, ::64] / 255
        figures = [frechet_distance(others, features), *kernel_distance(others, features)]
        found.append((cases, [*figures, manifold(others, features)], images))
    assert found[0][:2] == found[1][:2] and torch.equal(found[0][2], found[1][2])
    assert len(found[0][0]) == 45
    other, _ = draw(simulator, pairs, "again 1", "drawing")
    assert not torch.equal(other, found[0][2]), "another stream, other images"


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
def test_the_comparison_is_complete_and_prompts_are_read_by_one_tower(encoder: Path, tmp_path: Path) -> None:
    given = ["generators", "--scale=smoke", f"--out={tmp_path}"]
    given += ["--var", f"encoder={encoder}", f"reader={encoder}", "frozen=true"]
    compare(given)
    with (tmp_path / "table.csv").open(newline="") as file:
        lines = {line["arm"]: line for line in csv.DictReader(file)}
    assert list(lines) == ["simulator", "variational", "adversarial", "diffusion"]
    assert float(lines["simulator"]["FID"]) < min(float(lines[n]["FID"]) for n in lines if n != "simulator")
    pictures = {path.name for path in tmp_path.glob("*.png")} - {"forest.png"}
    suffixes = ("", "_nearest", "_counterfactuals")
    assert pictures == {"all.png", *(f"{n}{s}.png" for n in lines for s in suffixes)}
    with (tmp_path / "counterfactuals.csv").open(newline="") as file:
        changed = {line["arm"] for line in csv.DictReader(file) if line["left out"] == "all findings"}
    assert changed == set(lines)
    with (tmp_path / "sides.csv").open(newline="") as file:
        assert [line["arm"] for line in csv.DictReader(file)] == list(lines)
    assert "diffusion, seed 0: " in (tmp_path / "table.md").read_text()
    runs = {run.arm: run.facts for run in Record(tmp_path / "runs.csv").read()}
    assert {name: facts.get("samples") for name, facts in runs.items()} == {
        "simulator": None,
        "variational": "16",
        "adversarial": "8",  # two optimisers step in a batch
        "diffusion": "16",
    }
    for name in ("variational", "adversarial", "diffusion"):
        config = yaml.safe_load((tmp_path / "runs" / f"{name}-0" / "config.yaml").read_text())
        reader = config["model"]["init_args"]["report_encoder"]["init_args"]
        assert (reader["pretrained"], reader["frozen"]) == (str(encoder), True)

    export = tmp_path / "runs" / "diffusion-0" / "export"
    common = ["--scale=smoke", f"--cache={tmp_path / 'cache'}"]
    given_guidance = ["guidance", *common, f"--out={tmp_path / 'guidance'}"]
    given_guidance += ["--arms", "simulator", "guidance_2", "steps_4"]
    compare([*given_guidance, "--var", f"encoder={encoder}", f"directory={export}"])
    runs = Record(tmp_path / "guidance" / "runs.csv").read()
    assert [run.arm for run in runs] == ["simulator", "guidance_2", "steps_4"]
    rates = {run.arm: run.figures["judge:judge/images_a_second"][0] for run in runs}
    assert rates["steps_4"] > 2 * rates["guidance_2"]
    given_utility = ["utility", *common, f"--out={tmp_path / 'utility'}", "--arms", "simulator", "diffusion"]
    compare([*given_utility, "--var", f"diffusion={export}"])
    runs = Record(tmp_path / "utility" / "runs.csv").read()
    assert [run.facts["steps"] for run in runs] == ["2", "2"] and runs[0].facts["split_sha256"]

    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    table = (tmp_path / "table.md").read_text()
    killed = tmp_path / "runs" / "variational-0"
    for name in ("fitted.json", "export/generator.safetensors"):
        (killed / name).unlink()  # as if it had been killed between its last checkpoint and its export
    shutil.rmtree(killed / "export")
    compare(given)
    assert (killed / "export" / "generator.safetensors").is_file()
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    changed = {
        path.relative_to(tmp_path / "runs").parts[0] for path in again if again[path] != stamps.get(path)
    }
    assert changed == {"variational-0"}, "nothing else was trained or judged again"
    assert (tmp_path / "table.md").read_text().splitlines()[2] == table.splitlines()[2]

    export_generator.main([str(killed / "checkpoints" / "last.ckpt"), str(tmp_path / "again")])
    weights = [path / "generator.safetensors" for path in (tmp_path / "again", killed / "export")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_committed_results_are_drawn_again(tmp_path: Path) -> None:
    committed = ROOT / "results" / "generators"
    shutil.copyfile(committed / "runs.csv", tmp_path / "runs.csv")
    compare(
        ["generators", "--arms", f"--out={tmp_path}", "--var", "encoder=runs/judge/checkpoints/last.ckpt"]
    )
    assert (tmp_path / "table.csv").read_text() == (committed / "table.csv").read_text()
    with (committed / "runs.csv").open(newline="") as file:
        kept = {
            (row["arm"], row["metric"].rpartition("/")[2]): float(row["value"])
            for row in csv.DictReader(file)
        }
    with (tmp_path / "table.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            for column in ("FID", "recall", "fidelity"):
                shown = line["fidelity AUROC" if column == "fidelity" else column]
                assert shown.partition(" ")[0] == f"{kept[line['arm'], column]:.3f}"
