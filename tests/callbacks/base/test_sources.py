"""A stage with several evaluation loaders: each is evaluated, under a name of its own."""

from __future__ import annotations

import json
from typing import Any

import lightning as L
import numpy as np
import pytest

from callbacks import BatchEvaluation, FeatureCollector, Features, Occasion, Result
from callbacks.run.draws_file import DRAWS, read_draws
from callbacks.run.summary_table import concept_table, figure_table
from lightning_modules import EvaluationOutput


def two_sources(tiny, names: tuple[str, ...] = ("home", "away")):
    """Data whose evaluation splits are those of two data modules of unequal size."""
    data, home, away = tiny.Data(), tiny.Data(n=60), tiny.Data(n=44, batch=9)
    away.samples = lambda split: type(away).samples(away, f"other {split}")
    for stage in ("val", "test"):
        loader = f"{stage}_dataloader"
        setattr(data, loader, lambda loader=loader: [getattr(part, loader)() for part in (home, away)])
    data.evaluation_sources = lambda split: names
    return data, home, away


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory) -> dict[str, dict]:
    """Summaries of an untrained model on both sources together, and on each alone."""
    found = {}
    for name, data in zip(("both", "home", "away"), two_sources(tiny), strict=True):
        directory = tmp_path_factory.mktemp(name)
        tiny.trainer(directory).test(tiny.Model(), data)
        found[name] = json.loads((directory / "summary.json").read_text())
        found[name]["directory"] = directory
    return found


def test_figures_of_each_source_are_those_of_its_own_run(runs) -> None:
    both, details = runs["both"], runs["both"]["details"]
    for name, place in (("home", ""), ("away", "@away")):
        alone = {key: value for key, value in runs[name].items() if key.startswith("test/")}
        assert len(alone) > 60
        for key, value in alone.items():
            _, callback, figure = key.split("/", 2)
            assert both[f"test/{callback}{place}/{figure}"] == pytest.approx(value, abs=1e-9), key
    assert (details["test/probe"]["n"], details["test/probe@away"]["n"]) == (60, 44)
    assert details["test/probe"]["split_sha256"] == "hash of test of home"
    assert details["test/probe@away"]["split_sha256"] == "hash of test of away"
    assert details["test/probe@away"]["source"] == "away"


def test_tables_show_sources_as_further_columns(runs) -> None:
    table = concept_table(runs["both"], "test")
    assert table.columns == [
        "concept", "positive", "zero shot", "probe", "away: positive", "away: zero shot", "away: probe",
    ]  # fmt: skip
    assert "n = 60, 44 (away)" in table.heading
    edema = next(row for row in table.rows if row[0] == "edema")
    alone = next(row for row in concept_table(runs["away"], "test").rows if row[0] == "edema")
    assert edema[4:] == alone[1:]
    other = figure_table(runs["both"], "test")
    assert other.columns == ["figure", "value", "away"]
    assert all(len(row) == 3 and "–" not in row for row in other.rows)


def test_draws_of_each_source_are_kept(runs) -> None:
    draws, about = read_draws(runs["both"]["directory"] / DRAWS)
    assert {"test/probe/auroc_macro", "test/probe@away/auroc_macro"} <= draws.keys()
    assert about["test/probe@away"]["split_sha256"] == "hash of test of away"
    alone, _ = read_draws(runs["away"]["directory"] / DRAWS)
    assert (draws["test/zero_shot@away/auroc_macro"] == alone["test/zero_shot/auroc_macro"]).all()


class Brightness(BatchEvaluation[EvaluationOutput]):
    """The mean grey level of the samples, measured batch by batch."""

    def measure(self, pl_module: L.LightningModule, batch: Any, outputs: EvaluationOutput) -> list[float]:
        return batch["image"].mean((1, 2, 3)).tolist()

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        return Result({"mean": float(np.mean(features.measured[self.name])), "source": len(occasion.source)})


def test_what_is_measured_on_batches_is_measured_on_every_source(tiny, tmp_path) -> None:
    data, home, away = two_sources(tiny)
    callbacks = [FeatureCollector(), Brightness("brightness")]
    tiny.trainer(tmp_path, callbacks=callbacks).test(tiny.Model(), data)
    for part, place, length in ((home, "", 0), (away, "@away", 4)):
        expected = np.mean([row["image"].mean().item() for row in part.samples("test")])
        assert callbacks[1].metrics[f"test/brightness{place}/mean"] == pytest.approx(expected, abs=1e-6)
        assert callbacks[1].metrics[f"test/brightness{place}/source"] == length


def test_the_first_source_is_what_a_fit_is_monitored_by(tiny, tmp_path) -> None:
    trainer = tiny.trainer(tmp_path, max_epochs=1)
    trainer.fit(tiny.Model(), two_sources(tiny)[0])
    assert {"val/probe/auroc_macro", "val/probe@away/auroc_macro"} <= trainer.callback_metrics.keys()
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"val_zero_shot_curves.png", "val_zero_shot_curves@away.png"} <= pictures


def test_a_loader_that_has_no_name_is_refused(tiny, tmp_path) -> None:
    data, _, _ = two_sources(tiny, ("home",))
    with pytest.raises(ValueError, match=r"test loader 1 came, but TinyData.evaluation_sources.*\['home'\]"):
        tiny.trainer(tmp_path).test(tiny.Model(), data)


def test_a_source_without_samples_is_named(tiny, tmp_path) -> None:
    data, _, _ = two_sources(tiny, ("home", "away", "far"))
    with pytest.raises(LookupError, match="dataloader 2"):
        tiny.trainer(tmp_path).test(tiny.Model(), data)
