"""The command line, called in-process on the real YAML with small sizes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningCLI

from callbacks.base.run_directory import free_directory, leave_free
from main import main
from scripts.command_line.command_line import CommandLine
from scripts.command_line.judged_weights import judged
from scripts.command_line.layer_names import layer_names
from scripts.command_line.trainer_options import check_trainer
from scripts.resolved_config import resolved_config
from tests.browser import chromium
from tests.wandb_file import WandbFile

BASE = ["-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml"]
# What a test about something else need not pay for: pictures, figures, W&B.
LEAN = ["--trainer.callbacks=null", "--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false"]
CSV = '--trainer.logger=[{class_path: CSVLogger, init_args: {save_dir: ".", name: "", version: ""}}]'
# What the recipes are judged by.
FIGURES = {"zero_shot/auroc_macro", "probe/auroc_macro", "retrieval/i2t_hit@10", "geometry/alignment"}


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    """Paths in YAML are those of a checkout."""
    os.chdir(Path(__file__).resolve().parents[1])


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"--data.init_args.artifacts_dir={tmp_path_factory.mktemp('artifacts')}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, artifacts: str) -> Path:
    """The whole smoke recipe with every callback and both loggers, as `make fit RECIPE=smoke` runs it."""
    directory = tmp_path_factory.mktemp("runs") / "fit"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_SWEEP_ID"):
            patch.delenv(name, raising=False)
        main(["fit", *BASE, f"--run_dir={directory}", artifacts])
    return directory


def test_a_run_leaves_all_that_is_promised(run: Path) -> None:
    left = {str(path.relative_to(run)) for path in run.rglob("*")}
    assert left >= {"config.yaml", "metrics.csv", "summary.json"}
    assert left >= {"checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    assert any(name.startswith("pictures/") and name.endswith(".png") for name in left)
    assert any(name.startswith("wandb/offline-run-") and name.endswith(".wandb") for name in left)
    with (run / "metrics.csv").open(newline="") as file:
        columns = set(next(csv.reader(file)))
    figures = {f"val/{figure}" for figure in FIGURES}
    assert columns >= {"train/loss", "epoch", "step", *figures}
    summary = json.loads((run / "summary.json").read_text())
    assert summary.keys() >= {"details", *figures}
    assert summary["details"]["val/zero_shot"].keys() >= {"n", "intervals", "split_sha256"}


def test_the_page_of_a_run_can_be_read_in_a_browser(run: Path) -> None:
    """Opened as a file: it asks for nothing else, has every figure, and fits wide and narrow windows."""
    page, summary = (run / "summary.html").as_uri(), json.loads((run / "summary.json").read_text())
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        asked: list[str] = []
        failed: list[str] = []
        tab.on("request", lambda sent: asked.append(sent.url))
        tab.on("console", lambda said: failed.append(said.text) if said.type == "error" else None)
        tab.on("pageerror", lambda error: failed.append(str(error)))
        tab.goto(page)
        assert [a.inner_text() for a in tab.locator("nav a").all()] == ["val", "curves", "pictures", "run"]
        assert all(tab.locator(str(a.get_attribute("href"))).count() for a in tab.locator("nav a").all())
        for closed in tab.locator("summary").all():
            closed.click()
        cells = "Array.from(document.querySelectorAll('[data-figure]'), "
        shown = tab.evaluate(cells + "cell => [cell.dataset.figure, cell.innerText])")
        assert dict(shown) == {key: _as_shown(summary, key) for key in summary if key.split("/")[0] == "val"}
        assert tab.locator("pre").inner_text().strip() == (run / "config.yaml").read_text().strip()
        widths = "Array.from(document.images, image => image.complete && image.naturalWidth)"
        assert len(pictures := tab.evaluate(widths)) > 2 and all(pictures)
        for width in (1280, 390):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert failed == []
    assert [address for address in asked if address != page and not address.startswith("data:")] == []


def _as_shown(summary: dict[str, Any], key: str) -> str:
    """Write a figure as the page does: three decimals and, as far as there is one, its interval."""
    value, (callback, _, figure) = summary[key], key.removeprefix("val/").partition("/")
    interval = summary["details"].get(f"val/{callback}", {}).get("intervals", {}).get(figure)
    bounds = "" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"
    return ("–" if value is None else f"{value:.3f}") + bounds


def test_a_saved_configuration_and_a_checkpoint_are_enough_to_test(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.glob("*.*")}
    line = main(["test", "-c", str(run / "config.yaml"), f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"])
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in line.model.state_dict().items())
    again = yaml.safe_load((run / "test" / "config.yaml").read_text())["trainer"]["logger"][1]["init_args"]
    assert (again["save_dir"], again["tags"]) == (str(run / "test"), ["pretrain", "recipes/smoke"])
    summary = json.loads((run / "test" / "summary.json").read_text())
    assert summary.keys() >= {f"test/{figure}" for figure in FIGURES}
    assert {path: path.read_bytes() for path in before} == before


def test_a_checkpoint_that_is_not_there_leaves_nothing_behind(run: Path) -> None:
    before = sorted(run.iterdir())
    wrong = run / "checkpoints" / "bset.ckpt"
    with pytest.raises(
        SystemExit, match=r"bset\.ckpt .*no such file\. Give one that lies beside it: best\.ckpt, last\.ckpt"
    ):
        main(["test", "-c", str(run / "config.yaml"), f"--ckpt_path={wrong}"])
    assert sorted(run.iterdir()) == before


def test_an_evaluation_without_a_checkpoint_is_refused_unless_it_is_asked_for(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(run.iterdir())
    config = ["-c", str(run / "config.yaml")]
    with pytest.raises(ValueError, match=r"test: no --ckpt_path.*--ckpt_path=untrained"):
        main(["test", *config])
    assert sorted(run.iterdir()) == before
    capsys.readouterr()
    main(["validate", *config, "--ckpt_path=untrained"])
    said = "no checkpoint was loaded"
    assert said in capsys.readouterr().out and said in (run / "validate" / "table.md").read_text()


@pytest.mark.parametrize("subcommand", ["validate", "test", "predict"])
def test_which_weights_are_judged_has_to_be_said(subcommand: str) -> None:
    with pytest.raises(ValueError, match=f"{subcommand}: no --ckpt_path"):
        judged(subcommand, None, {"init_args": {"weights": None}})
    assert judged(subcommand, "untrained", {}) is None
    assert judged(subcommand, None, {"init_args": {"weights": "runs/fit/checkpoints/best.ckpt"}}) is None
    assert judged(subcommand, "best.ckpt", {}) == "best.ckpt"


TRAINED, FRESH = {"init_args": {"pretrained": "hub:a/b"}}, {"init_args": {"pretrained": None}}


@pytest.mark.parametrize(
    ("name", "arguments", "trained"),
    [
        ("DualEncoder", {"weights": "a.ckpt"}, True),
        ("DualEncoder", {"image_encoder": TRAINED, "text_encoder": TRAINED}, True),
        ("DualEncoder", {"image_encoder": TRAINED, "text_encoder": FRESH}, False),
        ("TrainedEncoder", {"weights": "a.ckpt"}, True),
        ("LatentDiffusion", {"pretrained": "hub:a/b"}, True),
        ("LatentDiffusion", {"pretrained": None, "report_encoder": TRAINED}, False),
        *(
            (name, {"weights": "a.ckpt", "image_encoder": TRAINED}, False)
            for name in ("FineTune", "Segmentation", "VisualQuestionAnswering", "ReportGeneration")
        ),
    ],
)
def test_weights_that_training_begins_with_are_no_trained_head(
    name: str, arguments: dict[str, Any], trained: bool
) -> None:
    model = {"class_path": f"lightning_modules.{name}", "init_args": arguments}
    if trained:
        assert judged("test", None, model) is None
        return
    with pytest.raises(ValueError, match=r"test: no --ckpt_path.*give --ckpt_path=runs/") as error:
        judged("test", None, model)
    assert ("a.ckpt is where training begins" in str(error.value)) == ("weights" in arguments)


def test_a_run_that_fails_at_its_start_leaves_its_directory_to_the_next(tmp_path: Path) -> None:
    for name in ("failed", "begun"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("seed_everything: 0\n")
        (tmp_path / name / "metrics.csv").touch()
    (tmp_path / "begun" / "metrics.csv").write_text("step,loss\n0,1\n")
    for name in ("failed", "begun"):
        leave_free(tmp_path / name)
    assert free_directory(tmp_path / "failed") == tmp_path / "failed"
    assert free_directory(tmp_path / "begun") == tmp_path / "begun-2"


@pytest.mark.parametrize(
    "option",
    [
        "gradient_clip_val=-1", "log_every_n_steps=-1", "accumulate_grad_batches=0", "val_check_interval=0",
        "check_val_every_n_epoch=0", "num_sanity_val_steps=-3",
    ],
)  # fmt: skip
def test_an_option_of_the_trainer_that_cannot_be_meant_is_refused(option: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(ValueError, match=rf"trainer\.{name}={value}: give "):
        check_trainer({name: int(value)})


def test_a_second_run_takes_the_next_directory_and_keeps_the_first(tmp_path: Path, artifacts: str) -> None:
    args = ["fit", *BASE, *LEAN, CSV, artifacts, f"--run_dir={tmp_path / 'fit'}", "--trainer.max_epochs=1"]
    main([*args, "--model.init_args.learning_rate=0.5"])
    first = {path: path.read_bytes() for path in (tmp_path / "fit").rglob("*") if path.is_file()}
    assert first.keys() >= {tmp_path / "fit" / "config.yaml", tmp_path / "fit" / "metrics.csv"}
    main(["fit", "-c", str(tmp_path / "fit" / "config.yaml"), "--model.init_args.learning_rate=0.25"])
    assert {path: path.read_bytes() for path in first} == first
    second = yaml.safe_load((tmp_path / "fit-2" / "config.yaml").read_text())
    assert second["model"]["init_args"]["learning_rate"] == 0.25
    assert second["trainer"]["logger"][0]["init_args"]["save_dir"] == str(tmp_path / "fit-2")
    assert (tmp_path / "fit-2" / "metrics.csv").exists()


def test_a_run_without_a_bar_leaves_out_those_of_the_layers(
    tmp_path: Path, artifacts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainers = []
    monkeypatch.setattr(CommandLine, "_run_subcommand", lambda self, _: trainers.append(self.trainer))
    args = ["fit", *BASE, artifacts, "--trainer.logger=false", f"--run_dir={tmp_path / 'fit'}"]
    for bar in (True, False):
        main([*args, f"--trainer.enable_progress_bar={str(bar).lower()}"])
    (_, with_bar), (_, without) = [
        (t, {type(one).__name__ for one in t.callbacks})
        for t in trainers  # type: ignore[attr-defined]
    ]
    assert with_bar - without == {"RichProgressBar"} and "RunCheckpoint" in without


@pytest.mark.parametrize(("given", "shown"), [("", "''"), ("null", "null")])
def test_a_run_directory_that_is_no_place_is_refused(given: str, shown: str) -> None:
    with pytest.raises(ValueError, match=rf"--run_dir={shown} is no place: give a directory"):
        main(["fit", *BASE, f"--run_dir={given}"])


def test_free_directory(tmp_path: Path) -> None:
    assert free_directory(tmp_path / "a") == tmp_path / "a"
    for name in ("a", "a-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    assert free_directory(tmp_path / "a") == tmp_path / "a-3"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--trainer.bogus=1"], ["--trainer.bogus"]),
        (["--data.init_args.batchsize=8"], ["batchsize", "no option"]),
        (["--model.init_args.objective.init_args.temprature=8"], ["temprature", "no option"]),
        (["--model.init_args.objective.class_path=lightning_modules.InfoNCEE"], ["InfoNCEE"]),
        (["--data.init_args.loader.batch_size=many"], ["batch_size", "many"]),
    ],
)
def test_a_mistake_on_the_command_line_is_named(
    args: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["fit", *BASE, *args])
    printed = capsys.readouterr().err.partition("error:")[2]
    assert exit_.value.code == 2
    assert all(word in printed for word in words), printed[-2000:]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("trainr: {max_epochs: 1}", "trainr"),
        ("trainer: {max_epoch: 1}", "max_epoch"),
        ("data: {init_args: {train_pair: 1}}", "train_pair"),
    ],
)
def test_an_unknown_key_in_a_file_is_named(
    tmp_path: Path, text: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(SystemExit) as exit_:
        main(["fit", *BASE, "-c", str(tmp_path / "bad.yaml")])
    assert exit_.value.code == 2
    assert wrong in capsys.readouterr().err.partition("error:")[2]


def test_interpolation_follows_what_overrides_a_key(tmp_path: Path) -> None:
    layer = "model: {init_args: {text_encoder: {init_args: {vocab_size: 777}}}}"
    (tmp_path / "layer.yaml").write_text(layer)
    overrides = [
        "--seed_everything=5",
        "--model.init_args.text_encoder.init_args.max_length=64",
        "--model.init_args.image_encoder.init_args.image_size=96",
    ]
    config = resolved_config("fit", *BASE, "-c", str(tmp_path / "layer.yaml"), *overrides)
    data = config["data"]["init_args"]
    assert data["synthesizer"]["init_args"]["image_maker"]["init_args"]["image_size"] == 96
    assert data["tokenizer"]["vocab_size"] == 777
    assert data["views"]["max_length"] == 64
    assert data["loader"]["seed"] == config["model"]["init_args"]["seed"] == 5


def test_going_on_with_another_architecture_is_refused_with_the_remedy(
    run: Path, tmp_path: Path, artifacts: str
) -> None:
    args = [*BASE, *LEAN, artifacts, "--trainer.logger=false", f"--run_dir={tmp_path}"]
    other = "--model.init_args.image_encoder.init_args.width=64"
    with pytest.raises(ValueError, match=r"(?s)another architecture.*config\.yaml"):
        main(["fit", *args, other, f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"])


def test_evaluation_takes_the_model_from_the_checkpoint_but_fit_takes_the_one_configured(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pins the private `LightningCLI._parse_ckpt_path` that CommandLine overrides."""
    assert callable(getattr(LightningCLI, "_parse_ckpt_path", None))
    monkeypatch.setattr(CommandLine, "_run_subcommand", lambda self, subcommand: None)
    wider = "--model.init_args.image_encoder.init_args.width=64"
    changed = [*BASE, "--model.init_args.learning_rate=0.125", wider]
    checkpoint = f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"
    for subcommand, width in {"fit": 64, "validate": 32, "test": 32, "predict": 32}.items():
        line = main([subcommand, *changed, checkpoint, f"--run_dir={tmp_path}"])
        assert line.model.image_encoder.width == width
        assert (line.model.learning_rate == 0.125) == (subcommand == "fit")


