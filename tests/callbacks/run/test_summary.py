from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from lightning.pytorch.callbacks import RichProgressBar, Timer
from PIL import Image
from torch import nn

from callbacks import RunSummary
from callbacks.run.summary import git_commit, versions
from callbacks.run.summary_file import architecture, merged, read_supervised
from callbacks.run.summary_table import (
    concept_table,
    figure_table,
    methods_of,
    notes,
    stages_of,
    strata_table,
)
from callbacks.statistics.concept_scores import score_concepts
from lightning_modules import ViTEncoder


def strict(path: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory) -> Path:
    """A fit and then a test in the same directory."""
    directory = tmp_path_factory.mktemp("run")
    model, data = tiny.Model(), tiny.Data(n=60)
    tiny.trainer(directory).fit(model, data)
    tiny.trainer(directory).test(model, data)
    return directory


def test_stages_are_merged_and_details_stand_beside_the_figures(finished) -> None:
    summary = strict(finished / "summary.json")
    details = summary.pop("details")
    for stage in ("val", "test"):
        for name in (
            "probe/auroc_macro",
            "zero_shot/auroc/edema",
            "retrieval/i2t_hit@10",
            "geometry/alignment",
        ):
            assert isinstance(summary[f"{stage}/{name}"], float)
        for callback in ("probe", "zero_shot", "retrieval", "geometry"):
            assert details[f"{stage}/{callback}"]["n"] == 60
            assert details[f"{stage}/{callback}"]["split_sha256"] == f"hash of {stage}"
        assert "hernia" in details[f"{stage}/probe"]["absent_classes"]
        assert len(details[f"{stage}/zero_shot"]["prompts_sha256"]) == 64
        low, high = details[f"{stage}/probe"]["intervals"]["auroc_macro"]
        assert low < summary[f"{stage}/probe/auroc_macro"] < high
    assert {"test/probe/random_init/auroc_macro", "test/probe/minus_pixels", "train/loss"} <= summary.keys()
    assert not any("random_init" in key for key in summary if key.startswith("val/"))
    assert all(key.count("/") >= 1 for key in summary)


def test_the_circumstances_of_the_run_are_recorded(finished) -> None:
    details = strict(finished / "summary.json")["details"]
    fit = details["fit/run"]
    assert (fit["samples_seen"], fit["optimiser_steps"], fit["epochs"]) == (120, 6, 2)
    assert 0 < fit["seconds"] < 120 and fit["versions"]["torch"] and fit["world_size"] == 1
    assert "samples_seen" not in details["test/run"]


def test_a_table_and_a_picture_are_left(finished) -> None:
    text = (finished / "table.md").read_text()
    assert "**val: AUROC" in text and "**test: AUROC" in text and "| gain over random init |" in text
    assert len(set(line.count("|") for line in text.split("\n\n")[1].splitlines())) == 1
    with Image.open(finished / "concepts.png") as picture:
        assert np.asarray(picture.convert("L"), float).std() > 5
    assert sorted(path.name for path in finished.iterdir() if path.name.startswith(".")) == []


def test_validating_writes_and_prints_too(tiny, tmp_path, capsys) -> None:
    tiny.trainer(tmp_path).validate(tiny.Model(), tiny.Data(n=40))
    assert {key.split("/")[0] for key in strict(tmp_path / "summary.json") if key != "details"} == {"val"}
    printed = capsys.readouterr().out
    assert "val: AUROC with 95 % intervals, n = 40" in printed and "mean of 3" in printed
    assert "Validate metric" not in printed  # Lightning's own list of everything


def test_the_tables_come_after_the_last_line_of_the_progress_bar(tiny, tmp_path, capsys) -> None:
    class Bar(RichProgressBar):
        def teardown(self, *args: object, **kwargs: object) -> None:
            super().teardown(*args, **kwargs)
            print("the bar is done")

    callbacks = [Bar(), *tiny.everything()]
    tiny.trainer(tmp_path, callbacks=callbacks, enable_progress_bar=True).fit(tiny.Model(), tiny.Data(n=40))
    before, after = capsys.readouterr().out.split("the bar is done")
    assert "val: AUROC" in after and "val: AUROC" not in before


