"""How well an encoder that was trained on simulated pairs reads real radiographs: `make transfer`.

    make transfer RUN=runs/fit REAL=FOLDER                     NIH ChestX-ray14, or a part of it
    make transfer RUN=runs/fit REAL=my.yaml                    a layer of your own, see `synvlp init-data`
    make transfer RUN=runs/fit REAL=FOLDER AGAINST=runs/other  and what the one has over the other

One column is a set of radiographs: all, those of one view, those in which a finding is present (`--within`).
Over all radiographs a score may live on the view, or on who is ill at all. Within a view, and among patients
who all have pneumonia, it cannot: these columns are the primary figures. Each mean is given over the classes
that its own column can judge, and over those that all columns can judge. Floors of the probe are small pixels
and the same tower as training begins (four draws).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from callbacks.run.draws_file import DRAWS
from callbacks.statistics.intervals import percentile_interval
from datamodules.batch import VIEWS
from main import main as program
from scripts.comparison.draws import Draws
from scripts.comparison.tables import Row, write_table
from synthesis.configuration import shipped

NIH, LAYER = "configs/data/nih_chestxray14.yaml", "configs/evaluation/transfer.yaml"
ALL = "all"
WITHIN = ("pneumonia",)
LABELS = {
    "zero_shot/{}auroc_macro": "zero-shot",
    "probe/{}auroc_macro": "probe",
    "probe/{}pixels/auroc_macro": "… floor: pixels",
    "probe/{}random_init/auroc_macro": "… floor: tower as training begins",
    "probe/{}minus_pixels": "… gain over pixels",
    "probe/{}minus_random_init": "… gain over the tower as training begins",
}
"""Figure, with a place for the stratum → row."""

FEW = {"probe/10%/auroc_macro": "probe, 10 % of the labels"}


@dataclass(frozen=True)
class Judged:
    """What a test of one encoder has left.

    Attributes:
        figures: Figures by name, without the stage.
        draws: Their bootstrap draws.
        counts: Stratum → concept → samples in which it is present.
    """

    figures: Mapping[str, float]
    draws: Draws
    counts: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, directory: Path) -> Judged:
        """Read the directory of a test."""
        summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
        about = summary["details"]["test/zero_shot"]
        strata = {name: part["positives"] for name, part in about["strata"].items()}
        figures = {
            key.removeprefix("test/"): value for key, value in summary.items() if isinstance(value, float)
        }
        return cls(figures, Draws.of_run(directory / DRAWS), {ALL: about["positives"], **strata})

    def classes(self, stratum: str) -> list[str]:
        """Return the concepts that can be judged within a stratum."""
        start = f"zero_shot/{_prefix(stratum)}auroc/"
        return [name for name in self.counts[ALL] if f"{start}{name}" in self.figures]

    def value(self, key: str) -> tuple[float, np.ndarray | None]:
        """Return a figure and its draws."""
        return self.figures[key], self.draws.values.get(f"test/{key}")

    def mean(self, keys: Sequence[str]) -> tuple[float, np.ndarray | None]:
        """Return the mean of several figures and its draws."""
        drawn = [self.draws.values.get(f"test/{key}") for key in keys]
        known = [one for one in drawn if one is not None]
        mean = float(np.mean([self.figures[key] for key in keys]))
        return mean, np.nanmean(known, 0) if len(known) == len(keys) else None


def tested(
    run: Path,
    real: str,
    out: Path,
    within: Sequence[str] = WITHIN,
    checkpoint: str = "last",
    options: Sequence[str] = (),
) -> Path:
    """Test the encoder of a run on radiographs, and return the directory of the test.

    Args:
        run: Directory with ``config.yaml`` and ``checkpoints/``.
        real: Folder of NIH radiographs, or a data layer.
        out: Where the directory goes.
        within: Findings within which is judged.
        checkpoint: ``last`` or ``best``.
        options: Further arguments of the test.

    Raises:
        ValueError: If the run, its checkpoint or the radiographs are missing.
    """
    config, weights = run / "config.yaml", run / "checkpoints" / f"{checkpoint}.ckpt"
    for path in (config, weights):
        if not path.exists():
            raise ValueError(f"{path} is missing: name the directory of a fit, or --checkpoint=best or last")
    layer = yaml.safe_load(shipped(LAYER).read_text(encoding="utf-8"))
    if not Path(real).exists():
        raise ValueError(f"--real={real} does not exist: give the folder of the radiographs, or a data layer")
    callbacks = layer["trainer"]["callbacks"]
    for callback in callbacks:
        if callback["class_path"] in ("callbacks.ZeroShot", "callbacks.LinearProbe"):
            callback.setdefault("init_args", {})["strata"] = [*VIEWS, *within]
    data = ["-c", NIH, f"--data.init_args.image_root={real}"] if Path(real).is_dir() else ["-c", real]
    line = program(
        [
            *("test", "-c", str(config), *data),
            f"--trainer.callbacks={json.dumps(callbacks)}",
            "--trainer.logger=false",
            f"--run_dir={out / '-'.join(part for part in run.parts if part not in ('/', '..'))}",
            f"--ckpt_path={weights}",
            *options,
        ]
    )
    return Path(str(line.trainer.default_root_dir))


def rows(one: Judged, other: Judged | None = None) -> Iterator[Row]:
    """Yield the lines of the table: means, floors and gains, then single classes.

    Args:
        one: Of the run.
        other: Of the run whose figures are subtracted; None for none.
    """
    strata = list(one.counts)
    shared = [name for name in one.classes(ALL) if all(name in one.classes(stratum) for stratum in strata)]

    def line(label: str, found: Mapping[str, Sequence[str]]) -> Row:
        cells = {_title(stratum): _cell(one, other, found.get(stratum, ())) for stratum in strata}
        return {"AUROC": label} | cells

    for figure, label in LABELS.items():
        yield line(label, {stratum: [figure.format(_prefix(stratum))] for stratum in strata})
        mean = figure.replace("auroc_macro", "auroc/{}")
        if shared and mean != figure:
            keys = {s: [mean.format(_prefix(s), name) for name in shared] for s in strata}
            yield line(f"{label}, the same {len(shared)} classes", keys)
    for figure, label in FEW.items():
        yield line(label, {ALL: [figure]})
    for name in one.classes(ALL):
        label = f"zero-shot, {name} ({', '.join(str(one.counts[stratum][name]) for stratum in strata)})"
        yield line(label, {stratum: [f"zero_shot/{_prefix(stratum)}auroc/{name}"] for stratum in strata})


def _title(stratum: str) -> str:
    """Return the head of a column."""
    return f"{stratum} films" if stratum in (ALL, *VIEWS) else f"within {stratum}"


def _prefix(stratum: str) -> str:
    return "" if stratum == ALL else f"{stratum}/"


def _cell(one: Judged, other: Judged | None, keys: Sequence[str]) -> str:
    """Return the mean of some figures with its interval, or the paired difference of two encoders."""
    if not keys or not all(key in some.figures for some in (one, other or one) for key in keys):
        return "–"
    value, drawn = one.mean(keys)
    if other is not None:
        less, drawn_less = other.mean(keys)
        value -= less
        paired = all(
            one.draws.sample.get(f"test/{key}") == other.draws.sample.get(f"test/{key}") for key in keys
        )
        drawn = drawn - drawn_less if paired and drawn is not None and drawn_less is not None else None
    sign = "" if other is None else "+"
    if drawn is None:
        return f"{value:{sign}.3f}"
    low, high = percentile_interval(drawn)
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def note(one: Judged, command: str) -> str:
    """Return what stands under the table."""
    counts = "; ".join(f"{_title(stratum)}: {', '.join(one.classes(stratum))}" for stratum in one.counts)
    return (
        f"`{command}`. Means are over the classes with enough positives and negatives ({counts}). "
        "In brackets: 95 % intervals over resampled patients, after a class its positives by column. A dash: "
        "too few of them."
    )


def main(args: Sequence[str] | None = None) -> None:
    """Judge one run, or two, and write and print the tables.

    Args:
        args: Arguments as on the command line; the process's own by default.
    """
    parser = argparse.ArgumentParser(
        "python -m scripts.transfer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run", type=Path, required=True, help="directory of a finished fit")
    parser.add_argument("--real", required=True, help="folder of NIH radiographs, or a data layer (YAML)")
    parser.add_argument("--against", type=Path, help="directory of another fit, which is subtracted")
    parser.add_argument("--within", nargs="*", default=WITHIN, metavar="FINDING", help="further columns")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last")
    parser.add_argument("--out", type=Path, default=Path("results/transfer"), help="tables go here")
    given, more = parser.parse_known_args(args)
    how = (given.within, given.checkpoint, more)  # more for the test, such as --trainer.precision=bf16-mixed
    one = Judged.of(tested(given.run, given.real, given.out, *how))
    command = f"make transfer RUN={given.run} REAL=…"
    print(write_table(list(rows(one)), given.out / "table", note(one, command)))
    if given.against is not None:
        other = Judged.of(tested(given.against, given.real, given.out, *how))
        command += f" AGAINST={given.against}"
        print(write_table(list(rows(one, other)), given.out / "differences", note(one, command)))


if __name__ == "__main__":
    import sys

    from scripts.command_line.errors import exit_code

    sys.exit(exit_code(main))
