"""What is recorded at W&B, read back from the file of an offline run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb
import yaml
from lightning.pytorch.loggers import CSVLogger

from callbacks import FeatureCollector, GradientNorm, PairGallery, RunSummary, WandbRunLogger
from callbacks.run import wandb_run_logger
from callbacks.run.summary import git_commit
from callbacks.run.wandb_run_logger import connection, earlier_id
from tests.wandb_file import WandbFile

CONFIG = {"seed_everything": 3, "model": {"init_args": {"width": 8}}, "data": {"class_path": "datamodules.X"}}
KEY = "0123456789" * 4


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def record(tiny, directory: Path, call: str = "fit", **settings: object) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    loggers = [
        CSVLogger(str(directory), name="", version=""),
        WandbRunLogger(str(directory), tags=["recipes/a"]),
    ]
    chosen = {"logger": loggers, "callbacks": [GradientNorm(), *tiny.everything()]} | settings
    runner = tiny.trainer(directory, **chosen)
    try:
        getattr(runner, call)(tiny.Model(), tiny.Data(n=40))
    finally:
        wandb.finish()


def is_dirty() -> bool:
    return (git_commit() or "").endswith("-dirty")


@pytest.fixture(scope="module")
def fitted(tiny, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    directory = tmp_path_factory.mktemp("runs") / "fit"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_SWEEP_ID"):
            patch.delenv(name, raising=False)
        patch.setenv("NETRC", str(directory))
        record(tiny, directory)
        record(tiny, directory / "test", "test")
    return SimpleNamespace(directory=directory, fit=WandbFile(directory), test=WandbFile(directory / "test"))


def test_a_run_is_named_after_its_directory_and_holds_the_whole_configuration(fitted) -> None:
    run = fitted.fit.run
    assert (run.display_name, run.run_group, run.job_type) == (f"{fitted.directory.parent.name}/fit",) * 2 + (
        "fit",
    )
    assert run.git.commit
    assert list(run.tags) == ["recipes/a", f"code {run.git.commit[:7]}{'-dirty' * is_dirty()}"]
    assert all(fitted.fit.config[key] == value for key, value in CONFIG.items())


def test_the_names_that_wandb_is_told_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_NAME", "clip, seed 0")
    monkeypatch.setenv("WANDB_RUN_GROUP", "objectives")
    monkeypatch.setenv("WANDB_TAGS", "clip, seed 0,recipes/a," + "x" * 70)
    asked = [WandbRunLogger(f"runs/clip-0{stage}", tags=["recipes/a"])._wandb_init for stage in ("", "/test")]
    assert [one["name"] for one in asked] == ["clip, seed 0", "clip, seed 0, test"]
    assert {one["group"] for one in asked} == {"objectives"} and asked[1]["job_type"] == "test"
    *tags, code = asked[0]["tags"]
    assert tags == ["recipes/a", "clip", "seed 0", "x" * 64] and code.startswith("code ")


def test_a_test_belongs_to_its_training(fitted) -> None:
    run = fitted.test.run
    assert (run.run_group, run.job_type) == (fitted.fit.run.display_name, "test")
    assert run.display_name == "fit/test" and run.run_id != fitted.fit.run.run_id


def test_tables_charts_and_files_are_there(fitted, tiny) -> None:
    concepts = fitted.fit.table("tables/val_concepts")
    row = dict(zip(concepts["columns"], concepts["data"][0], strict=True))
    assert row.keys() >= {"concept", "method", "n", "positive", "auroc", "auroc_low", "auroc_high"}
    assert row["n"] == 40 and row["auroc_low"] <= row["auroc"] <= row["auroc_high"]
    assert {line[0] for line in concepts["data"]} == set(tiny.CONCEPTS)
    pairs = fitted.fit.table("tables/val_pairs")
    assert pairs["columns"] == ["pair", "image", "text"] and len(pairs["data"]) == 4
    assert sum(name.startswith("media/images/") for name in fitted.fit.artifacts["tablesval_pairs"]) == 4
    assert fitted.fit.table("tables/val_retrieval")["columns"][-1] == "retrieved 3"
    roc = fitted.fit.table("charts/val_probe_roc_table")
    assert roc["data"][0][1:] == [0, 0] and {line[0] for line in roc["data"]} <= set(tiny.CONCEPTS)
    similar = fitted.fit.logged["charts/val_geometry_similarity/own report"]
    assert sum(similar["values"]) == 40
    assert fitted.fit.logged["train/gradient_norm"] > 0
    assert fitted.fit.saved >= {"config.yaml", "summary.json", "table.md"}
    for name in ("config.yaml", "table.md"):
        assert (fitted.fit.folder / name).read_bytes() == (fitted.directory / name).read_bytes()
    assert "test/probe/auroc_macro" in fitted.test.logged and fitted.test.table("tables/test_figures")["data"]


def test_a_run_that_goes_on_in_its_directory_goes_on_at_wandb(fitted) -> None:
    assert (
        earlier_id(fitted.directory) == fitted.fit.run.run_id == WandbRunLogger(str(fitted.directory)).version
    )
    assert earlier_id(fitted.directory / "checkpoints") is None


def test_the_closing_lines_say_where_it_is(tiny, tmp_path, capsys) -> None:
    record(tiny, tmp_path / "fit", "validate", callbacks=[FeatureCollector(), RunSummary()])
    (place,) = tmp_path.glob("fit/wandb/offline-run-*")
    assert f"to upload it: wandb sync {place}" in capsys.readouterr().out.splitlines()


def test_a_disabled_logger_leaves_nothing(tiny, tmp_path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    record(tiny, tmp_path / "fit", "validate", callbacks=[FeatureCollector(), PairGallery(), RunSummary()])
    assert not (tmp_path / "fit" / "wandb").exists() and "Weights & Biases" not in capsys.readouterr().out


def test_offline_unless_one_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setattr(wandb, "login", lambda **settings: asked.append(settings) or True)
    assert connection() == "online" and asked == [{"prompt": False, "verify": True}]
    monkeypatch.setenv("WANDB_API_KEY", "")
    assert connection() == "offline"
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    assert connection() is None
    monkeypatch.delenv("WANDB_SWEEP_ID")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert connection() == "disabled" and len(asked) == 1
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    assert connection() == "offline"


def test_a_login_that_hangs_is_offline_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    monkeypatch.setattr(wandb, "login", lambda **settings: free.wait(60))
    monkeypatch.setattr(wandb_run_logger, "PATIENCE", 0.2)
    with pytest.warns(UserWarning, match="records offline: no answer from W&B"):
        assert connection() == "offline"
    free.set()


def test_nobody_logged_in_is_offline_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    assert connection() == "offline" and not recwarn.list


def test_a_key_without_a_network_is_offline_with_a_warning_soon(tmp_path: Path) -> None:
    """In processes of their own: W&B reads its settings once in each."""
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1:9\n  login user\n  password {KEY}\n")
    nobody = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    nobody |= {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_HTTP_TIMEOUT": "1"}
    code = (
        "import os, sys, time; from callbacks.run.wandb_run_logger import connection; "
        "begun = time.monotonic(); print(connection(), time.monotonic() - begun, flush=True); "
        "sys.stderr.flush(); os._exit(0)"  # at exit W&B may wait for its service for ever
    )
    asked = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=nobody | told,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for told in ({"WANDB_API_KEY": KEY, "NETRC": "/nowhere"}, {"NETRC": str(tmp_path / "netrc")})
    ]
    for process in asked:
        printed, warned = process.communicate(timeout=150)
        mode, seconds = printed.split()[-2:]
        assert mode == "offline" and float(seconds) < 40  # W&B itself gives up after 90 s
        assert "Weights & Biases records offline: " in warned and "127.0.0.1:9" in warned