def test_the_summary_is_there_after_the_first_epoch(tiny, tmp_path) -> None:
    class Killed(Exception):
        pass

    class Model(tiny.Model):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 1:
                raise Killed

    with pytest.raises(Killed):
        tiny.trainer(tmp_path).fit(Model(), tiny.Data(n=40))
    assert strict(tmp_path / "summary.json")["details"]["fit/run"]["optimiser_steps"] == 2


def test_counts_go_on_after_a_resume() -> None:
    first, second = RunSummary(), RunSummary()
    first._samples = 320
    second.load_state_dict(first.state_dict())
    assert second.state_dict()["samples"] == 320
    assert second.state_dict()["seconds"] >= first._seconds


def test_a_stage_replaces_what_it_left_before_and_leaves_the_rest(tmp_path) -> None:
    path = tmp_path / "summary.json"
    old = {
        "val/probe/old": 1.0,
        "test/probe/auroc_macro": 0.7,
        "details": {"val/probe": {}, "test/probe": {"n": 1}},
    }
    path.write_text(json.dumps(old))
    new = merged(
        path, {"val/loss": float("nan"), "details": {"val/zero_shot": {"x": [float("inf")]}}}, ("val",)
    )
    assert new == {
        "test/probe/auroc_macro": 0.7,
        "val/loss": None,
        "details": {"test/probe": {"n": 1}, "val/zero_shot": {"x": [None]}},
    }


def test_an_unreadable_summary_is_put_aside_and_named(tmp_path) -> None:
    path = tmp_path / "summary.json"
    path.write_text('{"val/loss": ')
    with pytest.warns(UserWarning, match=r"summary.json was no JSON .*summary.json.unreadable"):
        assert merged(path, {"val/loss": 1.0, "details": {}}, ("val",)) == {"val/loss": 1.0, "details": {}}
    assert (tmp_path / "summary.json.unreadable").read_text() == '{"val/loss": '


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        ("[1]", "holds a list"),
        ('{"edema": 1.2}', "'edema': 1.2"),
        ("{", "give a JSON"),
    ],
)
def test_a_wrong_file_of_the_supervised_tower_is_refused_at_once(tmp_path, content, message) -> None:
    path = tmp_path / "supervised.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        RunSummary(str(path))


def test_the_supervised_tower_stands_beside_the_figures_with_its_looks(tiny, tmp_path) -> None:
    path = tmp_path / "96px.json"
    path.write_text('{"cardiomegaly": 0.9, "edema": 0.8, "fracture": 1}')
    assert read_supervised(path) == {"auroc": {"cardiomegaly": 0.9, "edema": 0.8, "fracture": 1.0}}
    (tmp_path / "96px_run.json").write_text('{"pictures": 36000, "passes": 3}')
    assert read_supervised(path)["looks"] == 108_000
    chosen = [*tiny.everything()[:-1], RunSummary(str(path))]
    made, real = tiny.Data(n=40), tiny.Data(n=40)
    made.made = True  # it was measured on made pairs
    tiny.trainer(tmp_path / "real", callbacks=chosen).test(tiny.Model(), real)
    assert concept_table(strict(tmp_path / "real" / "summary.json"), "test").columns[-1] == "probe"
    tiny.trainer(tmp_path, callbacks=chosen).test(tiny.Model(), made)
    table = concept_table(strict(tmp_path / "summary.json"), "test")
    assert table.columns[-1] == "supervised, 108k looks"
    assert [row[-1] for row in table.rows[:5]] == ["0.900", "0.800", "1.000", "–", "0.900"]


