"""Comparisons that run: shared by processes, killed, gone on with, drawn again."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback

from callbacks import PairGallery
from scripts.comparison import engine
from scripts.comparison.__main__ import compare, main, parse, plan_of
from scripts.comparison.engine import Plan, carry_out
from scripts.comparison.fit import takes_several
from scripts.comparison.reader import read_comparison
from scripts.comparison.record import Record, RunRecord
from scripts.comparison.report import write_report
from scripts.comparison.run import Run
from tests.ddp import context

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> Iterator[None]:
    """Paths in YAML are those of a checkout."""
    os.chdir(ROOT)
    return None


def shipped(name: str, arms: list[str], path: Path, overrides: dict[str, Any] | None = None) -> str:
    """Write some arms of a shipped comparison as a comparison of their own: each takes seconds to parse."""
    content = yaml.safe_load((ROOT / "configs" / "comparisons" / f"{name}.yaml").read_text())
    content |= {"arms": {arm: content["arms"][arm] for arm in arms}, "reference": arms[0], "contrasts": []}
    for stage in ("train", "test") if overrides else ():
        content[stage]["overrides"] |= overrides
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


@pytest.mark.timeout(300)
def test_objectives_are_compared_at_smoke_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arm with the most inputs and one with layers of its own stand for all; sheets are not drawn."""
    for hook in ("train_batch_end", "validation_epoch_end", "train_end", "test_epoch_end", "fit_end"):
        monkeypatch.setattr(PairGallery, f"on_{hook}", getattr(Callback, f"on_{hook}"))
    monkeypatch.setattr("callbacks.base.evaluation.save_picture", lambda *of: None)
    small = {"model.init_args.image_encoder.init_args.image_size": 64}  # most of the time goes into images
    path = shipped("objectives", ["gloria", "twins"], tmp_path / "two.yaml", small)
    out = tmp_path / "out"
    main([path, "--scale=smoke", f"--out={out}", f"--cache={tmp_path / 'cache'}"])
    with (out / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row.pop("arm") for row in rows] == ["gloria", "twins"]
    assert all("[" in cell for row in rows for cell in row.values()), "with intervals"
    with (out / "differences.csv").open(newline="") as file:
        assert {row["paired"] for row in csv.DictReader(file)} == {"yes"}
    names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    tables = {f"{stem}.{suffix}" for stem in ("table", "differences") for suffix in ("md", "csv", "tex")}
    others = {"runs", "runs.csv", "draws", "summary.csv", "forest.png", "forest.pdf", "report.html"}
    assert names == tables | others
    one, other = Record(out / "runs.csv").read()
    assert one.facts.keys() >= {"steps", "samples", "minutes", "threads", "date", "split_sha256"}
    assert (one.facts["steps"], one.facts["precision"]) == ("2", "32-true")
    assert one.facts["split_sha256"] == other.facts["split_sha256"]


