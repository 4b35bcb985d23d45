from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule
from sklearn.metrics import precision_recall_curve, roc_curve

from callbacks.drawing.curve_pictures import curves
from datamodules.batch import subset_of_patients
from lightning_modules import FineTune, ViTEncoder
from lightning_modules.downstream.fine_tune import masked_cross_entropy
from lightning_modules.optimization import layer_wise_groups
from main import main
from scripts.resolved_config import resolved_config

ROOT = Path(__file__).resolve().parents[2]
BEST = "monitor: val/fine_tune/auroc_macro, mode: max"
CALLBACKS = (
    "--trainer.callbacks=[{class_path: FeatureCollector}, "
    "{class_path: Classification, init_args: {min_count: 2, resamples: 20}}, "
    f"{{class_path: EarlyStopping, init_args: {{{BEST}, patience: 8}}}}, "
    f"{{class_path: ModelCheckpoint, init_args: {{{BEST}, filename: best, save_last: true, "
    "auto_insert_metric_name: false}}, {class_path: RunSummary}]"
)


def test_deeper_layers_learn_faster_and_nothing_is_forgotten() -> None:
    model = FineTune(image_encoder=ViTEncoder(32, 8, 16, 3, 2, stem_channels=[4, 4, 4]))
    model.head = torch.nn.Linear(16, 2)
    groups = layer_wise_groups(model, 1.0, 0.05, 0.5)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rate) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    named = dict(model.named_parameters())
    assert rate[id(named["head.weight"])] == rate[id(named["image_encoder.vit.layernorm.weight"])] == 1
    blocks = [rate[id(named[f"image_encoder.vit.layers.{i}.mlp.fc1.weight"])] for i in range(3)]
    assert blocks == [0.125, 0.25, 0.5]
    stem = [rate[id(p)] for name, p in named.items() if "embeddings" in name]
    assert set(stem) == {0.0625} and len(stem) > 5
    flat = layer_wise_groups(model, 1.0, 0.05, 1.0)
    assert {group["lr"] for group in flat} == {1.0} and {g["weight_decay"] for g in flat} == {0.0, 0.05}


def test_unknown_labels_teach_nothing() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    labels = torch.tensor([[1, 0, torch.nan]]).repeat(4, 1)
    masked_cross_entropy(logits, labels).backward()
    assert logits.grad is not None and not logits.grad[:, 2].any() and logits.grad[:, :2].all()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, :2], labels[:, :2])
    assert masked_cross_entropy(logits, labels).item() == pytest.approx(expected.item())
    assert masked_cross_entropy(logits, torch.full((4, 3), torch.nan)) == 0


def test_curves_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(60) < 0.4).astype(float)
    scores = np.round(rng.standard_normal(60) + labels, 1)  # with ties
    false, true, precision = curves(scores, labels)
    theirs = roc_curve(labels, scores, drop_intermediate=False)
    assert np.allclose(false, theirs[0]) and np.allclose(true, theirs[1])
    expected = precision_recall_curve(labels, scores)[0][::-1]
    assert np.allclose(precision, expected)
    labels[::7] = np.nan
    assert curves(scores, labels)[1][-1] == 1


def test_a_label_fraction_takes_whole_patients_and_nests() -> None:
    groups = np.repeat(np.arange(200), 3)
    one, ten = subset_of_patients(groups, 0.01, 0), subset_of_patients(groups, 0.1, 0)
    assert (one.sum(), ten.sum()) == (6, 60) and not (one & ~ten).any()
    assert set(np.bincount(groups[ten])) == {0, 3}
    assert (subset_of_patients(groups, 0.1, 1) != ten).any() and subset_of_patients(groups, 1.0, 0).all()


@pytest.mark.parametrize("task", ["fine_tune", "segmentation", "detection"])
def test_few_labels_are_trained_on_for_as_many_steps(task: str) -> None:
    layers = ("-c", "configs/pretrain.yaml", "-c", f"configs/tasks/{task}.yaml")
    loaders = {}
    for fraction in (0.01, 0.1, 1.0):
        config = resolved_config("fit", *layers, f"--data.init_args.loader.label_fraction={fraction}")
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(LightningDataModule, "data")
        data = parser.instantiate_classes(parser.parse_object({"data": config["data"]})).data
        loaders[fraction] = data.train_dataloader()
    assert len({len(loader) for loader in loaders.values()}) == 1 < len(loaders[1.0])
    pairs = loaders[1.0].sampler.size
    assert [loader.sampler.size for loader in loaders.values()] == [pairs // 100, pairs // 10, pairs]


def test_fine_tuning_starts_from_the_tower_and_is_tested_without_it(
    train: Callable[..., Any], weights: str, pretrained: Path, tmp_path: Path
) -> None:
    summary, directory = train("fine_tune", weights, CALLBACKS, "--data.init_args.loader.label_fraction=0.01")
    assert (
        0 <= summary["val/fine_tune/auroc_macro"] <= 1 and "intervals" in summary["details"]["val/fine_tune"]
    )
    assert summary["details"]["fit/run"]["samples_seen"] == 64, "two labels, and two epochs of 32 pairs"
    assert (directory / "pictures" / "val_fine_tune_curves.png").exists()
    saved = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    tower = torch.load(pretrained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    rates = torch.tensor(
        [(saved[key] - tower[key]).abs().max() for key in saved if key.startswith("image_encoder.vit.")]
    )
    assert 0 < rates.max() < 0.01, "it moved, and not far: it did not begin at random"
    assert torch.equal(saved["image_encoder.projection.weight"], tower["image_encoder.projection.weight"])
    gone = f"--model.init_args.weights={tmp_path / 'gone.ckpt'}"
    checkpoint = f"--ckpt_path={directory / 'checkpoints' / 'best.ckpt'}"
    line = main(["test", "-c", str(directory / "config.yaml"), checkpoint, gone])
    assert line.model.head.out_features == len(line.datamodule.concept_names)
    tested = json.loads((directory / "test" / "summary.json").read_text())
    assert tested["details"]["test/fine_tune"].keys() >= {"n", "split_sha256", "intervals", "positives"}


def test_wrong_weights_are_refused_with_the_remedy(tmp_path: Path) -> None:
    from lightning_modules.downstream.image_task import load_tower_weights

    encoder = ViTEncoder(32, 8, 16, 1, 2)
    with pytest.raises(ValueError, match=r"gone.ckpt' is no checkpoint"):
        load_tower_weights(encoder, str(tmp_path / "gone.ckpt"), "image_encoder")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(ValueError, match="is no checkpoint"):
        load_tower_weights(encoder, str(tmp_path / "text.ckpt"), "image_encoder")
    torch.save({"state_dict": {"head.weight": torch.zeros(1)}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="holds no image_encoder"):
        load_tower_weights(encoder, str(tmp_path / "other.ckpt"), "image_encoder")
    larger = {f"image_encoder.{k}": v for k, v in ViTEncoder(32, 8, 32, 1, 2).state_dict().items()}
    torch.save({"state_dict": larger}, tmp_path / "larger.ckpt")
    with pytest.raises(ValueError, match="another architecture"):
        load_tower_weights(encoder, str(tmp_path / "larger.ckpt"), "image_encoder")


def test_a_frozen_tower_keeps_its_weights_and_mode() -> None:
    model = FineTune(image_encoder=ViTEncoder(32, 8, 16, 1, 2, patch_drop=0.5), frozen=True)
    model.train()
    assert model.training and not model.image_encoder.training
