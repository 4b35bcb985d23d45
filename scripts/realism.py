"""How well simple features tell simulated radiographs from real ones: `make realism`.

    make realism REAL=FOLDER                                    NIH ChestX-ray14, or a part of it
    make realism REAL=my.yaml DATA=configs/simulator/tone.yaml  a layer of your own; with a switch on

As many pairs are made as there are radiographs, as many of each view. A logistic regression on grey
histograms, on texture or on the layout of thumbnails tells one from the other; at an AUROC of 0.5 it cannot.
Beside it stands one half of the real radiographs against the other, and what both measure. A high AUROC means
that something differs which no finding needs; a low one does not mean that findings look right.

Writes tables and plots into `results/realism`; the contact sheet, which shows real ones, is ignored by git.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from callbacks.statistics.intervals import PatientBootstrap, Ranking
from datamodules.batch import UNKNOWN_VIEW, VIEWS
from datamodules.loading.sample import Sample
from datamodules.tables.table_images import TableImages
from scripts.comparison.tables import Row, write_table
from scripts.corpora.check_pairs import read_table_data
from scripts.corpora.make_corpus import read_data
from scripts.simulator.film_features import GROUPS, Floats, measures
from scripts.simulator.film_plots import save_histograms, save_sheet, save_spectra
from synthesis.files import write_atomically
from synthesis.pairs import PairSynthesizer
from synthesis.progress import track

NIH = "configs/data/nih_chestxray14.yaml"
SIZE = "--model.init_args.image_encoder.init_args.image_size"
FOLDS = 5
HALVINGS = 5  # of the real radiographs, for the baseline
STRENGTH = 0.1  # scikit-learn's C
_CHUNK, _PATIENCE = 64, 40


@dataclass(frozen=True)
class Films:
    """Radiographs of one kind.

    Attributes:
        images: float32 ``(film, height, width)`` in [0, 1].
        views: View of each: 0 PA, 1 AP, -1 unknown.
        patients: Number of each one's patient.
    """

    images: Tensor
    views: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        """Number of films."""
        return len(self.views)


def read_films(real: str, most: int, options: Sequence[str] = ()) -> Films:
    """Read real radiographs as training would.

    Args:
        real: Folder of NIH radiographs, or a data layer.
        most: At most so many, the first of the table.
        options: Further options of the configuration.

    Raises:
        ValueError: If there are too few to be told from anything.
    """
    if not Path(real).exists():
        raise ValueError(f"--real={real} does not exist: give the folder of the radiographs, or a data layer")
    folder = Path(real).is_dir()
    given = [f"--data.init_args.image_root={real}"] if folder else []
    data = read_table_data([NIH if folder else real], [*given, *options])
    TableImages.prepare_data(data)  # the table and its images, but no tokenizer
    samples: list[Sample] = []
    for split in data.filled_splits:
        source = data.source(split)
        samples += source.samples(range(min(len(source), most - len(samples))))
    if len(samples) < 4 * FOLDS:
        raise ValueError(
            f"--real={real} has {len(samples)} radiographs: give {4 * FOLDS} or more, for a cross-validation"
        )
    return Films(
        torch.stack([sample.image[0] for sample in samples]).float() / 255,
        np.array([sample.view for sample in samples]),
        np.array([sample.group for sample in samples]),
    )


def make_films(synthesizer: PairSynthesizer, views: np.ndarray, seed: int) -> Films:
    """Make as many simulated radiographs of each view; for a film of unknown view, any.

    Raises:
        ValueError: If the sampler does not draw a view.
    """
    wanted = Counter(views.tolist())
    images, drawn = [], []
    for start in track(range(0, _PATIENCE * len(views) + _CHUNK, _CHUNK), "simulated films"):
        if not wanted.total():
            break
        for pair in synthesizer.make(range(start, start + _CHUNK), seed, "realism"):
            view = VIEWS.index(pair.view)
            asked = view if wanted[view] else UNKNOWN_VIEW
            if wanted[asked]:
                wanted[asked] -= 1
                images.append(pair.image[0])
                drawn.append(asked)
    if wanted.total():
        missing = ", ".join(f"{VIEWS[view]} {count}" for view, count in wanted.items() if count)
        raise ValueError(
            f"the sampler draws too few films of a view ({missing} missing): give --data a layer of another"
        )
    return Films(torch.stack(images).float() / 255, np.array(drawn), np.arange(len(drawn)))


def told_apart(features: Floats, simulated: np.ndarray, views: np.ndarray, patients: np.ndarray) -> Floats:
    """Return out-of-fold scores of a logistic regression, ``(film,)``: higher means simulated.

    Folds hold whole patients, and as much of each kind and view as can be.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = np.zeros(len(simulated))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for fitted, judged in folds.split(features, 3 * simulated + views, patients):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=3000))
        model.fit(features[fitted], simulated[fitted])
        scores[judged] = model.decision_function(features[judged])
    return scores