def test_the_supervised_tower_of_a_folder_is_one_of_the_same_make(tiny, tmp_path) -> None:
    """A figure of another tower of the same image size is no comparison."""
    small, other = (ViTEncoder(image_size=32, patch_size=16, width=w, layers=1, heads=2) for w in (8, 16))
    (tmp_path / "32px.json").write_text('{"edema": 0.8}')
    told = {"pictures": 36000, "passes": 3, "architecture": architecture(small)}
    (tmp_path / "32px_run.json").write_text(json.dumps(told))
    summary = RunSummary(str(tmp_path))
    trainer = tiny.trainer(tmp_path / "run", callbacks=[summary])
    for tower, found in ((small, {"edema": 0.8}), (other, None), (nn.Linear(2, 2), None)):
        summary.setup(trainer, SimpleNamespace(image_encoder=tower), "test")
        assert (summary.supervised or {}).get("auroc") == found
    projected = ViTEncoder(image_size=32, patch_size=16, width=8, layers=1, heads=2, projection_dim=4)
    assert architecture(projected) == architecture(small), "the projection is no part of what is supervised"


def test_the_shipped_figures_are_of_the_tower_of_the_default_recipe() -> None:
    config = yaml.safe_load(Path("configs/pretrain.yaml").read_text())
    given = config["model"]["init_args"]["image_encoder"]["init_args"]
    told = json.loads(Path("results/supervised/128px_run.json").read_text())
    assert told["architecture"] == architecture(ViTEncoder(**given))


def test_tables_of_a_summary_by_hand() -> None:
    summary = {
        "val/probe/auroc/edema": 0.8123,
        "val/probe/auroc_macro": 0.8123,
        "val/probe/PA/auroc_macro": 0.7,
        "val/probe/PA/minus_pixels": 0.1,
        "val/retrieval/i2t_hit@10": 0.25,
        "val/retrieval/i2t_hit@5": 0.125,
        "val/retrieval/i2t_median_rank": 12.0,
        "val/loss": 3.0,
        "details": {
            "val/probe": {
                "n": 50,
                "positives": {"edema": 20, "mass": 1, "hernia": 0},
                "negatives": {"edema": 30, "mass": 49, "hernia": 0},
                "absent_classes": {"mass": "1 positive", "hernia": "0 positive"},
                "intervals": {"auroc_macro": [0.7, 0.9]},
                "strata": {
                    "PA": {"positives": {"edema": 9, "mass": 0}, "absent_classes": {"mass": "0 positive"}}
                },
            }
        },
    }
    assert stages_of(summary) == ["val"] and methods_of(summary, "val") == ["probe"]
    table = concept_table(summary, "val")
    assert table.rows == [
        ["edema", "20", "0.812"],
        ["mass", "1", "–"],
        ["mean of 1", "", "0.812 [0.700, 0.900]"],
        ["PA: mean of 1", "", "0.700"],
        ["PA: gain over pixels", "", "0.100"],
    ]
    assert [row for row in figure_table(summary, "val").rows] == [
        ["retrieval/i2t_hit@5", "0.125"],
        ["retrieval/i2t_hit@10", "0.250"],
        ["retrieval/i2t_median_rank", "12.0"],
        ["loss", "3.000"],
    ]
    assert (
        concept_table({"val/loss": 1.0}, "val") is None and figure_table({"train/loss": 1.0}, "val") is None
    )


def test_views_are_shown_over_the_same_classes_and_strata_by_concept() -> None:
    counts = {
        "positives": {"edema": 20, "mass": 15},
        "negatives": {"edema": 5, "mass": 9},
        "absent_classes": {},
    }
    pa = {**counts, "absent_classes": {"mass": "2 positive"}}
    figures = {
        "auroc/edema": 0.8, "auroc/mass": 0.6, "auroc_macro": 0.7, "auroc_macro_both_views": 0.8,
        "auroc_macro_findings": 0.65, "PA/auroc/edema": 0.75, "PA/auroc_macro": 0.75,
        "PA/auroc_macro_both_views": 0.75, "AP/auroc/edema": 0.7, "AP/auroc/mass": 0.5, "AP/auroc_macro": 0.6,
        "AP/auroc_macro_both_views": 0.7,
    }  # fmt: skip
    details = {
        **counts, "n": 40, "strata": {"PA": pa, "AP": counts}, "both_views": ["edema"],
        "findings": [["edema"], ["mass"]],
    }  # fmt: skip
    summary = {f"val/probe/{name}": value for name, value in figures.items()}
    summary["details"] = {"val/probe": details}
    assert concept_table(summary, "val").rows[2:] == [
        ["mean of 2", "", "0.700"],
        ["mean of 2 distinct findings", "", "0.650"],
        ["mean of the same 1", "", "0.800"],
        ["PA: mean of the same 1", "", "0.750"],
        ["AP: mean of the same 1", "", "0.700"],
    ]
    table = strata_table(summary, "val")
    assert table.columns == ["concept", "PA: positive", "PA: probe", "AP: positive", "AP: probe"]
    assert table.rows == [["edema", "20", "0.750", "20", "0.700"], ["mass", "15", "–", "15", "0.500"]]


