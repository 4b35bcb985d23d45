"""Downstream tasks on real images: small trees laid out like public data sets, read by their presets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lightning_modules.checkpoints import tokenizer_to_text
from main import main
from tests.datamodules.tables import fake_data_sets

BEST = "{class_path: ModelCheckpoint, init_args: {filename: best, monitor: val/loss}}"


def layers(tree: Path, name: str) -> list[str]:
    getattr(fake_data_sets, name)(tree)
    return ["-c", f"configs/data/{name}.yaml", f"--data.init_args.image_root={tree}"]


def callbacks(*more: str) -> str:
    names = ["{class_path: FeatureCollector}", *more, "{class_path: RunSummary}"]
    return f"--trainer.callbacks=[{', '.join(names)}]"


def judged(directory: Path) -> tuple[dict[str, Any], Any]:
    checkpoint = directory / "checkpoints" / "best.ckpt"
    line = main(["test", "-c", str(directory / "config.yaml"), f"--ckpt_path={checkpoint}"])
    return json.loads((directory / "test" / "summary.json").read_text()), line.datamodule


def test_a_trained_model_is_judged_on_real_images(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    judges = callbacks(
        "{class_path: ZeroShot, init_args: {min_count: 2, resamples: 20}}",
        "{class_path: LinearProbe, init_args: {min_count: 2, resamples: 20, fractions: [0.5]}}",
        "{class_path: PhraseGrounding, init_args: {min_count: 1, resamples: 20}}",
    )
    everything = "--data.init_args.official={train: [], val: [], test: [train, test]}"
    summary, directory = evaluate("grounding", *layers(tmp_path / "vindr", "vindr_cxr"), everything, judges)
    details = summary["details"]
    for name in ("zero_shot", "probe", "grounding"):
        assert details[f"test/{name}"].keys() >= {"n", "split_sha256", "intervals"}
        assert details[f"test/{name}"]["n"] == 31
    assert 0 <= summary["test/zero_shot/auroc/cardiomegaly"] <= 1
    assert 0 <= summary["test/probe/auroc/cardiomegaly"] <= 1
    # What two readers of the training images have framed, and the consensus on the test image.
    boxes = {"cardiomegaly": 10, "pleural_effusion": 10, "fracture": 1}
    assert details["test/grounding"]["findings"] == boxes
    assert (directory / "pictures" / "test_grounding.png").stat().st_size > 10_000


def test_a_model_trained_on_simulated_pairs_is_judged_on_real_reports(
    evaluate: Callable[..., Any], tmp_path: Path
) -> None:
    """With its own tokenizer, whatever one would make of the real reports."""
    judges = callbacks(
        "{class_path: Retrieval, init_args: {resamples: 20}}",
        "{class_path: LinearProbe, init_args: {min_count: 2, resamples: 20}}",
    )
    everything = "--data.init_args.splits={train: 0.0, val: 0.0, test: 1.0}"
    summary, _ = evaluate("retrieval", *layers(tmp_path / "open_i", "open_i"), everything, judges)
    assert summary["details"]["test/retrieval"]["n"] > 1
    assert 0 <= summary["test/retrieval/i2t_hit@10"] <= 1


def test_fine_tuning_on_real_labels(train: Callable[..., Any], weights: str, tmp_path: Path) -> None:
    few = [
        "--data.init_args.loader.label_fraction=0.5",
        "--data.init_args.loader.batch_size=2",
        "--trainer.max_epochs=1",
    ]
    judge = callbacks("{class_path: Classification, init_args: {min_count: 1, resamples: 20}}", BEST)
    data = layers(tmp_path / "rsna", "rsna_pneumonia")
    summary, directory = train("fine_tune", weights, *data, *few, judge, simulated=False)
    seen = summary["details"]["fit/run"]["samples_seen"]
    summary, datamodule = judged(directory)
    assert seen == len(datamodule.source("train")) // 2 * 2 > 0, "as many as of all labels, in full batches"
    assert 0 <= summary["test/fine_tune/auroc/pneumonia"] <= 1
    assert summary["details"]["test/fine_tune"].keys() >= {"n", "split_sha256", "intervals"}
    assert (directory / "test" / "pictures" / "test_fine_tune_curves.png").stat().st_size > 10_000


def test_segmenting_real_regions(train: Callable[..., Any], weights: str, tmp_path: Path) -> None:
    small = ["--model.init_args.channels=4", "--data.init_args.loader.batch_size=4", "--trainer.max_epochs=1"]
    half = "--data.init_args.splits={train: 0.4, val: 0.1, test: 0.5}"
    judge = callbacks("{class_path: SegmentationDice, init_args: {min_count: 1, resamples: 20}}", BEST)
    toned = "--data.init_args.views.augmentation={scale: 0, shift: 0}"
    data = [*layers(tmp_path / "siim", "siim_pneumothorax"), "--model.init_args.concepts=[pneumothorax]"]
    _, directory = train("segmentation", weights, *data, *small, half, toned, judge, simulated=False)
    summary, _ = judged(directory)
    assert 0 <= summary["test/segmentation/dice/pneumothorax"] <= 1
    assert "dice/pneumothorax" in summary["details"]["test/segmentation"]["intervals"]
    assert (directory / "test" / "pictures" / "test_segmentation.png").stat().st_size > 10_000


def test_answering_the_questions_of_a_table(
    train: Callable[..., Any], weights: str, pretrained: Path, tmp_path: Path
) -> None:
    few = ["--trainer.max_epochs=1", "--data.init_args.loader.batch_size=16"]
    judge = callbacks("{class_path: QuestionAnswering, init_args: {resamples: 20, examples: 1}}", BEST)
    data = layers(tmp_path / "vqa_rad", "vqa_rad")
    summary, directory = train("vqa", weights, *data, *few, judge, simulated=False)
    details = summary["details"]["val/vqa"]
    assert set(details["questions"]) == {"size", "presence"} and details["n"] % 2 == 0
    assert len(details["prompts_sha256"]) == 64 and "gain" in details["intervals"]
    assert {"val/vqa/accuracy/size", "val/vqa/language_prior/presence"} <= summary.keys()
    checkpoint = directory / "checkpoints" / "best.ckpt"
    saved, before = (
        torch.load(path, weights_only=True)["tokenizer"]
        for path in (checkpoint, pretrained / "checkpoints" / "last.ckpt")
    )
    assert saved == before, "words are numbered as the text tower knows them"
    # Questions of another data set are read by the words of the run.
    other = layers(tmp_path / "rad_restruct", "rad_restruct")
    words = ["-c", str(directory / "config.yaml"), *other, f"--run_dir={tmp_path / 'other'}"]
    line = main(["test", *words, f"--ckpt_path={checkpoint}"])
    assert tokenizer_to_text(line.datamodule.tokenizer) == saved
    summary = json.loads((tmp_path / "other" / "test" / "summary.json").read_text())
    assert summary["details"]["test/vqa"]["questions"] == {"level_1": 10, "level_2": 2}


def test_grounding_the_phrases_of_reports(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    judge = callbacks("{class_path: PhraseGrounding, init_args: {min_count: 1, resamples: 20, examples: 1}}")
    summary, directory = evaluate("grounding", *layers(tmp_path / "ms_cxr", "ms_cxr"), judge)
    details = summary["details"]["test/grounding"]
    assert details["phrases"] == 6
    assert details["findings"] == {"lung_opacity": 6, "pneumothorax": 7, "pleural_effusion": 7}
    assert {"test/grounding/gain_over_prior", "test/grounding/gain_over_shuffled"} <= summary.keys()
    assert (directory / "pictures" / "test_grounding.png").stat().st_size > 5_000


def test_detecting_on_real_boxes(train: Callable[..., Any], weights: str, tmp_path: Path) -> None:
    small = ["--model.init_args.channels=8", "--data.init_args.loader.batch_size=4", "--trainer.max_epochs=1"]
    judge = callbacks(
        "{class_path: DetectionPrecision, init_args: {min_count: 1, resamples: 0, examples: 1}}", BEST
    )
    data = [*layers(tmp_path / "det", "chestx_det10"), "--model.init_args.concepts=[pleural_effusion, mass]"]
    data += ["--data.init_args.splits={train: 0.6, val: 0.4, test: 0}"]
    summary, _ = train("detection", weights, *data, *small, judge, simulated=False)
    boxes = summary["details"]["val/detection"]["boxes"]
    assert boxes.keys() == {"pleural_effusion", "mass"} and sum(boxes.values()) > 0
