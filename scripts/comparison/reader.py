"""Reading `configs/comparisons/*.yaml`, so that every mistake is named: file, key, value and remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.comparison.checks import check_whole
from scripts.comparison.definition import (
    Arm,
    Comparison,
    Contrast,
    Layers,
    MeasureSettings,
    Metric,
    ScaleSettings,
)
from scripts.comparison.measure import MAIN_TEST
from scripts.comparison.outcomes.kept_picture import KeptPicture
from scripts.comparison.outcomes.scaling_curve import ScalingCurve
from synthesis.strict_yaml import Entry

FOLDER = Path("configs/comparisons")


def read_comparison(name: str) -> Comparison:
    """Return a comparison by its name in `configs/comparisons/`, or by the path of its file.

    Raises:
        FileNotFoundError: If there is none; names those that there are.
        YamlError: If the file is wrong; names file, key, value and remedy.
    """
    path = Path(name) if name.endswith(".yaml") else FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in FOLDER.glob("*.yaml"))
        raise FileNotFoundError(f"{path}: no such comparison; there are {known}")
    entry, _ = Entry.read(path)
    arms = _arms(entry)
    lines = [arm for arm in arms.values() if arm.measured]
    if len(lines) < 2:
        raise entry.error("arms", [arm.name for arm in lines], "is no comparison; give at least two arms.")
    metrics = _metrics(entry)
    measures = _measures(entry)
    for metric in metrics:
        measure = metric.key.partition(":")[0] if ":" in metric.key else "test"
        if measure not in [known.name for known in measures]:
            raise entry.error("metrics", metric.key, f"asks for a measure {measure!r}; name one of measures.")
    found = Comparison(
        name=path.stem,
        title=entry.text("title"),
        question=entry.text("question"),
        base=_layers(entry, "base"),
        arms=arms,
        over=_layers(entry, "train"),
        reference=entry.text("reference", allowed=[arm.name for arm in lines]),
        equal=entry.texts("equal"),
        budget=_text(entry, "budget", "steps", allowed=("steps", "time", "none")),
        seeds=_seeds(entry, "seeds") or (0,),
        scales={scale: _scale(inner) for scale, inner in entry.named("scales", "scale")},
        metrics=metrics,
        measures=measures,
        contrasts=tuple(_contrasts(entry, [arm.name for arm in lines], metrics)),
        variables=_variables(entry),
        note=entry.text("note"),
        out=_text(entry, "out"),
        groups=_groups(entry, [arm.name for arm in lines]),
        claims=_claims(entry),
        scaling=_scaling(entry, [arm.name for arm in lines], metrics),
        pictures=tuple(
            KeptPicture.read(str(key), inner, [arm.name for arm in lines])
            for key, inner in entry.named("pictures", "picture", default={})
        ),
    )
    entry.close()
    check_whole(entry, found)
    return found


def _text(entry: Entry, key: str, default: str = "", allowed: tuple[str, ...] = ()) -> str:
    return entry.text(key, allowed) if key in entry.keys() else default


def _arms(entry: Entry) -> dict[str, Arm]:
    arms = {}
    for name, inner in entry.named("arms", "arm"):
        arms[str(name)] = _arm(str(name), inner, measured=True)
    for name, arm in _switched(entry).items():
        if name in arms:
            raise entry.error("switches", name, "is an arm as well; give it another name.")
        arms[name] = arm
    for name, inner in entry.named("stages", "stage", default={}):
        if name in arms:
            raise entry.error("stages", name, "is an arm as well; give it another name.")
        arms[str(name)] = _arm(str(name), inner, measured=False)
    return arms


def _switched(entry: Entry) -> dict[str, Arm]:
    """Return the arms of switches: each alone, those of ``together`` at once, and these but for each."""
    inner = entry.entry("switches", {})
    switches = {name: _layers(inner, name) for name in list(inner.keys())}
    together = entry.texts("together") if "together" in entry.keys() else tuple(switches)
    if unknown := [name for name in together if name not in switches]:
        raise entry.error("together", unknown[0], f"is no switch; name some of {', '.join(switches)}.")
    arms = {name: Arm(name, layers) for name, layers in switches.items()}
    if len(together) > 1:
        arms["together"] = Arm("together", sum((switches[name] for name in together), Layers()))
    for left_out in together if len(together) > 2 else ():
        others = (switches[name] for name in together if name != left_out)
        arms[f"without_{left_out}"] = Arm(f"without_{left_out}", sum(others, Layers()))
    return arms


def _arm(name: str, inner: Entry, measured: bool) -> Arm:
    label = _text(inner, "label")
    settings = _settings(inner)
    found = Arm(
        name=name,
        layers=_layers_of(inner),
        label=label,
        base=inner.flag("base", True),
        trained=inner.flag("trained", True),
        measured=measured,
        settings=settings,
        scales={scale: _closed_layers(lower) for scale, lower in inner.named("scales", "scale", default={})},
        times=inner.number("times", 0, 100) if "times" in inner.keys() else 1.0,
        counts=inner.texts("counts") if "counts" in inner.keys() else (),
        needs=_text(inner, "needs"),
    )
    inner.close()
    return found


def _layers(entry: Entry, key: str) -> Layers:
    """Return layers under a key: a list of files, or a mapping with ``layers`` and ``overrides``."""
    if key not in entry.keys():
        return Layers()
    content = entry.take(key)
    if isinstance(content, list):
        content = {"layers": content}
    return _closed_layers(Entry(f"{entry.where}, key {key}", content))


def _closed_layers(inner: Entry) -> Layers:
    found = _layers_of(inner)
    inner.close()
    return found


def _layers_of(inner: Entry) -> Layers:
    files = inner.texts("layers")
    for file in files:
        if "{" not in file and not Path(file).is_file():
            raise inner.error(
                "layers", file, "is no file; correct the path (from the root of the repository)."
            )
    return Layers(files, _overrides(inner))


def _overrides(inner: Entry) -> dict[str, Any]:
    found = inner.take("overrides", {})
    if not isinstance(found, Mapping):
        raise inner.error("overrides", found, "is no mapping; write `key.with.dots: value` lines.")
    for key in found:
        if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z_][\w.+]*", key):
            raise inner.error("overrides", key, "is no key of the parser; write it as on the command line.")
    for key, value in found.items():
        if isinstance(value, list | Mapping) and "${" in str(value):
            raise inner.error(key, value, "holds ${…}, which only a file can: put it into a layer.")
    return dict(found)


def _seeds(entry: Entry, key: str) -> tuple[int, ...] | None:
    if key not in entry.keys():
        return None
    seeds = entry.take(key)
    whole = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise entry.error(key, seeds, "is no list of different whole numbers; write [0, 1].")
    return tuple(seeds)


def _settings(inner: Entry) -> Mapping[str, Mapping[str, Any]]:
    """Return what changes in the settings of measures, by their names."""
    settings = inner.take("measures", {})
    if not isinstance(settings, Mapping) or not all(
        isinstance(value, Mapping) for value in settings.values()
    ):
        raise inner.error("measures", settings, "is no mapping; write `measure: {setting: value}`.")
    return settings


def _scale(inner: Entry) -> ScaleSettings:
    seeds = _seeds(inner, "seeds")
    test = _layers(inner, "test")
    epochs = inner.take("epochs", None)
    if epochs is not None and (type(epochs) is not int or epochs < 1):
        raise inner.error("epochs", epochs, "is no number of epochs; write a whole number from 1 on.")
    variables = _variables(inner) if "variables" in inner.keys() else {}
    found = ScaleSettings(_layers_of(inner), seeds, test, _settings(inner), epochs, variables)
    inner.close()
    return found


def _groups(entry: Entry, arms: list[str]) -> dict[str, tuple[str, ...]]:
    inner = entry.entry("groups", {})
    groups = {name: inner.texts(name, arms, least=1) for name in list(inner.keys())}
    for name in groups:
        if name in arms:
            raise inner.error(name, list(groups[name]), "is named like an arm; give it another name.")
    return groups


def _claims(entry: Entry) -> str:
    """Return the file of published claims; its content is read with the results."""
    path = _text(entry, "claims")
    if path and not Path(path).is_file():
        raise entry.error("claims", path, "is no file; correct the path (from the root of the repository).")
    return path


def _scaling(entry: Entry, arms: list[str], metrics: tuple[Metric, ...]) -> tuple[ScalingCurve, ...]:
    contents = entry.take("scaling", [])
    if not isinstance(contents, list):
        raise entry.error(
            "scaling", contents, "is no list; write `- {metrics: […], sizes: {arm: size}}` lines."
        )
    found: list[ScalingCurve] = []
    for number, content in enumerate(contents, start=1):
        inner = Entry(f"{entry.where}, scaling {number}", content)
        found += ScalingCurve.read(inner, arms, [metric.column for metric in metrics])
    return tuple(found)


def _variables(entry: Entry) -> dict[str, str]:
    found = entry.take("variables", {})
    texts = isinstance(found, Mapping) and all(isinstance(value, str) for value in found.values())
    if not texts:
        raise entry.error("variables", found, "is no mapping of names to texts; put values in quotes.")
    return dict(found)


def _metrics(entry: Entry) -> tuple[Metric, ...]:
    content = entry.take("metrics")
    if not isinstance(content, Mapping) or not content:
        raise entry.error("metrics", content, "is no mapping; write `column: stage/callback/figure` lines.")
    metrics = []
    for column, value in content.items():
        if isinstance(value, str):
            metrics.append(Metric(str(column), value))
            continue
        inner = Entry(f"{entry.where}, metric {column}", value)
        higher = inner.take("higher", True)
        if higher not in (True, False, None):
            raise inner.error("higher", higher, "must be true, false or null.")
        metrics.append(Metric(str(column), inner.text("metric"), higher))
        inner.close()
    return tuple(metrics)


def _measures(entry: Entry) -> tuple[MeasureSettings, ...]:
    """Return the measures: ``test`` is `main.py test`; ``measures`` are others, or several."""
    found = []
    if "test" in entry.keys():
        found.append(MeasureSettings("test", MAIN_TEST, _test(entry.entry("test"))))
    for name, inner in entry.named("measures", "measure", default={}):
        if "class_path" in inner.keys():
            arguments = inner.take("init_args", {}) if "init_args" in inner.keys() else {}
            class_path = inner.text("class_path")
        else:
            class_path, arguments = MAIN_TEST, _test(inner)
        found.append(MeasureSettings(str(name), class_path, arguments))
        if class_path != MAIN_TEST:
            inner.close()
    if not found:
        raise entry.error("test", None, "is missing; say what arms are tested on, or give measures.")
    return tuple(found)


def _test(inner: Entry) -> dict[str, Any]:
    layers = _layers_of(inner)
    arguments: dict[str, Any] = {"layers": list(layers.files), "overrides": dict(layers.overrides)}
    arguments["arm"] = inner.flag("arm", False)
    if "checkpoint" in inner.keys():
        arguments["checkpoint"] = inner.text("checkpoint")
    inner.close()
    return arguments


def _contrasts(entry: Entry, arms: list[str], metrics: tuple[Metric, ...]) -> list[Contrast]:
    contents = entry.take("contrasts", [])
    if not isinstance(contents, list):
        raise entry.error(
            "contrasts", contents, "is no list; write `- {arm: a, minus: b, metric: column}` lines."
        )
    contrasts = []
    for number, content in enumerate(contents, start=1):
        inner = Entry(f"{entry.where}, contrast {number}", content)
        claim = _text(inner, "claim")
        columns = [metric.column for metric in metrics]
        arm, minus = inner.text("arm", arms), inner.text("minus", arms)
        if arm == minus:
            raise inner.error("minus", minus, "is the arm itself; name another one.")
        contrasts.append(Contrast(arm, minus, inner.text("metric", columns), claim))
        inner.close()
    return contrasts
