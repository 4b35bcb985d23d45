"""A list of a later layer takes the place of the earlier one, whatever its length."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from scripts.resolved_config import resolved_config

ROOT = Path(__file__).resolve().parents[3]
BASE = ("-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml")


@pytest.fixture(autouse=True)
def at_the_root() -> None:
    os.chdir(ROOT)


def resolved(folder: Path, *layers: str) -> dict[str, object]:
    words = []
    for number, text in enumerate(layers):
        path = folder / f"{number}.yaml"
        path.write_text(text)
        words += ["-c", str(path)]
    return resolved_config("fit", *BASE, *words)


def test_a_checkpoint_does_not_get_the_monitor_of_an_earlier_one(tmp_path: Path) -> None:
    first = {"class_path": "callbacks.RunCheckpoint", "init_args": {"monitor": "val/loss", "mode": "min"}}
    for second in ("callbacks.RunCheckpoint", "lightning.pytorch.callbacks.ModelCheckpoint"):
        config = resolved(
            tmp_path,
            yaml.safe_dump({"trainer": {"callbacks": [first]}}),
            yaml.safe_dump({"trainer": {"callbacks": [{"class_path": second}]}}),
        )
        (callback,) = config["trainer"]["callbacks"]  # type: ignore[index]
        assert callback["init_args"]["monitor"] is None


def test_views_of_texts_are_those_of_the_last_layer(tmp_path: Path) -> None:
    text = "data: {init_args: {views: {texts: [{%s}, {whole: 1}]}}}"
    config = resolved(tmp_path, text % "most_sentences: 1, claims: true", text % "whole: 0.5")
    assert config["data"]["init_args"]["views"]["texts"][0]["claims"] is False  # type: ignore[index]


def test_filters_inside_a_class_are_those_of_the_last_layer(tmp_path: Path) -> None:
    entry = "{class_path: synthesis.filters.Contrast%s}"
    text = "data: {init_args: {synthesizer: {init_args: {filters: [" + entry + "]}}}}"
    config = resolved(tmp_path, text % ", init_args: {least: 0.9}", text % "")
    filters = config["data"]["init_args"]["synthesizer"]["init_args"]["filters"]  # type: ignore[index]
    assert filters[0].get("init_args", {}).get("least") != 0.9


def test_an_option_of_the_last_entry_can_still_be_set(tmp_path: Path) -> None:
    layer = tmp_path / "layer.yaml"
    layer.write_text(
        "trainer: {callbacks: [{class_path: callbacks.RunCheckpoint, init_args: {monitor: val/loss}}]}"
    )
    config = resolved_config("fit", *BASE, "-c", str(layer), "--trainer.callbacks.mode=max")
    assert (
        config["trainer"]["callbacks"][-1]["init_args"] | {"mode": "max", "monitor": "val/loss"}
        == (config["trainer"]["callbacks"][-1]["init_args"])
    )