def test_a_fit_that_time_has_cut_says_so(tiny, tmp_path, capsys) -> None:
    class Slow(Timer):
        """A limit that has passed after five steps of eight."""

        def time_elapsed(self, stage: str = "train") -> float:
            return float(steps.global_step) if steps is not None else 0.0

    steps = None
    callbacks = [*tiny.everything(), Slow(duration={"seconds": 5})]
    steps = tiny.trainer(tmp_path, callbacks=callbacks, max_epochs=4)
    steps.fit(tiny.Model(), tiny.Data(n=40))  # two steps an epoch
    line = "stopped by max_time after 2.5 of 4 epochs"
    summary = strict(tmp_path / "summary.json")
    assert summary["details"]["fit/run"]["stopped"] == line and notes(summary) == [line]
    assert (tmp_path / "table.md").read_text().startswith(f"**{line}**\n")
    assert line in capsys.readouterr().out
    assert "intervals" in summary["details"]["val/probe"] and summary["details"]["val/probe"]["intervals"]


def test_a_fit_that_ends_by_itself_says_nothing(finished) -> None:
    assert "stopped" not in strict(finished / "summary.json")["details"]["fit/run"]


def test_versions_and_commit() -> None:
    assert {"python", "torch", "lightning", "numpy"} <= versions().keys()
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    if head.returncode == 0:
        assert git_commit().removesuffix("-dirty") == head.stdout.strip()
    else:
        assert git_commit() is None


def test_a_dash_is_explained_below_the_table_and_only_where_there_is_one(finished) -> None:
    summary = strict(finished / "summary.json")
    table = concept_table(summary, "val")
    assert any("–" in row for row in table.rows) and "too few samples" in table.note
    assert table.markdown().rstrip().endswith(table.note) and table.rich().caption == table.note
    assert "–: not measured" in (finished / "table.md").read_text()
    whole = {"val/retrieval/i2t_hit@1": 0.5, "val/loss": 2.0, "details": {}}
    assert figure_table(whole, "val").note == "" and figure_table(whole, "val").rows[-1] == ["loss", "2.000"]


def test_accuracy_stands_beside_that_of_the_most_frequent_class() -> None:
    labels = np.eye(2)[[0, 0, 0, 1]]
    scored = score_concepts(np.array([[1, 0], [1, 0], [0, 1], [0, 1]], float), labels, ["covid", "normal"], 1)
    figures = scored.metrics()
    assert (figures["accuracy"], figures["majority"]) == (0.75, 0.75)
    several = score_concepts(labels, np.ones((4, 2)), ["a", "b"], 0).metrics()
    assert "accuracy" not in several and "majority" not in several
    summary = {f"test/fine_tune/{name}": value for name, value in figures.items()}
    summary["details"] = {"test/fine_tune": scored.counts()}
    rows = {row[0]: row[2] for row in concept_table(summary, "test").rows}
    assert (
        rows["accuracy"] == "0.750" and rows["accuracy of always guessing the most frequent class"] == "0.750"
    )


def test_a_fit_without_evaluations_has_a_table_and_promises_no_more(tiny, tmp_path, capsys) -> None:
    class Model(tiny.Model):
        def validation_step(self, *args, **kwargs):
            self.log("val/loss", 0.25)
            return super().validation_step(*args, **kwargs)

    tiny.trainer(tmp_path, callbacks=[RunSummary()], max_epochs=1).fit(Model(), tiny.Data(n=40))
    assert "| loss | 0.250 |" in (tmp_path / "table.md").read_text()
    assert f"summary.json, table.md: {tmp_path}" in capsys.readouterr().out.splitlines()
