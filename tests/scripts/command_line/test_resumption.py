"""A run that was interrupted goes on in its directory and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from callbacks import Interruption
from lightning_modules.checkpoints import read_checkpoint
from main import main
from scripts.command_line.resumption import has_ended, readable

STEPS = 6  # in two epochs
LAYERS = ["-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml", "-c", "configs/model/tiny.yaml"]
SIZES = {
    "trainer.accelerator": "cpu",
    "trainer.enable_progress_bar": "false",
    "trainer.enable_model_summary": "false",
    "trainer.logger": '[{class_path: CSVLogger, init_args: {save_dir: ".", name: "", version: ""}}]',
    "trainer.callbacks": "[{class_path: callbacks.RunCheckpoint, init_args: "
    "{monitor: {val/zero_shot/auroc_macro: max, val/loss: min}}}]",
    "model.init_args.image_encoder.init_args.image_size": "64",
    "model.init_args.image_encoder.init_args.dropout": "0.1",
    "data.init_args.tokenizer_reports": "100",
    "data.init_args.train_pairs": "48",
    "data.init_args.val_pairs": "16",
    "data.init_args.loader.epoch_size": "48",
    "data.init_args.loader.echo": "1",
}


class Sends(L.Callback):
    """Interrupts the process in the middle of a step."""

    step, number = 0, signal.SIGTERM

    def on_before_optimizer_step(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


class Dies(Sends):
    """Ends without a chance to save, as by SIGKILL: what is not written by then is lost."""

    def on_before_optimizer_step(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise MemoryError("killed")


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    os.chdir(Path(__file__).resolve().parents[3])


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Any:
    artifacts = tmp_path_factory.mktemp("artifacts")

    def words(directory: Path, *more: str, **changed: str) -> list[str]:
        values = SIZES | {"run_dir": str(directory), "data.init_args.artifacts_dir": str(artifacts)}
        values |= {name.replace("__", "."): value for name, value in changed.items()}
        return ["fit", *LAYERS, *(f"--{name}={value}" for name, value in values.items()), *more]

    return words


@pytest.fixture(scope="module")
def straight(fit: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("straight") / "fit"
    main(fit(directory))
    return directory


def assert_same_run(directory: Path, straight: Path) -> None:
    assert (directory / "metrics.csv").read_bytes() == (straight / "metrics.csv").read_bytes()
    for name in ("last", "best"):
        one, other = (
            read_checkpoint(path / "checkpoints" / f"{name}.ckpt") for path in (directory, straight)
        )
        assert one["global_step"] == other["global_step"]
        assert all(torch.equal(value, other["state_dict"][key]) for key, value in one["state_dict"].items())
        assert str(one["optimizer_states"]) == str(other["optimizer_states"])
    assert [path.name for path in directory.parent.iterdir() if path.is_dir()] == ["fit"]


def figures(directory: Path) -> dict[str, Any]:
    summary = json.loads((directory / "summary.json").read_text())
    return {name: value for name, value in summary.items() if name != "details"}


def interrupted(words: list[str], monkeypatch: pytest.MonkeyPatch, callback: L.Callback) -> Any:
    """Run with a callback that the command line does not know, and return how it ended."""
    from scripts.command_line import command_line

    build = command_line.CommandLine.instantiate_trainer
    with monkeypatch.context() as patch:

        def with_callback(self: Any, **options: Any) -> L.Trainer:
            trainer = build(self, **options)
            trainer.callbacks.insert(0, callback)  # type: ignore[attr-defined]
            return trainer

        patch.setattr(command_line.CommandLine, "instantiate_trainer", with_callback)
        with pytest.raises((SystemExit, MemoryError)) as ended:
            main(words)
    return ended.value


def test_sigterm_saves_and_exits_with_143_and_resume_ends_the_same(
    fit: Any, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, sends = tmp_path / "fit", Sends()
    sends.step = 1
    before = signal.getsignal(signal.SIGTERM)
    assert interrupted(fit(directory), monkeypatch, sends).code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert read_checkpoint(directory / "checkpoints" / "last.ckpt")["global_step"] == 2
    begun = (directory / "config.yaml").read_bytes()
    main(fit(directory, "--resume"))
    assert_same_run(directory, straight)
    assert (directory / "config.yaml").read_bytes() == begun


def test_a_killed_run_goes_on_from_an_undamaged_checkpoint(
    fit: Any, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, dies = tmp_path / "fit", Dies()
    dies.step = 5
    often = {"trainer__callbacks": SIZES["trainer.callbacks"].replace("min}}", "min}, minutes: 0}")}
    interrupted(fit(directory, **often), monkeypatch, dies)
    checkpoints = directory / "checkpoints"
    assert read_checkpoint(checkpoints / "last.ckpt")["global_step"] == 5
    assert read_checkpoint(checkpoints / "previous.ckpt")["global_step"] == 4
    damaged = bytearray((checkpoints / "last.ckpt").read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (checkpoints / "last.ckpt").unlink()  # it may be a link
    (checkpoints / "last.ckpt").write_bytes(damaged)
    with pytest.warns(UserWarning, match=r"last\.ckpt .*damaged.*goes on from .*previous\.ckpt"):
        assert readable(str(checkpoints / "last.ckpt")) == str(checkpoints / "previous.ckpt")
    with pytest.warns(UserWarning, match=r"last\.ckpt .*damaged.*goes on from the one before it"):
        main(fit(directory, "--resume"))
    assert (checkpoints / "last.unreadable").exists()
    assert_same_run(directory, straight)


def test_a_run_that_is_killed_after_its_training_is_summed_up(
    fit: Any, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DiesAtTheEnd(L.Callback):
        def on_train_end(self, trainer: L.Trainer, *_: Any) -> None:
            raise MemoryError("killed")

    directory = tmp_path / "fit"
    callbacks = SIZES["trainer.callbacks"].replace("}]", "}, {class_path: callbacks.RunSummary}]")
    words = fit(directory, trainer__callbacks=callbacks)
    interrupted(words, monkeypatch, DiesAtTheEnd())
    assert read_checkpoint(directory / "checkpoints" / "last.ckpt")["global_step"] == STEPS
    line = main([*words, "--resume"])
    assert line.resumption is not None and line.resumption.step == STEPS // 2
    assert_same_run(directory, straight)
    summed_up = figures(directory)
    assert "val/loss" in summed_up
    with pytest.warns(UserWarning, match=f"nothing was trained.*step {STEPS}"):
        main([*words, "--resume"])
    assert figures(directory) == summed_up, "what was measured stays"


def test_slurm_puts_the_job_back_and_it_goes_on(
    fit: Any, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(scontrol.parent), prepend=os.pathsep)
    job = {"JOB_ID": "7", "NTASKS": "1", "JOB_NAME": "train", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    directory, sends = tmp_path / "runs" / "fit", Sends()
    sends.step, sends.number = 4, signal.SIGUSR1
    assert interrupted(fit(directory), monkeypatch, sends).code == 143
    assert (tmp_path / "asked").read_text() == "requeue 7\n"
    main(fit(directory))  # the very same command
    assert_same_run(directory, straight)
    assert not (directory / "unfinished").exists()


def test_what_cannot_go_on_is_refused(fit: Any, straight: Path, tmp_path: Path) -> None:
    for words, message in (
        (fit(tmp_path / "new", "--resume"), r"no checkpoint in .*new/checkpoints.*--run_dir"),
        (fit(straight, "--resume", f"--ckpt_path={straight}/checkpoints/best.ckpt"), "leave out"),
        (["test", *fit(straight, "--resume")[1:]], "only fit"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(words)
    assert not (tmp_path / "new").exists()


def test_outside_the_main_thread_nothing_listens() -> None:
    from threading import Thread

    before, interruption = signal.getsignal(signal.SIGTERM), Interruption()
    thread = Thread(target=interruption.on_train_start, args=(None, None))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("limits", "ended"),
    [
        ({"max_epochs": 2}, True),
        ({"max_epochs": 3, "max_steps": -1}, False),
        ({"max_epochs": None, "max_steps": 6}, True),
        ({"max_epochs": -1, "max_steps": 7}, False),
        ({"max_epochs": -1, "max_time": "00:00:01:00"}, True),
        ({"max_epochs": -1, "max_time": "00:00:01:01"}, False),
    ],
)
def test_the_end_of_a_training(limits: dict[str, Any], ended: bool) -> None:
    fit = {"epoch_progress": {"total": {"started": 2, "processed": 1}}}
    checkpoint = {
        "global_step": 6,
        "loops": {"fit_loop": fit | {"epoch_loop.batch_progress": {"is_last_batch": True}}},
        "callbacks": {"Timer": {"time_elapsed": {"train": 60.0}}},
    }
    assert has_ended(checkpoint, limits) is ended