# ------------------------------------------------------------------------------ killed and gone on with
def tiny(path: Path, directory: Path, kill: bool) -> str:
    """Two arms whose training takes seconds; with ``kill`` the first dies once, in its third step of four."""
    callbacks: list[dict[str, Any]] = [
        {"class_path": "callbacks.FeatureCollector"},
        {"class_path": "callbacks.Retrieval", "init_args": {"resamples": 20}},
        {"class_path": "callbacks.ZeroShot", "init_args": {"resamples": 20}},
        {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"save_last": True}},
        {"class_path": "callbacks.RunSummary"},
    ]
    killer = "tests.scripts.comparison.kill_at.KillAt"
    arguments = {"flag": str(directory / "killed"), "point": "on_train_batch_end", "step": 3}
    dying = [*callbacks, {"class_path": killer, "init_args": arguments}] if kill else callbacks
    content = {
        "title": "Tiny",
        "question": "Does it go on?",
        "base": ["configs/pretrain.yaml", "configs/recipes/smoke.yaml"],
        "train": {
            "overrides": {
                "trainer.callbacks": callbacks,
                "trainer.logger": False,
                "trainer.enable_progress_bar": False,
                "model.init_args.image_encoder.init_args.dropout": 0.1,
                "model.init_args.image_encoder.init_args.image_size": 64,
                "data.init_args.artifacts_dir": str(directory / "artifacts"),
                "data.init_args.cache_dir": "{cache}",
            }
        },
        "arms": {
            "a": {"scales": {"full": {"overrides": {"trainer.callbacks": dying}}}},
            "b": {"overrides": {"model.init_args.learning_rate": 0.01}},
        },
        "reference": "b",
        "scales": {"full": {}},
        "test": {
            "overrides": {
                "trainer.callbacks": callbacks,
                "trainer.logger": False,
                "trainer.enable_progress_bar": False,
                "model.init_args.image_encoder.init_args.image_size": 64,
            }
        },
        "metrics": {"R@10": "test/retrieval/i2t_hit@10", "AUROC": "test/zero_shot/auroc_macro"},
        "note": "{seeds}, {steps} steps.",
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


@pytest.mark.timeout(300)
def test_an_arm_that_is_killed_goes_on_where_it_was_and_ends_the_same(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dying = tiny(tmp_path / "dying.yaml", tmp_path, kill=True)
    given = [f"--cache={tmp_path / 'cache'}", "--minutes=0"]
    words = [dying, f"--out={tmp_path / 'dying'}", *given]

    def process(*more: str) -> Any:
        started = context().Process(target=main, args=([*words, *more],))
        started.start()
        return started

    killed = process("--arms", "a")
    killed.join(120)
    assert killed.exitcode == -9 and (tmp_path / "killed").exists()
    capfd.readouterr()
    other_process = process()
    main(words)
    other_process.join(200)
    said = capfd.readouterr().out
    assert other_process.exitcode == 0, said
    for once in ("a, seed 0: going on from", "b, seed 0: training in", "a, seed 0: measuring"):
        assert said.count(once) == 1, f"shared, not done twice: {said}"

    straight = tiny(tmp_path / "straight.yaml", tmp_path, kill=False)
    (tmp_path / "straight").mkdir()
    Record(tmp_path / "straight" / "runs.csv").add(Record(tmp_path / "dying" / "runs.csv").read()[1])
    main([straight, f"--out={tmp_path / 'straight'}", *given, "--arms", "a"])
    weights = [
        torch.load(tmp_path / name / "runs" / "a-0" / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("dying", "straight")
    ]
    assert weights[0]["global_step"] == weights[1]["global_step"] == 4
    for key, value in weights[0]["state_dict"].items():
        assert torch.equal(value, weights[1]["state_dict"][key]), key
    one, other = (Record(tmp_path / name / "runs.csv").read() for name in ("dying", "straight"))
    assert [run.figures for run in one] == [run.figures for run in other]
    assert (tmp_path / "dying" / "table.md").read_text() == (tmp_path / "straight" / "table.md").read_text()
    assert one[0].facts["samples"] == other[0].facts["samples"] == "64"

    out, stamp = (
        tmp_path / "straight",
        (tmp_path / "straight" / "runs" / "a-0" / "fitted.json").stat().st_mtime_ns,
    )
    content = yaml.safe_load(Path(straight).read_text())
    tested = content["test"]["overrides"]
    more = {"class_path": "callbacks.EmbeddingGeometry"}
    tested["trainer.callbacks"] = [tested["trainer.callbacks"][0], more, *tested["trainer.callbacks"][1:]]
    content["metrics"]["alignment"] = "test/geometry/alignment"
    Path(straight).write_text(yaml.safe_dump(content, sort_keys=False))
    Record(out / "runs.csv").add(replace(other[0], seed=1))  # of another machine
    main([straight, f"--out={out}", *given, "--arms", "a"])
    table = (out / "table.md").read_text()
    assert (out / "runs" / "a-0" / "fitted.json").stat().st_mtime_ns == stamp, (
        "tested again, not trained again"
    )
    assert "Missing: a, seed 1: no alignment; b, seed 1: not run; b, seed 0: no alignment." in table
    again = Record(out / "runs.csv").read()[0]
    assert (
        again.figures.items() > other[0].figures.items() and again.figures["test/geometry/alignment"][0] > 0
    )

    plan = Plan(read_comparison(straight), "full", out, cache=tmp_path / "cache")
    run = plan.run(
        plan.comparison.arms["a"], 0
    )  # killed when its last checkpoint was written, but not its figures
    (run.directory / "fitted.json").unlink()
    last = run.last_checkpoint.read_bytes()
    assert run._checkpoint_to_go_on_from() is None, "the end is trained again, from the start if need be"
    assert not run.last_checkpoint.exists()
    run.last_checkpoint.parent.mkdir(exist_ok=True)
    run.last_checkpoint.write_bytes(last)
    longer = replace(run, args=(*run.args, "--trainer.max_epochs=9"))
    assert longer._checkpoint_to_go_on_from() is not None

    shutil.rmtree(out / "runs")
    main([straight, f"--out={out}", "--arms"])
    assert (out / "table.md").read_text() == table and not (out / "runs").exists(), "drawn from the record"


# --------------------------------------------------------------------------------------------- who does what
@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs, in the order in which they were trained; nothing is trained in truth."""
    done: list[str] = []

    def train(self: Run, minutes: float = 0.0) -> dict[str, Any]:
        if self.arm.name == "broken" and not (self.directory / "summary.json").exists():
            raise RuntimeError("loss is NaN\nin step 3")
        if not (self.directory / "summary.json").exists():
            done.append(self.name)
            self.directory.mkdir(parents=True)
            details = {"test/x": {"intervals": {"y": [0.1, 0.9]}, "split_sha256": "ab"}}
            figures = {"test/x/y": 0.5 + 0.1 * self.seed, "details": details}
            (self.directory / "summary.json").write_text(json.dumps(figures))
        return {"global_step": 7, "date": "2026-01-01"}

    monkeypatch.setattr(Run, "train", train)
    monkeypatch.setattr(Run, "config", lambda self: {"trainer": {"precision": None}, "args": list(self.args)})
    return done


def plan(tmp_path: Path, arms: dict[str, Any], **changes: Any) -> Plan:
    content = {
        "title": "Stubs",
        "question": "Who does what?",
        "arms": arms,
        "reference": next(iter(arms)),
        "scales": {"full": {}},
        "measures": {"test": {"class_path": "scripts.comparison.measure.TrainingSummary"}},
        "metrics": {"y": "test/x/y"},
        "note": "{seeds}.",
        **changes,
    }
    (tmp_path / "stubs.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return Plan(read_comparison(str(tmp_path / "stubs.yaml")), "full", tmp_path / "out", seeds=(0, 1))


def test_what_another_process_has_claimed_is_left_to_it(
    tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = plan(tmp_path, {"a": {}, "b": {}})
    runs = asked.out / "runs"
    runs.mkdir(parents=True)
    code = "import sys; from pathlib import Path; from synthesis.files import locked\n"
    code += "with locked(Path(sys.argv[1]), '.a-0.lock'): print('held', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(runs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(list(trained))
        holder.kill()
        holder.wait()

    monkeypatch.setattr(engine.time, "sleep", sleep)
    assert carry_out(asked) == {}
    assert waits == [["b, seed 0", "a, seed 1", "b, seed 1"]], "all else first, then it is waited for"
    assert trained == ["b, seed 0", "a, seed 1", "b, seed 1", "a, seed 0"]
    assert len(asked.record.read()) == 4
    carry_out(asked)
    assert len(trained) == 4, "what has finished is not done again"


def test_a_failing_arm_is_named_and_the_others_run(tmp_path: Path, trained: list[str]) -> None:
    asked = plan(tmp_path, {"a": {}, "broken": {"label": "Broken one"}, "c": {}})
    with pytest.raises(SystemExit, match=r"failed: broken, seed 0: RuntimeError: loss is NaN in step 3; bro"):
        compare(asked)
    table = (asked.out / "table.md").read_text()
    assert "| Broken one | — |" in table and "| c | 0.550 ± 0.071 [0.100, 0.900] |" in table
    assert "Missing: broken, seed 0: failed (RuntimeError: loss is NaN in step 3)" in table
    assert trained == ["a, seed 0", "c, seed 0", "a, seed 1", "c, seed 1"]


def test_an_arm_waits_for_the_runs_that_it_needs(tmp_path: Path, trained: list[str]) -> None:
    overrides = {"x": "{run:first}/export", "y": "{arm}-{seed}"}
    arms = {"a": {"overrides": overrides}, "b": {"overrides": {"z": "{run:a}"}}}
    asked = plan(tmp_path, arms, stages={"first": {"base": False, "overrides": {"w": 1}}})
    carry_out(asked)
    assert trained == [f"{name}, seed {seed}" for seed in (0, 1) for name in ("first", "a", "b")]
    runs = asked.out / "runs"
    a, b = asked.wanted()[:2]
    assert a.args == (f"--x={runs / 'first-0'}/export", "--y=a-0", "--seed_everything=0")
    assert b.args[0] == f"--z={runs / 'a-0'}"
    assert [run.arm for run in asked.record.read()] == ["a", "a", "b", "b"], (
        "stages are no lines of the table"
    )


def test_runs_that_were_not_trained_or_tested_alike_are_refused(tmp_path: Path, trained: list[str]) -> None:
    asked = plan(tmp_path, {"a": {}, "b": {}})
    carry_out(asked)
    known = asked.record.read()[0]
    for facts, complaint in (({"steps": "8"}, "number of steps"), ({"split_sha256": "cd"}, "test split")):
        asked.record.add(RunRecord(known.arm, known.seed, {**known.facts, **facts}, known.figures))
        with pytest.raises(ValueError, match=rf"runs\.csv: the runs differ in {complaint}.*'b, seed 0'"):
            write_report(asked)


def test_steps_are_compared_once_for_arms_that_train_twice_as_long(tmp_path: Path) -> None:
    comparison = read_comparison("paper")
    plan = Plan(comparison, "smoke", tmp_path)
    steps = {"hospital": "1000", "hospital_twice": "2000", "fine_tuned": "1000"}
    runs = [RunRecord(arm, 0, {"steps": taken}, {}) for arm, taken in steps.items()]
    engine.check_alike(plan, runs)
    short = RunRecord("both_epochs", 0, {"steps": "1000"}, {})
    with pytest.raises(ValueError, match=r"differ in number of steps.*'both_epochs, seed 0': '500'"):
        engine.check_alike(plan, [*runs, short])


@pytest.mark.parametrize(
    ("trainer", "several"),
    [({"devices": 1}, False), ({"devices": "auto"}, True), ({"devices": 8}, True), ({"devices": -1}, True),
     ({"devices": [0]}, False), ({"devices": [0, 1]}, True), ({"devices": 1, "num_nodes": 2}, True)],
)  # fmt: skip
def test_what_may_take_several_devices_is_known_before(trainer: dict[str, Any], several: bool) -> None:
    assert takes_several({"trainer": trainer}) == several


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_training_on_several_devices_is_a_process_of_its_own(tmp_path: Path) -> None:
    """Lightning starts the other ranks by the command line: not by that of the comparison."""
    path = tiny(tmp_path / "two.yaml", tmp_path, kill=False)
    content = yaml.safe_load(Path(path).read_text())
    over = {"trainer.accelerator": "cpu", "trainer.devices": 2, "trainer.strategy": "ddp"}
    over["data.init_args.loader.batch_size"] = 8
    content["scales"] = {"full": {"overrides": over}}
    Path(path).write_text(yaml.safe_dump(content, sort_keys=False))
    out = tmp_path / "out"
    words = [path, f"--out={out}", f"--cache={tmp_path / 'cache'}", "--arms", "b"]
    command = [sys.executable, "-m", "scripts.comparison", *words]
    subprocess.run(command, check=True, timeout=800)
    (run,) = Record(out / "runs.csv").read()
    assert (run.facts["steps"], run.facts["samples"]) == ("4", "64"), "steps of twice 8"
    assert len(run.figures) == 2 and (out / "runs" / "b-0" / "tokenizer").is_dir()
    assert not list((out / "runs" / "b-0").glob("fit.json"))


# -------------------------------------------------------------------------------------------------- committed
@pytest.mark.parametrize("name", ["objectives"])
def test_committed_results_are_drawn_again_without_runs(name: str, tmp_path: Path) -> None:
    committed = ROOT / "results" / name
    for file in ("runs.csv", "summary.csv", "table.md"):
        if (committed / file).exists():
            shutil.copyfile(committed / file, tmp_path / file)
    main([name, "--arms", f"--out={tmp_path}"])
    for file in ("table.md", "table.csv", "summary.csv"):
        assert (tmp_path / file).read_text() == (committed / file).read_text()
    assert (tmp_path / "forest.png").stat().st_size > 10_000


def test_changes_of_every_arm_need_a_directory_of_their_own() -> None:
    comparison = read_comparison("paper")
    with pytest.raises(SystemExit, match="give --out"):
        plan_of(comparison, parse(["paper", "--set", "trainer.max_epochs=1"]))
    asked = plan_of(comparison, parse(["paper", "--set", "trainer.max_epochs=1", "--out=x", "--scale=smoke"]))
    assert asked.overrides == {"trainer.max_epochs": 1} and asked.all_seeds == (0,)
    assert plan_of(comparison, parse(["paper", "--scale=smoke"])).out == Path("results/paper-smoke")
    given = parse(["generators", "--var", "encoder=a", "--var", "time=1", "reader=b"])
    assert given.var == ["encoder=a", "time=1", "reader=b"], "make writes one --var, ARGS another"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_anatomies_are_compared_on_atlases_of_ones_own(tmp_path: Path) -> None:
    """The arms of one atlas, and of both with factors, stand for all; each is tested on both."""
    from scripts.simulator.build_atlas import main as build
    from tests.chest_phantom import chest, save_nifti

    for name, (scan, labels) in {"a": chest(), "b": chest(heart=1.2)}.items():
        given = [f"--ct={save_nifti(tmp_path / f'{name}.nii', scan)}", f"--out={tmp_path / name}.npz"]
        labelled = f"--segmentation={save_nifti(tmp_path / f'{name}_labels.nii', labels)}"
        build([*given, labelled, "--poses=2", "--spacing=5"])
    path = shipped("anatomies", ["a", "both_factors"], tmp_path / "two.yaml")
    atlases = [f"a={tmp_path / 'a.npz'}", f"b={tmp_path / 'b.npz'}"]
    main([path, "--scale=smoke", f"--out={tmp_path / 'out'}", f"--cache={tmp_path}", "--var", *atlases])
    with (tmp_path / "out" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["arm"] for row in rows] == ["A", "A + B, factors"]
    for row in rows:
        assert row["zero-shot AUROC on A"] and row["zero-shot AUROC on A"] != row["zero-shot AUROC on B"]
