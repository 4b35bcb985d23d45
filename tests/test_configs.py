"""Every YAML that is shipped can be read by what reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import compare_objectives
from scripts.comparison import BUDGET, check_equal, value_at
from scripts.experiments import resolved_config
from scripts.reproduce_paper import experiments
from scripts.sweep_local import arguments, read_sweep, rows

ROOT = Path(__file__).resolve().parents[1]
BASE = "configs/pretrain.yaml"
# Folders with domain data that the parser does not read; the tests of their readers do (tests/synthesis).
DOMAIN_DATA = ("concepts", "reports", "prompts", "questions", "corpus")
# Whole configurations of other models, no layers: tests/lightning_modules/test_generators.py.
ALONE = ("generator",)
SWEEPS = sorted((ROOT / "configs" / "sweeps").glob("*.yaml"))
LAYERS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "configs").rglob("*.yaml")
    if path not in SWEEPS
    and path.relative_to(ROOT / "configs").parts[0] not in (*DOMAIN_DATA, *ALONE, "local")
)
# Layers to come back to the base with; every other one changes something.
MEAN_THE_BASE = (
    BASE,
    "configs/data/synthetic.yaml",
    "configs/model/small.yaml",
    "configs/objectives/contradiction.yaml",
    "configs/reproduce/balanced_clean.yaml",
)


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    """Paths in YAML are those of a checkout."""
    os.chdir(ROOT)


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    return resolved_config("fit", "-c", BASE)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_parses_over_the_base_and_changes_it(layer: str, base: dict[str, Any]) -> None:
    config = resolved_config("fit", "-c", BASE, "-c", layer)
    assert config["model"] and config["data"]
    if config["data"]["class_path"].endswith("SyntheticPairs"):
        # jsonargparse drops a value with ${} where a layer changes the class_path above it; without a word.
        synthesizer = config["data"]["init_args"]["synthesizer"]["init_args"]
        assert all(synthesizer[part] for part in ("sampler", "writer", "image_maker"))
        size = config["model"]["init_args"]["image_encoder"]["init_args"]["image_size"]
        assert synthesizer["image_maker"]["init_args"]["image_size"] == size
    assert (config == base) == (layer in MEAN_THE_BASE)


PRESETS = sorted(
    path.stem for path in (ROOT / "configs/data").glob("*.yaml") if "image_root" in path.read_text()
)
WITH_REPORTS = ("chexpert_plus", "mimic_cxr", "open_i")


@pytest.mark.parametrize(
    ("task", "preset"),
    [("fine_tune", preset) for preset in PRESETS]
    + [(task, preset) for task in ("report_generation", "retrieval") for preset in WITH_REPORTS],
)
def test_tasks_take_the_presets_of_real_data(task: str, preset: str) -> None:
    layers = (BASE, f"configs/tasks/{task}.yaml", f"configs/data/{preset}.yaml")
    config = resolved_config("fit", *(word for layer in layers for word in ("-c", layer)))
    data = config["data"]["init_args"]
    assert data["image_size"] == config["model"]["init_args"]["image_encoder"]["init_args"]["image_size"]
    if preset in WITH_REPORTS:
        assert (data["tokenizer"]["vocab_size"], data["views"]["max_length"]) == (4096, 192)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_says_how_to_use_it(layer: str) -> None:
    assert (ROOT / layer).read_text().startswith("# ")


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_row_of_a_sweep_parses(path: Path) -> None:
    sweep = read_sweep(path)
    lines = rows(sweep, path)
    assert len(lines) > 1
    for values in lines:
        config = resolved_config("fit", *arguments(sweep, values))
        assert {name: value_at(config, name) for name in values} == values
    assert sweep["metric"]["name"].count("/") == 2  # <stage>/<callback>/<name>


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_holds_only_what_wandb_knows(path: Path) -> None:
    sweep = yaml.safe_load(path.read_text())
    known = {"program", "command", "method", "metric", "parameters", "run_cap", "name", "early_terminate"}
    assert sweep.keys() <= known
    assert sweep["metric"]["goal"] in ("maximize", "minimize")


def test_data_layers_can_be_put_back_over_each_other(base: dict[str, Any]) -> None:
    there = resolved_config("fit", "-c", BASE, "-c", "configs/reproduce/long_tailed_clinic.yaml")
    sampler = value_at(there, "data.init_args.synthesizer.init_args.sampler")
    assert sampler["class_path"].endswith("LongTailedCaseSampler")
    assert sampler["init_args"]["normal_rate"] is None  # not what the base's sampler had
    layers = (BASE, "configs/reproduce/long_tailed_clinic.yaml", "configs/data/synthetic.yaml")
    back = resolved_config("fit", *(word for layer in layers for word in ("-c", layer)))
    assert back == base


def test_the_arms_of_the_paper_differ_only_in_their_training_pairs() -> None:
    arms = experiments("full", [0], Path("unused"))
    names = ("balanced_clean", "balanced_clinic", "long_tailed_clean", "long_tailed_clinic")
    assert tuple(arms) == names
    configs = {name: runs[0].config() for name, runs in arms.items()}
    check_equal(configs)
    synthesizers = [config["data"]["init_args"].pop("synthesizer") for config in configs.values()]
    assert len({str(synthesizer) for synthesizer in synthesizers}) == 4
    for part in ("image_maker", "writer", "filters"):
        assert len({str(synthesizer["init_args"][part]) for synthesizer in synthesizers}) == 1
    assert len({str(config) for config in configs.values()}) == 1


def test_objectives_are_compared_on_the_same_pairs_texts_and_schedule() -> None:
    arms = compare_objectives.experiments("full", [0], Path("unused"), Path("cache"))
    assert {"clip", "contradiction", "gloria", "m_flag", "medclip", "mgca", "siglip", "twins"} <= set(arms)
    configs = {name: runs[0].config() for name, runs in arms.items()}
    check_equal(configs, compare_objectives.EQUAL)
    objectives = [str(config["model"]["init_args"].pop("objective")) for config in configs.values()]
    assert len(set(objectives)) == len(objectives)
    agreeing = {n for n, c in configs.items() if c["model"]["init_args"].pop("text_agreement")}
    assert agreeing == {"contradiction", "cxr_clip", "twins"}
    frozen = configs.pop("m_flag")["model"]["init_args"]["text_encoder"]["init_args"]["adaptation"]
    assert frozen["frozen_layers"] == "all"
    assert len({str(config) for config in configs.values()}) == 1


@pytest.mark.parametrize("key", BUDGET)
def test_arms_with_unequal_steps_are_refused(key: str, base: dict[str, Any]) -> None:
    group, _, name = key.rpartition(".")
    assert name in value_at(base, group)
    group, _, name = key.rpartition(".")
    assert name in value_at(base, group)
    changed = yaml.safe_load(yaml.safe_dump(base))
    value_at(changed, group)[name] = 12345
    with pytest.raises(ValueError, match=rf"{key}.*12345.*equal steps"):
        check_equal({"one": base, "two": changed})
