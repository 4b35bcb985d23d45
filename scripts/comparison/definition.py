"""What a comparison is: arms, what they share, what is measured and what is contrasted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scripts.comparison.outcomes.kept_picture import KeptPicture
from scripts.comparison.outcomes.scaling_curve import ScalingCurve
from scripts.comparison.placeholders import EARLIER, texts_of

Overrides = Mapping[str, Any]
"""Key with dots → value, as on the command line. Texts may hold placeholders: see `Comparison`."""


@dataclass(frozen=True)
class Layers:
    """YAML files laid over each other, and values laid over those.

    Attributes:
        files: Paths, the last one wins.
        overrides: Values that win over all files.
    """

    files: tuple[str, ...] = ()
    overrides: Overrides = field(default_factory=dict)

    def __add__(self, above: Layers) -> Layers:
        """Return these layers with others over them."""
        return Layers(self.files + above.files, {**self.overrides, **above.overrides})


@dataclass(frozen=True)
class Arm:
    """One line of the table: a training that differs from the others in what the comparison asks about.

    Attributes:
        name: How the record, `--arms` and directories name it.
        layers: What it lays over the base.
        label: How table and plot name it.
        base: Whether the base and the scale lie under its layers; a stage of another kind of model has
            neither.
        trained: Whether anything is trained. An arm without training is measured as it is.
        measured: Whether it is measured. A stage, which only serves other arms, is not.
        settings: What this arm changes in the settings of each measure, by the measure's name.
        scales: What it lays over the rest at a scale, by the scale's name.
        times: How many times the epochs of the scale it trains, where the scale says how many: 2 for twice as
            long, 0.4 for what follows a stage of 0.6.
        counts: Stages and arms whose steps are counted as its own, for it goes on from them.
        needs: What it takes that is not everywhere, in words; said where it has not been run.
    """

    name: str
    layers: Layers = Layers()
    label: str = ""
    base: bool = True
    trained: bool = True
    measured: bool = True
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scales: Mapping[str, Layers] = field(default_factory=dict)
    times: float = 1.0
    counts: tuple[str, ...] = ()
    needs: str = ""

    @property
    def title(self) -> str:
        """The label, or the name where there is none."""
        return self.label or self.name

    @property
    def slug(self) -> str:
        """The name as part of a path."""
        slug = re.sub(r"[^\w.%+-]+", "_", self.name)
        return slug if len(slug) <= 100 else f"{slug[:90]}-{hashlib.sha256(slug.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class MeasureSettings:
    """How trained arms are measured.

    Attributes:
        name: ``test``, or another name, which then begins the names of its figures:
            ``name:test/probe/auroc``.
        class_path: The `Measure`.
        init_args: Its arguments. Texts may hold the placeholders of `Comparison`, and ``{run}``, the
            directory of the run that is measured.
    """

    name: str
    class_path: str
    init_args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A column of the table.

    Attributes:
        column: Its heading.
        key: The figure as in ``summary.json``, after ``<measure>:`` where the measure is not ``test``.
        higher: Whether more is better; None where neither is.
    """

    column: str
    key: str
    higher: bool | None = True


@dataclass(frozen=True)
class Contrast:
    """A difference of two arms that was chosen before anything was run.

    Attributes:
        arm: Its figure …
        minus: … less that of this arm.
        metric: The column.
        claim: What is asked, in words.
    """

    arm: str
    minus: str
    metric: str
    claim: str = ""


@dataclass(frozen=True)
class ScaleSettings:
    """How long the arms train and how large they are.

    Attributes:
        layers: What lies over every arm.
        seeds: In place of the comparison's.
        test: What lies over the layers of every `main.py test`.
        settings: What changes in the settings of each measure, by its name.
        epochs: How many every arm trains, unless it says how many times that; None leaves it to the layers.
        variables: In place of the comparison's.
    """

    layers: Layers = Layers()
    seeds: tuple[int, ...] | None = None
    test: Layers = Layers()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    epochs: int | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def length(self, arm: Arm) -> Layers:
        """Return how long an arm trains; it validates at its end."""
        if self.epochs is None:
            return Layers()
        epochs = round(self.epochs * arm.times)
        return Layers((), {"trainer.max_epochs": epochs, "trainer.check_val_every_n_epoch": epochs})


