"""Every YAML that is shipped can be read by what reads it."""

from __future__ import annotations

import os
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.comparison.configuration import value_at, words
from scripts.comparison.definition import Layers
from scripts.comparison.engine import Plan
from scripts.comparison.reader import read_comparison
from scripts.resolved_config import resolved_config
from scripts.sweeps.sweep_file import SweepFile

ROOT = Path(__file__).resolve().parents[1]
BASE = "configs/pretrain.yaml"
# Folders with domain data that the parser does not read; the tests of their readers do (tests/synthesis).
DOMAIN_DATA = ("cases", "concepts", "reports", "prompts", "questions", "corpus", "comparisons")
# Whole configurations, no layers: tests/lightning_modules/test_generators.py, tests/callbacks/prediction.
ALONE = ("generator", "predict.yaml")
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
    "configs/objectives/scales/shared.yaml",
    "configs/reproduce/objectives/contradiction.yaml",
    "configs/reproduce/synthetic/unfiltered.yaml",
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
    path.stem for path in (ROOT / "configs/data").glob("*.yaml") if "\n    image_root:" in path.read_text()
)
WITH_REPORTS = ("chexpert_plus", "mimic_cxr", "open_i")
WITH_QUESTIONS = ("rad_restruct", "vqa_rad")


@pytest.mark.parametrize(
    ("task", "preset"),
    [("vqa" if preset in WITH_QUESTIONS else "fine_tune", preset) for preset in PRESETS]
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


def test_every_value_of_every_sweep_parses() -> None:
    """Rows of a grid that hold a value not seen yet, two of others.

    They stand behind each other on a command line, those of sweeps that share a command on the same.
    The parser checks each value as it comes. A row is given from where it differs from the one before. What a
    row alone gives is looked at for the last.
    """
    by_command: dict[tuple[str, ...], list[SweepFile]] = {}
    for sweep in map(SweepFile.read, SWEEPS):
        by_command.setdefault(words(sweep.arm({}).layers), []).append(sweep)
    assert len(SWEEPS) >= 10 and len(by_command) < len(SWEEPS)
    for command, sweeps in by_command.items():
        parsed: list[str] = []
        for sweep in sweeps:
            parsed += command
            before: list[str] = []
            assert len(sweep.rows()) == sweep.size > 1
            seen: set[str] = set()
            for values in sweep.rows() if sweep.method == "grid" else sweep.rows()[:2]:
                new = {f"{name}={value}" for name, value in values.items()} - seen
                if not new:
                    continue
                seen |= new
                last = dict(values)
                layers = sweep.layers(values)
                row = [f"--config={file}" for file in layers.files]
                row += words(Layers((), layers.overrides))
                same = sum(
                    1 for _ in takewhile(lambda both: both[0] == both[1], zip(row, before, strict=False))
                )
                parsed += row[same:]
                before = row
        config = resolved_config("fit", *parsed)
        layer = last.pop("config", None)
        assert layer is None or (ROOT / layer).is_file()
        assert {name: value_at(config, name) for name in last} == last


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_holds_only_what_wandb_knows(path: Path) -> None:
    sweep = yaml.safe_load(path.read_text())
    known = {"program", "command", "method", "metric", "parameters", "run_cap", "name", "early_terminate"}
    assert sweep.keys() <= known
    assert sweep["metric"]["goal"] in ("maximize", "minimize")
    assert sweep["metric"]["name"].count("/") == 2  # <stage>/<callback>/<name>
    assert f"make sweep-local SWEEP={path.stem}" in path.read_text()


def test_sweeps_search_in_every_way() -> None:
    files = [SweepFile.read(path) for path in SWEEPS]
    assert {sweep.method for sweep in files} == {"grid", "random", "bayes"}
    assert {sweep.method for sweep in files if sweep.termination} == {"random", "bayes"}


def test_findings_with_their_consequences_combine() -> None:
    names = ("volume_loss", "effusions", "haze", "co_findings", "inspiration", "incidental")
    layers = (BASE, *(f"configs/simulator/{name}.yaml" for name in names))
    config = resolved_config("fit", *(word for layer in layers for word in ("-c", layer)))
    parts = config["data"]["init_args"]["synthesizer"]["init_args"]
    sampler, writer, maker = (parts[name] for name in ("sampler", "writer", "image_maker"))
    assert {p["init_args"]["catalog"] for p in (sampler, writer, maker)} == {
        "configs/concepts/incidental.yaml"
    }
    assert sampler["class_path"].endswith("CoFindingCaseSampler")
    assert maker["init_args"]["inspiration"]["probability"] == 0.5
    found = [c["class_path"].rpartition(".")[2] for c in maker["init_args"]["consequences"]]
    assert found == ["VolumeLoss", "PleuralFluid", "AirspaceHaze"]


def test_data_layers_can_be_put_back_over_each_other(base: dict[str, Any]) -> None:
    other = ("configs/data/clinic.yaml", "configs/reproduce/synthetic/long_tailed.yaml")
    there = resolved_config("fit", *(word for layer in (BASE, *other) for word in ("-c", layer)))
    sampler = value_at(there, "data.init_args.synthesizer.init_args.sampler")
    assert sampler["class_path"].endswith("LongTailedCaseSampler")
    assert sampler["init_args"]["normal_rate"] is None  # not what the base's sampler had
    layers = (BASE, *other, "configs/data/synthetic.yaml")
    back = resolved_config("fit", *(word for layer in layers for word in ("-c", layer)))
    assert back == base


def configs_of(comparison: str) -> dict[str, dict[str, Any]]:
    """The resolved configurations of all arms at full scale; that `equal` holds is checked on the way."""
    plan = Plan(read_comparison(comparison), "full", Path("unused"), seeds=(0,))
    plan.check()
    return {run.arm.name: yaml.safe_load(yaml.safe_dump(run.config())) for run in plan.wanted()}


def test_the_utility_of_generated_images_is_asked_of_the_same_reports_for_equal_steps() -> None:
    configs = configs_of("utility")
    assert tuple(configs) == ("simulator", "variational", "adversarial", "diffusion")
    makers = [
        config["data"]["init_args"]["synthesizer"]["init_args"].pop("image_maker")
        for config in configs.values()
    ]
    assert len({maker["class_path"] for maker in makers}) == 4
    assert {maker["init_args"]["image_size"] for maker in makers} == {64}
    assert len({str(config) for config in configs.values()}) == 1
    data = configs["simulator"]["data"]["init_args"]
    looks = configs["simulator"]["trainer"]["max_epochs"] * data["loader"]["epoch_size"]
    assert (data["train_pairs"], looks // data["loader"]["batch_size"]) == (8000, 750)


def test_generators_are_compared_on_the_same_prompts_read_by_the_same_tower() -> None:
    plan = Plan(read_comparison("generators"), "full", Path("unused"), seeds=(0,))
    configs = [run.config() for run in plan.wanted() if run.arm.trained]
    models = [config["model"]["init_args"] for config in configs]
    assert len(models) == 3 and {model["section"] for model in models} == {"findings"}
    (reader,) = {str(model["report_encoder"]) for model in models}
    assert "'frozen': True" in reader and "'max_length': 128" in reader
    assert models[-1]["code"]["patch"] == 8 and models[-1]["autoencoder"] is None
    assert not models[-1]["flow"] and models[-1]["unet"]["block_out_channels"] == [96, 160]


def test_objectives_are_compared_on_the_same_pairs_texts_and_schedule() -> None:
    configs = configs_of("objectives")
    arms = {path.stem for path in (ROOT / "configs" / "objectives").glob("*.yaml")}
    assert configs.keys() == arms, "every objective is an arm"
    objectives = [str(config["model"]["init_args"].pop("objective")) for config in configs.values()]
    assert len(set(objectives)) == len(objectives)
    agreeing = {n for n, c in configs.items() if c["model"]["init_args"].pop("text_agreement")}
    assert agreeing == {"contradiction", "cxr_clip", "twins"}
    frozen = configs.pop("m_flag")["model"]["init_args"]["text_encoder"]["init_args"]["adaptation"]
    assert frozen["frozen_layers"] == "all"
    assert len({str(config) for config in configs.values()}) == 1
