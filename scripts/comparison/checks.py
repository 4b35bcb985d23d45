"""What must hold between the parts of a comparison's YAML: every mistake is named before anything runs."""

from __future__ import annotations

from typing import Any

from scripts.comparison.definition import Comparison, Layers
from scripts.comparison.placeholders import EARLIER, NOTE_FACTS, PLACEHOLDER, RUN_FACTS, texts_of
from synthesis.strict_yaml import Entry


def check_whole(entry: Entry, comparison: Comparison) -> None:
    """Refuse a comparison whose parts do not fit each other.

    Args:
        entry: Its file, for messages.
        comparison: What was read from it.

    Raises:
        YamlError: Naming file, key, value and remedy.
    """
    _check_earlier(entry, comparison)
    _check_lengths(entry, comparison)
    _check_variables(entry, comparison)
    _check_placeholders(entry, comparison)


def _check_earlier(entry: Entry, comparison: Comparison) -> None:
    """Refuse references to runs that are no arm or stage, and circles of them."""
    needs = {
        arm.name: {name for scale in comparison.scales for name in comparison.earlier(arm, scale)}
        for arm in comparison.arms.values()
    }
    for name, earlier in needs.items():
        for other in earlier - comparison.arms.keys():
            raise entry.error("arms", f"{{run:{other}}}", f"in {name} is no arm or stage; name one.")
    for name in needs:
        waiting, seen = list(needs[name]), set()
        while waiting:
            other = waiting.pop()
            if other == name:
                raise entry.error(
                    "arms", name, f"needs its own run ({EARLIER.pattern} in a circle); break it."
                )
            if other not in seen:
                seen.add(other)
                waiting += needs[other]


def _check_variables(entry: Entry, comparison: Comparison) -> None:
    """Refuse variables of a scale that the comparison does not have."""
    for scale, settings in comparison.scales.items():
        for name in settings.variables.keys() - comparison.variables.keys():
            raise entry.error(
                "scales", name, f"of {scale} is no variable of the comparison; give it a value in variables."
            )


def _check_lengths(entry: Entry, comparison: Comparison) -> None:
    """Refuse arms that train for a part of an epoch, and contrasts of arms of unequal length."""
    for arm in comparison.arms.values():
        for name in arm.counts:
            if name not in comparison.arms:
                raise entry.error("arms", name, f"is counted by {arm.name} and is no arm or stage; name one.")
        for scale, settings in comparison.scales.items():
            epochs = (settings.epochs or 1) * arm.times
            if settings.epochs is not None and (epochs < 1 or abs(epochs - round(epochs)) > 1e-6):
                raise entry.error(
                    "times", arm.times, f"of {arm.name} gives {epochs:g} epochs at {scale}; give whole ones."
                )
    for number, contrast in enumerate(comparison.contrasts if comparison.budget == "steps" else (), start=1):
        lengths = [comparison.length(name) for name in (contrast.arm, contrast.minus)]
        if abs(lengths[0] - lengths[1]) > 1e-6:
            raise entry.error(
                f"contrasts, number {number}",
                f"{contrast.arm} - {contrast.minus}",
                f"compares {lengths[0]:g} times the scale's epochs with {lengths[1]:g}; "
                "contrast arms of equal length.",
            )


def _check_placeholders(entry: Entry, found: Comparison) -> None:
    """Refuse braces that nothing will fill: most are filled when hours of training are over."""
    arms = [[_plain(a.layers, *a.scales.values()), a.settings] for a in found.arms.values()]
    scales = [[_plain(s.layers, s.test), s.settings] for s in found.scales.values()]
    others = [f"run:{name}" for name in found.arms]
    for key, content, facts in (
        ("note", found.note, NOTE_FACTS),
        ("measures", [measure.init_args for measure in found.measures], (*RUN_FACTS, *others)),
        ("arms", arms, (*RUN_FACTS, *others)),
        ("needs", [arm.needs for arm in found.arms.values()], ()),
        ("scaling", [[dict(curve.sizes), curve.reach_size] for curve in found.scaling], ()),
        ("scales", scales, (*RUN_FACTS, *others)),
        ("base or train", _plain(found.base, found.over), (*RUN_FACTS, *others)),
    ):
        known = (*facts, *found.variables)
        for text in texts_of(content):
            for name in PLACEHOLDER.findall(text):
                if name not in known:
                    raise entry.error(
                        key, f"{{{name}}}", f"is no placeholder; use one of {', '.join(known)}."
                    )


def _plain(*layers: Layers) -> list[Any]:
    return [[one.files, one.overrides] for one in layers]
