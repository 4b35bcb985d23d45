"""Sweeps that run: in turn, by several agents, killed, gone on with, pruned, drawn again."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from scripts.comparison.run import Run
from scripts.resolved_config import resolved_config
from scripts.sweeps.__main__ import main
from scripts.sweeps.journal import open_journal
from scripts.sweeps.sweep_study import SweepStudy
from scripts.sweeps.trial_reporter import TrialReporter
from tests.ddp import context
from tests.scripts.sweeps.test_sweep_file import METRIC, ROOT, sweep_file

RATE = {"model.lr": {"min": 1e-5, "max": 1e-1, "distribution": "log_uniform_values"}}
EPOCHS = 4
TERMINATION = {"type": "hyperband", "min_iter": 1, "eta": 2}


class Training:
    """Stands for `Run.train`: a score a validation, higher for higher rates, reported as by a real run.

    Args:
        ran: Where each training leaves its name, a line each.
        at: Called with the run's name before each validation.
    """

    def __init__(self, ran: Path, at: Callable[[str, int], None] = lambda name, epoch: None) -> None:
        self.ran, self.at = ran, at

    def __call__(
        self, run: Run, minutes: float = 0, callbacks: Sequence[Mapping[str, Any]] = ()
    ) -> dict[str, Any]:
        if (run.directory / "fitted.json").exists():
            return {"global_step": 1}
        with self.ran.open("a") as file:
            file.write(f"{run.arm.name}\n")
        run.directory.mkdir(parents=True, exist_ok=True)
        (callback,) = callbacks
        reporter = TrialReporter(**{k: v for k, v in callback["init_args"].items() if k != "termination"})
        reporter.termination = termination_of(callback)
        checkpoint, rate = run.directory / "checkpoint.json", rate_of(run)
        if checkpoint.exists():
            reporter.load_state_dict(json.loads(checkpoint.read_text()))
        trainer = fake_trainer()
        reporter.on_train_start(trainer, None)  # type: ignore[arg-type]
        for epoch in range(len(reporter.state_dict()["values"]), EPOCHS):
            self.at(run.arm.name, epoch)
            trainer.current_epoch, trainer.callback_metrics = epoch, {METRIC["name"]: rate + epoch}
            reporter.on_validation_end(trainer, None)  # type: ignore[arg-type]
            checkpoint.write_text(json.dumps(reporter.state_dict()))
            if trainer.should_stop:
                break
        (run.directory / "summary.json").write_text(json.dumps({METRIC["name"]: rate + epoch}))
        (run.directory / "fitted.json").touch()
        return {"global_step": epoch + 1, "minutes": 1.0}


def termination_of(callback: Mapping[str, Any]) -> Any:
    from scripts.sweeps.early_termination import EarlyTermination

    given = callback["init_args"]["termination"]
    return None if given is None else EarlyTermination(**given)


def rate_of(run: Run) -> float:
    return float(next(word for word in run.args if word.startswith("--model.lr=")).partition("=")[2])


def fake_trainer() -> Any:
    progress = SimpleNamespace(is_last_batch=True)
    return SimpleNamespace(
        is_global_zero=True, sanity_checking=False, should_stop=False, max_epochs=EPOCHS, max_steps=-1,
        global_step=0, state=SimpleNamespace(fn="fit"),
        strategy=SimpleNamespace(broadcast=lambda value: value),
        fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress)),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds; one test draws them."""
    if "extended" not in request.node.name:
        for picture in ("parallel", "slices", "importance"):
            monkeypatch.setattr(f"scripts.sweeps.results.draw_{picture}", lambda *of: None)


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    monkeypatch.setattr("scripts.sweeps.__main__.resolved_config", lambda *words: {"words": list(words)})
    made = Training(tmp_path / "ran")
    monkeypatch.setattr(Run, "train", lambda self, *args: made(self, *args))
    made.ran.touch()
    return made


def trials_of(out: Path, study: int = -1) -> list[optuna.trial.FrozenTrial]:
    storage = open_journal(out / "study.journal")
    return optuna.load_study(study_name=optuna.get_all_study_names(storage)[study], storage=storage).trials


