"""Comparisons as YAML: what is shipped can be run, and mistakes are named."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.comparison.engine import Plan
from scripts.comparison.measure import MainTest, build
from scripts.comparison.outcomes.note import note_facts
from scripts.comparison.outcomes.results import read_results
from scripts.comparison.reader import FOLDER, read_comparison
from synthesis.strict_yaml import YamlError

ROOT = Path(__file__).resolve().parents[3]
SMOKE = "configs/recipes/smoke.yaml"
SHIPPED = sorted(path.stem for path in (ROOT / FOLDER).glob("*.yaml"))
CHECKED = ("objectives", "utility")  # by tests/test_configs.py, all arms of them


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    """Paths in YAML are those of a checkout."""
    os.chdir(ROOT)


def content(**changes: Any) -> dict[str, Any]:
    """A comparison with nothing wrong."""
    base = {
        "title": "Two",
        "question": "Which?",
        "base": ["configs/pretrain.yaml"],
        "arms": {"a": {}, "b": {"overrides": {"model.init_args.learning_rate": 0.01}}},
        "reference": "a",
        "equal": ["trainer.max_epochs"],
        "scales": {"full": {}, "smoke": {"seeds": [3]}},
        "test": {"layers": ["configs/reproduce/evaluation/held_out.yaml"]},
        "metrics": {"probe": "test/probe/auroc_macro"},
        "note": "`{command}`.",
    }
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


def written(path: Path, **changes: Any) -> str:
    path.write_text(yaml.safe_dump(content(**changes), sort_keys=False))
    return str(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_comparison_expands_to_command_lines_that_the_parser_takes(
    name: str, tmp_path: Path
) -> None:
    """At full scale all arms, which `equal` compares (of a screen all at once); else, and of tests, one."""
    comparison = read_comparison(name)
    for scale in comparison.scales:
        screen = (comparison.reference, "together") if "together" in comparison.arms else None
        plan = Plan(comparison, scale, tmp_path, arms=screen)
        usual = scale == comparison.usual_scale
        if scale == "full" and name not in CHECKED:
            plan.check()
        arms = list(comparison.arms.values())
        first, stages = arms[0], [arm for arm in arms if usual and not arm.measured]
        for arm in (first, *stages):
            run = plan.run(arm, plan.all_seeds[0])
            if arm.trained:
                assert run.config()["model"]["class_path"]
            for settings in plan.measures[: None if usual else 1] if arm.measured else ():
                measure = build(settings, run)
                if isinstance(measure, MainTest):
                    assert measure.identity(run)["data"]["class_path"]
        filled = note_facts(plan, read_results(plan))
        assert all(fact in filled for fact in _facts(comparison.note)), comparison.note


def test_switches_make_arms_alone_together_and_without_each(tmp_path: Path) -> None:
    switches = {name: {"overrides": {f"model.init_args.{name}": 0.5}} for name in ("x", "y", "z", "rest")}
    path = tmp_path / "screen.yaml"
    arms = read_comparison(written(path, arms={"a": {}}, switches=switches, together=["x", "y", "z"])).arms
    alone = ["a", "x", "y", "z", "rest"]
    assert list(arms) == [*alone, "together", "without_x", "without_y", "without_z"]
    keys = {name: "".join(key[-1] for key in arm.layers.overrides) for name, arm in arms.items()}
    assert (keys["together"], keys["without_y"], keys["y"], keys["a"]) == ("xyz", "xz", "y", "")
    assert "rest" not in str(arms["together"].layers)
    every = read_comparison(written(path, arms={"a": {}}, switches=switches)).arms
    assert len(every["together"].layers.overrides) == 4
    for wrong, message in (
        (
            {"switches": switches, "together": ["v"]},
            "together.*'v'.*is no switch; name some of x, y, z, rest",
        ),
        ({"switches": {"a": []}}, "switches.*'a'.*is an arm as well"),
        ({"switches": {"x": ["nowhere.yaml"]}}, r"nowhere\.yaml.*is no file"),
    ):
        with pytest.raises(YamlError, match=f"(?s){message}"):
            read_comparison(written(path, **wrong))


def _facts(note: str) -> list[str]:
    import re

    return re.findall(r"(?<!\$)\{([a-z_]+)\}", note)


def test_arms_lie_over_the_base_and_under_the_scale(tmp_path: Path) -> None:
    path = written(
        tmp_path / "c.yaml",
        train={"overrides": {"trainer.max_epochs": 3, "data.init_args.cache_dir": "{cache}"}},
        scales={"small": {"layers": [SMOKE], "overrides": {"run_dir": "x"}}},
        arms={"a": {}, "b": {"overrides": {"trainer.max_epochs": 7, "seed_everything": 5}}},
    )
    comparison = read_comparison(path)
    given = {"trainer.max_steps": 9}
    plan = Plan(comparison, "small", tmp_path / "out", precision="bf16-mixed", overrides=given)
    a, b = plan.wanted()
    assert a.config()["trainer"]["max_epochs"] == 3
    assert b.args[:4] == ("-c", "configs/pretrain.yaml", "-c", SMOKE)
    assert a.config()["trainer"]["max_steps"] == 9 and a.config()["trainer"]["precision"] == "bf16-mixed"
    assert a.config()["data"]["init_args"]["cache_dir"] == "cache"
    assert (a.config()["seed_everything"], b.config()["seed_everything"]) == (0, 5)
    assert a.directory == tmp_path / "out" / "runs" / "a-0"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"title": None}, r"c\.yaml, key title: missing; add it"),
        ({"arms": {"a": {}}}, r"key arms: \['a'\] is no comparison; give at least two arms"),
        ({"arms": {"a": {"layer": []}, "b": {}}}, r"arm a, key layer: .* did you mean layers\?"),
        ({"arms": {"a": {"layers": ["no.yaml"]}, "b": {}}}, r"arm a, key layers: 'no\.yaml' is no file"),
        ({"reference": "c"}, r"key reference: 'c' is unknown here; use one of: a, b"),
        ({"seeds": [0, 0]}, r"key seeds: \[0, 0\] is no list of different whole numbers"),
        ({"seeds": ["0"]}, r"key seeds: \['0'\] is no list"),
        ({"metrics": {}}, r"key metrics: \{\} is no mapping"),
        ({"metrics": {"x": "nih:test/probe/auroc"}}, r"'nih:test/probe/auroc' asks for a measure 'nih'"),
        (
            {"metrics": {"x": {"metric": "m", "higher": "yes"}}},
            r"metric x, key higher: 'yes' must be true",
        ),
        ({"test": None}, r"key test: None is missing; say what arms are tested on"),
        (
            {"contrasts": [{"arm": "a", "minus": "a", "metric": "probe"}]},
            r"contrast 1, key minus: 'a' is",
        ),
        (
            {"contrasts": [{"arm": "a", "minus": "b", "metric": "prob"}]},
            r"contrast 1, key metric: 'prob'",
        ),
        ({"budget": "pairs"}, r"key budget: 'pairs' is unknown here; use one of"),
        ({"train": {"overrides": ["a"]}}, r"key overrides: \['a'\] is no mapping"),
        ({"train": {"overrides": {"a": ["${run_dir}"]}}}, r"key a: .* which only a file can"),
        ({"arms": {"a": {"overrides": {"x": "{run:d}"}}, "b": {}}}, r"key arms: '\{run:d\}' in a is no arm"),
        (
            {"arms": {"a": {"overrides": {"x": "{run:b}"}}, "b": {"overrides": {"x": "{run:a}"}}}},
            r"key arms: 'a' needs its own run",
        ),
        ({"stages": {"a": {}}}, r"key stages: 'a' is an arm as well"),
        ({"groups": {"a": ["b"]}}, r"key groups, key a: \['b'\] is named like an arm"),
        ({"groups": {"core": ["c"]}}, r"key groups, key core: 'c' is unknown here; use one of: a, b"),
        ({"arms": {"a": {}, "b": {"counts": ["c"]}}}, r"key arms: .*c.* is no arm or stage; name one"),
        (
            {"arms": {"a": {}, "b": {"times": 0.5}}, "scales": {"full": {"epochs": 3}}},
            r"key times: 0\.5 of b gives 1\.5 epochs at full; give whole ones",
        ),
        ({"scales": {"full": {"epochs": 0}}}, r"scale full, key epochs: 0 is no number of epochs"),
        ({"scales": {"full": {"variables": {"n": "1"}}}}, r"key scales: 'n' of full is no variable"),
        (
            {
                "arms": {"a": {}, "b": {"times": 2}},
                "contrasts": [{"arm": "a", "minus": "b", "metric": "probe"}],
            },
            r"key contrasts, number 1: 'a - b' compares 1 times the scale's epochs with 2",
        ),
        ({"scaling": {"a": 1}}, r"key scaling: \{'a': 1\} is no list; write"),
        (
            {"scaling": [{"metrics": ["R@10"], "sizes": {"a": "1"}}]},
            r"scaling 1, key metrics: 'R@10' is unknown here; use one of: probe",
        ),
        (
            {"scaling": [{"metrics": ["probe"], "sizes": {"c": "1"}}]},
            r"scaling 1, key sizes: 'c' is no arm; name some of a, b",
        ),
        (
            {"scaling": [{"metrics": ["probe"], "sizes": {"a": "1"}, "reach": {"a": "1", "b": "2"}}]},
            r"scaling 1, key reach: \['a', 'b'\] are several arms",
        ),
        (
            {"scaling": [{"metrics": ["probe"], "sizes": {"a": "{m}", "b": "1"}}]},
            r"key scaling: '\{m\}' is no placeholder",
        ),
        ({"claims": "no.yaml"}, r"key claims: 'no\.yaml' is no file"),
        ({"pictures": {"a/b": {"file": "x.png"}}}, r"picture a/b, key pictures: 'a/b' names a file; use"),
        ({"pictures": {"x": {"file": "x.jpg"}}}, r"picture x, key file: 'x\.jpg' is no PNG"),
        ({"pictures": {"x": {"file": "x.png", "arms": ["c"]}}}, r"picture x, key arms: 'c' is unknown here"),
        ({"note": "{minute} minutes"}, r"key note: '\{minute\}' is no placeholder; use one of command, "),
        (
            {"arms": {"a": {"layers": ["{cash}/x.yaml"]}, "b": {}}},
            r"key arms: '\{cash\}' is no placeholder; use one of runs, cache, ",
        ),
        (
            {"test": {"overrides": {"x": ["{reports}"]}}},
            r"key measures: '\{reports\}' is no placeholder; use",
        ),
    ],
)
def test_a_mistake_is_named_with_file_key_value_and_remedy(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(YamlError, match=complaint):
        read_comparison(written(tmp_path / "c.yaml", **changes))


def test_arms_train_as_often_as_they_say_and_count_what_they_go_on_from(tmp_path: Path) -> None:
    path = written(
        tmp_path / "c.yaml",
        arms={
            "a": {},
            "long": {"times": 2},
            "b": {"times": 0.4, "counts": ["s"], "overrides": {"x": "{n}", "w": "{run:s}"}},
        },
        stages={"s": {"times": 0.6, "overrides": {"x": "{n}"}}},
        groups={"core": ["b", "a"]},
        variables={"n": "7"},
        scales={"full": {"epochs": 5}, "smoke": {"epochs": 10, "variables": {"n": "3"}}},
    )
    comparison = read_comparison(path)
    assert {name: comparison.length(name) for name in comparison.lines} == {"a": 1, "long": 2, "b": 1}
    args = {
        (name, scale): " ".join(Plan(comparison, scale, tmp_path).run(arm, 0).args)
        for name, arm in comparison.arms.items()
        for scale in comparison.scales
    }
    for key, epochs in {("a", "full"): 5, ("long", "smoke"): 20, ("b", "full"): 2, ("s", "full"): 3}.items():
        assert f"--trainer.max_epochs={epochs}" in args[key].split()
        assert f"--trainer.check_val_every_n_epoch={epochs}" in args[key].split(), "validated at the end"
    assert "--x=7" in args["b", "full"] and "--x=3" in args["b", "smoke"]
    assert list(comparison.earlier(comparison.arms["b"], "full")) == ["s"]
    assert comparison.named(["core", "long", "a"]) == ("b", "a", "long")


def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such comparison; there are \[.*'objectives', .*'paper'"):
        read_comparison("objective")
    comparison = read_comparison(written(tmp_path / "c.yaml"))
    with pytest.raises(ValueError, match=r"c: no scale 'tiny'; there are \['full', 'smoke'\]"):
        Plan(comparison, "tiny", tmp_path)
    with pytest.raises(ValueError, match=r"c: no such arms: \['d'\]; there are \['a', 'b'\]"):
        Plan(comparison, "full", tmp_path, arms=("d",))
    assert Plan(comparison, "smoke", tmp_path).all_seeds == (3,)


@pytest.mark.parametrize(
    ("arm", "equal", "complaint"),
    [
        ({"trainer.max_epochs": 12345}, "trainer.max_epochs", r"differ in trainer\.max_epochs: .*12345"),
        ({"trainer.limit_train_batches": 3}, "trainer.limit_train_batches", r"'a': None, 'b': 3"),
        ({}, "trainer.max_epoch", r"no arm has a value 'trainer\.max_epoch'; correct the name"),
    ],
)
def test_arms_that_do_not_train_alike_are_refused(
    tmp_path: Path, arm: dict[str, Any], equal: str, complaint: str
) -> None:
    path = written(tmp_path / "c.yaml", arms={"a": {}, "b": {"overrides": arm}}, equal=[equal])
    with pytest.raises(ValueError, match=complaint):
        Plan(read_comparison(path), "full", tmp_path).check()


def test_objectives_are_compared_with_their_own_texts_and_with_one_text_for_all() -> None:
    """Neither the texts nor the warm-up of a method are set by the scale, in the comparison that is fair."""
    shared, fair = read_comparison("objectives"), read_comparison("objectives_fair")
    one_text = "configs/objectives/scales/shared.yaml"
    assert all(one_text in scale.layers.files for scale in shared.scales.values())
    assert not any(one_text in scale.layers.files for scale in fair.scales.values())
    assert fair.lines.keys() > shared.lines.keys()
    full = yaml.safe_load(Path("configs/objectives/scales/full.yaml").read_text())
    assert "model" not in full and "views" not in full["data"]["init_args"]
    pairs = yaml.safe_load(Path("configs/pretrain.yaml").read_text())["data"]["init_args"]["loader"][
        "batch_size"
    ]
    bias = fair.arms["siglip"].layers.overrides["model.init_args.objective.init_args.bias"]
    assert bias == pytest.approx(-math.log(pairs - 1), abs=1e-3)