@dataclass(frozen=True)
class Comparison:
    """A comparison as its YAML describes it: see `configs/comparisons/` and `scripts.comparison.reader`.

    Texts among the overrides and settings may hold ``{runs}`` (directory of all runs of the comparison),
    ``{cache}`` (directory of pair caches), ``{seed}``, ``{arm}`` and ``{run:NAME}``, the directory of the run
    of another arm or stage with the same seed, which is then trained first.

    Attributes:
        name: How `make compare` and the directory of results name it.
        title: What the table is called.
        arms: The lines of the table and the stages that serve them, by name.
        reference: The arm that the others are compared with.
        seeds: Values of `--seed_everything`.
        scales: By name.
        metrics: The columns.
        base: What lies under every arm.
        over: What lies over every arm, under the scale.
        equal: Keys of the configuration that must be equal in all arms.
        budget: ``steps`` if all arms must take equally many, ``time`` if they train equally long, ``none`` if
            they differ in this too.
        measures: How each arm is measured.
        contrasts: Differences that were chosen before.
        variables: Further placeholders and their values, which `--var` changes.
        note: What stands under the table; facts in braces: see `scripts.comparison.outcomes.note`.
        question: What the comparison is to answer.
        out: Directory of results; ``results/<name>`` where it is empty.
        groups: Names for several arms at once, for `--arms`.
        claims: File of published claims that the arms are held against; empty for none.
        scaling: Curves of error over the number of pairs.
        pictures: What runs drew that goes to the results.
    """

    name: str
    title: str
    arms: Mapping[str, Arm]
    reference: str
    seeds: tuple[int, ...]
    scales: Mapping[str, ScaleSettings]
    metrics: tuple[Metric, ...]
    base: Layers = Layers()
    over: Layers = Layers()
    equal: tuple[str, ...] = ()
    budget: str = "steps"
    measures: tuple[MeasureSettings, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    question: str = ""
    out: str = ""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    claims: str = ""
    scaling: tuple[ScalingCurve, ...] = ()
    pictures: tuple[KeptPicture, ...] = ()

    @property
    def usual_scale(self) -> str:
        """The first scale, which is meant where none is named."""
        return next(iter(self.scales))

    def length(self, name: str) -> float:
        """Return how many times the scale's epochs an arm has, with those of what it goes on from."""
        arm = self.arms[name]
        return arm.times + sum(self.length(earlier) for earlier in arm.counts)

    def named(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the arms that names of arms and groups stand for, each once."""
        found = [arm for name in names for arm in self.groups.get(name, (name,))]
        return tuple(dict.fromkeys(found))

    @property
    def lines(self) -> dict[str, Arm]:
        """The arms that the table shows."""
        return {name: arm for name, arm in self.arms.items() if arm.measured}

    def metric(self, column: str) -> Metric:
        """Return a metric by its column."""
        return next(metric for metric in self.metrics if metric.column == column)

    def layers_of(self, arm: Arm, scale: ScaleSettings, scale_name: str) -> Layers:
        """Return all that lies over each other when an arm trains: base, arm, what lies over all, scale."""
        own = arm.scales.get(scale_name, Layers())
        if not arm.base:
            return arm.layers + own
        return self.base + arm.layers + self.over + scale.layers + scale.length(arm) + own

    def earlier(self, arm: Arm, scale_name: str) -> Iterator[str]:
        """Yield the names of the arms and stages whose runs this one needs."""
        own = arm.scales.get(scale_name, Layers())
        texts = texts_of([arm.layers.overrides, own.overrides, arm.settings])
        yield from sorted({*arm.counts, *(name for text in texts for name in EARLIER.findall(text))})

    def only(self, names: Mapping[str, Any] | tuple[str, ...]) -> Comparison:
        """Return the comparison of some arms, with the stages that they need.

        Raises:
            ValueError: If an arm is not known.
        """
        if unknown := [name for name in names if name not in self.arms]:
            raise ValueError(f"{self.name}: no such arms: {unknown}. There are {list(self.arms)}")
        return replace(self, arms={name: self.arms[name] for name in self.arms if name in names})