def told(out: Path) -> list[Any]:
    return [(t.state.name, t.params, t.value, t.intermediate_values) for t in trials_of(out)]


def lines(out: Path) -> list[dict[str, str]]:
    with (out / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid_is_ranked_gone_on_with_and_extended(
    tmp_path: Path, training: Training, capfd: pytest.CaptureFixture[str]
) -> None:
    path, out = sweep_file(tmp_path / "s.yaml"), tmp_path / "out"

    def interrupt(name: str, epoch: int) -> None:
        if name == "lr=0.1, kind=b, n=True":
            raise KeyboardInterrupt

    training.at = interrupt
    with pytest.raises(KeyboardInterrupt):
        main([str(path), f"--out={out}"])
    training.at = lambda name, epoch: None
    main([str(path), f"--out={out}"])
    assert "5 done, 1 to go" not in capfd.readouterr().out
    assert len(training.ran.read_text().splitlines()) == 7  # six rows, one of them twice
    main([str(path), f"--out={out}"])
    assert len(training.ran.read_text().splitlines()) == 7 and len(trials_of(out)) == 6
    assert [row["model.lr"] for row in lines(out)] == ["0.1"] * 3 + ["1e-05"] * 3  # the best first
    assert "6 complete, 0 pruned of 6." in (out / "table.md").read_text()
    for picture in ("parallel", "slices", "importance"):
        assert (out / f"{picture}.png").stat().st_size > 5000 and (
            out / f"{picture}.pdf"
        ).stat().st_size > 1000

    sweep_file(
        path,
        parameters={"model.lr": {"values": [0.1, 0.5]}, "data.kind": {"values": ["a"]}, "n": {"value": True}},
    )
    main([str(path), f"--out={out}"])
    assert training.ran.read_text().splitlines()[7:] == ["lr=0.5, kind=a, n=True"], (
        "the other row has been trained"
    )
    assert [row["model.lr"] for row in lines(out)] == ["0.5", "0.1"]
    said = capfd.readouterr().out
    assert (
        "the sweep has changed since (parameters." in said
        and "[1e-05, 0.1]" not in (out / "table.md").read_text()
    )


def test_a_run_is_called_by_its_values_at_wandb_and_its_callback_is_one_that_the_parser_takes(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_TAGS", "mine")
    seen: dict[str, Any] = {}

    def train(self: Run, minutes: float, callbacks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        seen.update({name: os.environ[name] for name in ("WANDB_RUN_GROUP", "WANDB_NAME", "WANDB_TAGS")})
        seen["callback"] = callbacks[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "train", train)
    parameters = {"model.lr": {"value": 0.1}, "n": {"value": True}}
    path = sweep_file(tmp_path / "s.yaml", parameters=parameters, early_terminate=TERMINATION)
    with pytest.raises(KeyboardInterrupt):
        main([str(path), f"--out={tmp_path / 'out'}"])
    callback = seen.pop("callback")
    assert seen == {
        "WANDB_RUN_GROUP": "out",
        "WANDB_NAME": "lr=0.1, n=True, seed 0",
        "WANDB_TAGS": "mine,s,full,lr=0.1,n=True,seed 0",
    }
    assert os.environ["WANDB_TAGS"] == "mine" and "WANDB_NAME" not in os.environ
    given = ["-c", "configs/pretrain.yaml", f"--trainer.callbacks=[{json.dumps(callback)}]"]
    assert resolved_config("fit", *given)["trainer"]["callbacks"] == [callback]


def test_random_rows_are_those_of_the_file(tmp_path: Path, training: Training) -> None:
    from scripts.sweeps.sweep_file import SweepFile

    kinds = {"data.kind": {"values": ["a", [1, {"b": 2}]], "probabilities": [0.5, 0.5]}}
    path = sweep_file(tmp_path / "s.yaml", method="random", run_cap=5, parameters={**RATE, **kinds})
    main([str(path), f"--out={tmp_path / 'out'}"])
    rows = SweepFile.read(path).rows()
    stored = [
        {"model.lr": row["model.lr"], "data.kind": "a" if row["data.kind"] == "a" else '[1, {"b": 2}]'}
        for row in rows
    ]
    assert [trial.params for trial in trials_of(tmp_path / "out")] == stored
    assert {len(row["data.kind"]) for row in rows} == {1, 2}


def test_bayes_searches_and_prunes_and_a_kill_changes_nothing(tmp_path: Path, training: Training) -> None:
    path = sweep_file(
        tmp_path / "s.yaml", method="bayes", run_cap=16, parameters=RATE, early_terminate=TERMINATION
    )
    main([str(path), f"--out={tmp_path / 'whole'}"])
    whole = told(tmp_path / "whole")
    states = [state for state, *_ in whole]
    assert len(whole) == 16 and set(states) == {"COMPLETE", "PRUNED"} and states.count("PRUNED") >= 4
    rates = [params["model.lr"] for _, params, *_ in whole]
    assert sum(rate > 0.01 for rate in rates[8:]) > sum(rate > 0.01 for rate in rates[:4]), (
        "it finds what is good"
    )
    assert len(list((tmp_path / "whole" / "runs").glob("*/fitted.json"))) == states.count("COMPLETE")
    ended = [row["end"] for row in lines(tmp_path / "whole")]
    assert ended == sorted(
        ended, key=lambda end: (end != "complete", -int(end.rpartition(" ")[2]) if "after" in end else 0)
    )
    trained = len(training.ran.read_text().splitlines())

    def kill(name: str, epoch: int) -> None:
        flag = tmp_path / f"killed {name}"
        if epoch == 1 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    training.at = kill
    killed = 0
    while True:  # each run that comes to its second validation is killed there once
        child = context().Process(target=main, args=([str(path), f"--out={tmp_path / 'killed'}"],))
        child.start()
        child.join(60)
        if child.exitcode == 0:
            break
        killed += 1
        assert child.exitcode == -signal.SIGKILL and killed < 17
    assert killed >= 4 and told(tmp_path / "killed") == whole
    assert len(training.ran.read_text().splitlines()) == 2 * trained + killed, (
        "each goes on, none is counted twice"
    )


def test_agents_share_a_sweep(tmp_path: Path, training: Training) -> None:
    path = sweep_file(tmp_path / "s.yaml", method="bayes", run_cap=12, parameters=RATE)
    out = tmp_path / "out"
    meet = context().Barrier(3)

    def at(name: str, epoch: int) -> None:
        if not (tmp_path / f"met {os.getpid()}").exists():  # each has a run before any ends one
            (tmp_path / f"met {os.getpid()}").touch()
            meet.wait(60)

    training.at = at
    agents = [context().Process(target=main, args=([str(path), f"--out={out}"],)) for _ in range(3)]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join(120)
    assert [agent.exitcode for agent in agents] == [0, 0, 0]
    trials = trials_of(out)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 12
    assert len({trial.params["model.lr"] for trial in trials}) == 12
    assert sorted(training.ran.read_text().splitlines()) == sorted(
        {f"lr={t.params['model.lr']}" for t in trials}
    )


def test_what_fails_is_named_and_tried_again_the_next_time(
    tmp_path: Path, training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = (
        sweep_file(tmp_path / "s.yaml", parameters={"model.lr": {"values": [0.1, 0.2, 0.3]}}),
        tmp_path / "out",
    )

    def at(name: str, epoch: int) -> None:
        if name == "lr=0.2":
            raise RuntimeError("out of memory")

    training.at = at
    with pytest.raises(SystemExit, match=r"failed: run 1: RuntimeError: out of memory"):
        main([str(path), f"--out={out}"])
    assert [row["run"] for row in lines(out)] == ["2", "0"]
    assert "2 complete, 0 pruned of 3." in (table := (out / "table.md").read_text())
    assert "run 1: failed (RuntimeError: out of memory)" in table
    training.at = lambda name, epoch: None
    main([str(path), f"--out={out}"])
    assert len(lines(out)) == 3 and "failed" not in (out / "table.md").read_text()


def test_a_run_without_a_finite_figure_is_failed_and_not_trained_again(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = (
        sweep_file(tmp_path / "s.yaml", parameters={"model.lr": {"values": [0.1, 0.2]}}),
        tmp_path / "out",
    )
    trained = Training.__call__

    def without(self: Training, run: Run, *args: Any) -> dict[str, Any]:
        facts = trained(self, run, *args)
        if rate_of(run) == 0.2:
            (run.directory / "summary.json").write_text(json.dumps({METRIC["name"]: None}))
        return facts

    monkeypatch.setattr(Training, "__call__", without)
    for _ in range(2):
        with pytest.raises(
            SystemExit, match=r"failed: run 1: val/zero_shot/auroc_macro is no number in .*summary\.json"
        ):
            main([str(path), f"--out={out}"])
    assert len(training.ran.read_text().splitlines()) == 2


def test_a_run_that_another_agent_ends_in_between_is_left_alone(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = sweep_file(tmp_path / "s.yaml", method="bayes", run_cap=2, parameters=RATE), tmp_path / "out"

    def interrupt(name: str, epoch: int) -> None:
        raise KeyboardInterrupt

    training.at = interrupt
    with pytest.raises(KeyboardInterrupt):
        main([str(path), f"--out={out}"])
    training.at, again = lambda name, epoch: None, SweepStudy.again

    def ended(self: SweepStudy, frozen: optuna.trial.FrozenTrial) -> optuna.Trial:
        trial = again(self, frozen)
        self.study.tell(frozen.number, 5.0)
        return trial

    monkeypatch.setattr(SweepStudy, "again", ended)
    main([str(path), f"--out={out}"])
    assert [trial.state.name for trial in trials_of(out)] == ["COMPLETE"] * 2
    assert trials_of(out)[0].value == 5 and len(lines(out)) == 2


def test_a_choice_that_a_kill_has_cut_off_is_made_again(tmp_path: Path, training: Training) -> None:
    path = sweep_file(
        tmp_path / "s.yaml", parameters={"model.lr": {"values": [0.1, 0.2]}, "data.kind": {"value": "a"}}
    )
    main([str(path), f"--out={tmp_path / 'whole'}"])
    entries = (tmp_path / "whole" / "study.journal").read_text().splitlines(keepends=True)
    chosen = [k for k, entry in enumerate(entries) if '"param_name":"model.lr"' in entry]
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "study.journal").write_text(
        "".join(entries[: chosen[1]])
    )  # the second run has no values yet
    main([str(path), f"--out={tmp_path / 'cut'}"])
    assert told(tmp_path / "cut") == told(tmp_path / "whole")


def test_a_study_that_is_damaged_is_named(tmp_path: Path, training: Training) -> None:
    path, out = sweep_file(tmp_path / "s.yaml"), tmp_path / "out"
    out.mkdir()
    (out / "study.journal").write_text("no journal\n{}\n")
    with pytest.raises(
        ValueError, match=r"study\.journal cannot be read .* put back a copy of it, or move it away"
    ):
        main([str(path), f"--out={out}"])
    with pytest.raises(FileNotFoundError, match=r"study\.journal: no such file; run the sweep first"):
        main([str(path), f"--out={tmp_path}", "--draw"])


@pytest.mark.parametrize(("name", "place"), [("temperature", "temperature"), ("search", "search-tiny")])
def test_a_committed_sweep_is_drawn_again(name: str, place: str, tmp_path: Path) -> None:
    committed = ROOT / "results" / place
    shutil.copyfile(committed / "study.journal", tmp_path / "study.journal")
    main([str(ROOT / "configs/sweeps" / f"{name}.yaml"), f"--out={tmp_path}", "--draw"])
    for suffix in ("md", "csv", "tex"):
        assert (tmp_path / f"table.{suffix}").read_text() == (committed / f"table.{suffix}").read_text()