def test_layers_are_tags_and_those_of_a_saved_configuration_stay(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["trainer"]["logger"][1]["init_args"]["tags"] == ["pretrain", "recipes/smoke"]
    recorded = WandbFile(run)
    *layers, code = recorded.run.tags
    assert layers == ["pretrain", "recipes/smoke"] and code.startswith("code ")
    assert recorded.config["data"]["init_args"]["train_pairs"] == 64  # not the model's arguments alone


def test_names_of_layers() -> None:
    files = ["configs/pretrain.yaml", "/a/configs/data/nih.yaml", "mine/own.yaml", "runs/fit/config.yaml"]
    assert layer_names([Path(file) for file in files]) == ["pretrain", "data/nih", "own"]


@pytest.mark.slow
def test_two_processes_share_one_run(tmp_path: Path, artifacts: str) -> None:
    """DDP starts further processes with the same command line; all of them must agree on the directory."""
    two = ["-c", "configs/trainer/ddp.yaml", "--trainer.accelerator=cpu", "--trainer.devices=2"]
    small = [
        "--trainer.precision=32-true",
        "--data.init_args.loader.batch_size=8",
        "--data.init_args.loader.num_workers=0",
    ]
    command = [
        sys.executable,
        "main.py",
        "fit",
        *BASE,
        *two,
        *small,
        artifacts,
        f"--run_dir={tmp_path / 'fit'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]
    summary = json.loads((tmp_path / "fit" / "summary.json").read_text())
    assert summary["details"]["fit/run"]["world_size"] == 2
    assert summary["details"]["val/zero_shot"]["n"] == 48  # each pair once, though two ranks share them
    with (tmp_path / "fit" / "metrics.csv").open(newline="") as file:
        steps = [int(line["step"]) for line in csv.DictReader(file)]
    assert max(steps) == 3  # 2 epochs of 32 pairs, 2 × 8 a step


def test_a_file_of_the_configuration_that_is_in_neither_place_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phrases = "--data.init_args.synthesizer.init_args.writer.init_args.phrases=configs/reports/gramar.yaml"
    for args in ([*BASE, phrases], [*BASE, "-c", "configs/reports/gramar.yaml"]):
        with pytest.raises(SystemExit) as refused:
            main(["fit", *args, f"--run_dir={tmp_path / 'fit'}"])
        assert refused.value.code == 2
        assert f"configs/reports/gramar.yaml: no such file in {Path.cwd()}" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