def judged(real: Films, simulated: Films) -> dict[str, dict[str, list[float]]]:
    """Return AUROC with its 95 % interval over resampled patients, by group of features and view."""
    images = torch.cat([real.images, simulated.images])
    kind = np.repeat([0, 1], [len(real), len(simulated)])
    views = np.concatenate([real.views, simulated.views])
    patients = np.concatenate([real.patients, real.patients.max() + 1 + simulated.patients])
    found: dict[str, dict[str, list[float]]] = {}
    features = {name: group(images) for name, group in GROUPS.items()}
    for name, values in features.items():
        scores = told_apart(values, kind, views, patients)
        found[name] = {"all": _interval(scores, kind, patients)}
        for number, view in enumerate(VIEWS):
            chosen = views == number
            if min(np.bincount(kind[chosen], minlength=2)) >= FOLDS:
                found[name][view] = _interval(scores[chosen], kind[chosen], patients[chosen])
        found[name]["real halves"] = _halves(values[: len(real)], real)
    return found


def _interval(scores: Floats, kind: np.ndarray, patients: np.ndarray) -> list[float]:
    ranking, bootstrap = Ranking(scores, kind.astype(float)), PatientBootstrap(patients)
    drawn = np.concatenate([ranking.auroc(weights) for weights in bootstrap.weights()])
    return [float(ranking.auroc(np.ones((len(scores), 1)))[0]), *bootstrap.interval(drawn)]


def _halves(features: Floats, real: Films) -> list[float]:
    """Return the mean, least and greatest AUROC of halves of the patients that are called simulated."""
    people, person = np.unique(real.patients, return_inverse=True)
    values = []
    for seed in range(HALVINGS):
        half = np.random.default_rng(seed).permutation(len(people)) < len(people) // 2
        kind = half[person].astype(int)
        scores = told_apart(features, kind, real.views, real.patients)
        values.append(float(Ranking(scores, kind.astype(float)).auroc(np.ones((len(kind), 1)))[0]))
    return [float(np.mean(values)), min(values), max(values)]


def auroc_rows(found: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Row]:
    """Return one line a group of features, one column a view and the baseline."""
    columns = list(dict.fromkeys(name for row in found.values() for name in row))
    return [
        {"features": group}
        | {name: "{:.3f} [{:.3f}, {:.3f}]".format(*row[name]) if name in row else "–" for name in columns}
        for group, row in found.items()
    ]


def measure_rows(real: Mapping[str, Floats], simulated: Mapping[str, Floats]) -> list[Row]:
    """Return one line a measure: percentiles 5 / 25 / 50 / 75 / 95 of both kinds."""

    def cell(values: Floats) -> str:
        return " / ".join(f"{value:.2f}" for value in np.percentile(values, [5, 25, 50, 75, 95]))

    return [{"measure": name, "real": cell(real[name]), "simulated": cell(simulated[name])} for name in real]


def parsed(args: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "python -m scripts.realism",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--real", required=True, help="folder of NIH radiographs, or a data layer (YAML)")
    parser.add_argument(
        "--data", nargs="*", default=[], metavar="LAYER", help="layers over configs/pretrain.yaml"
    )
    parser.add_argument("--size", type=int, default=128, help="px a side")
    parser.add_argument("--most", type=int, default=2000, help="real radiographs, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated pairs")
    parser.add_argument("--out", type=Path, default=Path("results/realism"), help="everything goes here")
    given, options = parser.parse_known_args(args)
    given.options = options  # of the simulated data, such as --data.init_args…
    for name in ("size", "most"):
        if getattr(given, name) < 1:
            raise ValueError(f"--{name}={getattr(given, name)}: give 1 or more")
    return given


def main(args: Sequence[str] | None = None) -> None:
    """Read, make, tell apart, and write tables and pictures.

    Args:
        args: Arguments as on the command line; the process's own by default.
    """
    given = parsed(args)
    real = read_films(given.real, given.most, [f"{SIZE}={given.size}"])
    data = read_data(given.data, [f"{SIZE}={given.size}", *given.options])
    simulated = make_films(data.synthesizer, real.views, given.seed)
    found = judged(real, simulated)
    both = measures(real.images), measures(simulated.images)
    layers = " ".join(given.data)
    command = f"make realism REAL=…{f' DATA={layers}' if layers else ''}"
    counts = ", ".join(
        f"{count} {'unknown' if view == UNKNOWN_VIEW else VIEWS[view]}"
        for view, count in sorted(Counter(real.views.tolist()).items())
    )
    text = write_table(
        auroc_rows(found),
        given.out / "auroc",
        f"`{command}`. AUROC of a cross-validated logistic regression that tells simulated from real "
        f"radiographs, {counts} of each kind, {given.size} px; 95 % intervals over resampled patients. Of "
        f"halves of the real ones: mean, least, greatest of {HALVINGS} halvings by patient; chance is 0.5.",
    )
    text += "\n" + write_table(
        measure_rows(*both),
        given.out / "measures",
        "Percentiles 5 / 25 / 50 / 75 / 95 over radiographs, grey stretched to each one's 1st–99th.",
    )
    summary: dict[str, Any] = {"command": command, "films": len(real), "size": given.size, "auroc": found}
    write_atomically(given.out / "realism.json", json.dumps(summary, indent=1) + "\n")
    save_histograms(real.images, simulated.images, given.out / "histograms.png")
    save_spectra(real.images, simulated.images, given.out / "spectra.png")
    left, right = (films.images[np.argsort(films.views, kind="stable")] for films in (real, simulated))
    save_sheet(left, right, given.out / "sheet.local.png")
    print(text)
    print(f"look at {given.out / 'sheet.local.png'}: real radiographs left, simulated right")


if __name__ == "__main__":
    import sys

    from scripts.command_line.errors import exit_code

    sys.exit(exit_code(main))
