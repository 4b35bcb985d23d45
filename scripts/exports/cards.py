"""Model card and data card of a run, from what it left: `python -m scripts.exports.cards --run runs/fit`.

Every figure is read from `summary.json`, or counted here on the data that `config.yaml` describes. What was
not measured is not on the cards.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from callbacks.run.summary_table import Summary, concept_table, figure_table, methods_of, stages_of
from callbacks.run.table import Table
from scripts.command_line.errors import exit_code
from scripts.corpora.data_statistics import DataStatistics, data_module, measured
from synthesis.files import write_atomically
from synthesis.strict_yaml import read_mapping

_HEAD = """\
---
library_name: transformers
pipeline_tag: zero-shot-image-classification
tags: [chest-radiograph, vision-language, synthetic-data, research]
---
"""
_LIMITS = """\
Research software, no medical device: nothing here says anything about a patient. Figures hold for the data
named beside them; on simulated radiographs they say how well the simulation is understood, not reality.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Write `model_card.md` and `data_card.md` into the directory of a run.

    Args:
        args: Arguments as on the command line; the process's own by default.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/fit"), help="directory of the training run")
    parser.add_argument(
        "--samples", type=int, default=500, help="samples of a split that the data card counts"
    )
    options = parser.parse_args(args)
    write_atomically(options.run / "model_card.md", model_card(options.run))
    write_atomically(options.run / "data_card.md", data_card(options.run, options.samples))
    print(f"{options.run}: model_card.md, data_card.md")


def model_card(run: Path, name: str | None = None) -> str:
    """Return the model card of a run: what it is, how it was made, what was measured, where it fails.

    Args:
        run: Directory with ``config.yaml`` and ``summary.json``; also what ``main.py test`` left in ``test``.
        name: Of the model; that of the run by default.

    Raises:
        SystemExit: If one of the two is not there.
    """
    config, summary = _yaml(run / "config.yaml"), _json(run / "summary.json")
    parts = [
        _HEAD,
        f"# {name or run.name}: a dual encoder for chest radiographs and reports\n",
        _LIMITS,
        "## Model\n",
    ]
    try:
        parts += [_model(config["model"]), "## Training\n", _training(config, summary)]
    except (KeyError, TypeError, AttributeError) as error:
        raise SystemExit(
            f"{run / 'config.yaml'} is no whole configuration ({type(error).__name__}: {error}); take it "
            "from where the run was made, or train again"
        ) from error
    parts += _figures(summary, "the data of the training run")
    tested = sorted(run.glob("test*/summary.json"))
    for path in tested:
        data = _yaml(path.with_name("config.yaml"))["data"]
        where = Path(str(data["init_args"].get("image_root") or "the simulated test split")).name
        parts += _figures(_json(path), f"{data['class_path'].rpartition('.')[2]}, {where}")
    return "\n".join(parts)


def data_card(run: Path, samples: int) -> str:
    """Return the data card of a run: where the data comes from, and what was counted on it.

    Args:
        run: Directory with ``config.yaml``.
        samples: The first so many samples of each split are counted.
    """
    config = _yaml(run / "config.yaml")
    data = data_module(config["data"])
    splits = {split: measured(data, split, samples) for split in ("train", "val", "test")}
    found = {split: statistics for split, statistics in splits.items() if statistics is not None}
    parts = [
        f"# The data of {run.name}\n",
        _source(config["data"]),
        "## Splits\n",
        _split_table(found).markdown(),
    ]
    parts += [_concept_counts(split, statistics).markdown() for split, statistics in found.items()]
    return "\n".join(parts)


def _model(model: Mapping[str, Any]) -> str:
    arguments = model["init_args"]
    rows = [
        [
            part.replace("_", " "),
            arguments[part]["class_path"],
            _listed(arguments[part].get("init_args") or {}),
        ]
        for part in ("image_encoder", "text_encoder", "objective")
    ]
    return Table("Parts", ["part", "class", "arguments"], rows).markdown()


def _training(config: Mapping[str, Any], summary: Summary) -> str:
    circumstances: Mapping[str, Any] = summary["details"].get("fit/run", {})
    hyper = {
        key: value for key, value in config["model"]["init_args"].items() if not isinstance(value, Mapping)
    }
    rows = [[key.replace("_", " "), str(value)] for key, value in circumstances.items() if key != "versions"]
    rows += [["versions", _listed(circumstances.get("versions", {}))], ["hyper-parameters", _listed(hyper)]]
    rows += [["data", config["data"]["class_path"]], ["precision", str(config["trainer"]["precision"])]]
    return Table("How it was trained", ["", "value"], rows).markdown()


def _figures(summary: Summary, data: str) -> list[str]:
    """Return the tables of a summary, each with the hashes of what it was measured on."""
    parts = []
    for stage in stages_of(summary):
        parts.append(f"## Measured on {data}: {stage}\n")
        tables = (concept_table(summary, stage), figure_table(summary, stage))
        parts += [table.markdown() for table in tables if table is not None]
        parts += [_hashes(summary, stage), _weak(summary, stage)]
    return parts


def _hashes(summary: Summary, stage: str) -> str:
    rows = [
        [
            key,
            str(details.get("n", "–")),
            *(str(details.get(name) or "–") for name in ("split_sha256", "prompts_sha256")),
        ]
        for key, details in summary["details"].items()
        if key.startswith(f"{stage}/") and "split_sha256" in details
    ]
    return Table(
        "What the figures were measured on", ["evaluation", "n", "split SHA-256", "prompts SHA-256"], rows
    ).markdown()


def _weak(summary: Summary, stage: str) -> str:
    """Name, for each method, the concepts whose interval reaches down to chance."""
    lines = []
    for method in methods_of(summary, stage):
        intervals = summary["details"].get(f"{stage}/{method}", {}).get("intervals", {})
        weak = [name[6:] for name, (low, _) in intervals.items() if name.startswith("auroc/") and low <= 0.5]
        if weak:
            names = ", ".join(name.replace("_", " ") for name in weak)
            lines.append(
                f"Not told from chance by {method.replace('_', ' ')} (interval reaches .5): {names}.\n"
            )
    return "\n".join(lines)


def _source(data: Mapping[str, Any]) -> str:
    arguments = data["init_args"]
    origin = arguments.get("origin")
    home = (
        f"It comes from {origin['name']}, {origin['home']}; terms: {origin['terms']}.\n\n" if origin else ""
    )
    parts = {
        name: part["class_path"]
        for name, part in {
            **arguments,
            **((arguments.get("synthesizer") or {}).get("init_args") or {}),
        }.items()
        if isinstance(part, Mapping) and "class_path" in part
    }
    rows = [
        ["data module", data["class_path"]],
        *([name.replace("_", " "), path] for name, path in parts.items()),
    ]
    return home + Table("Where it comes from", ["part", "class"], rows).markdown()


def _split_table(splits: Mapping[str, DataStatistics]) -> Table:
    rows = [
        [
            split, f"{s.size:,}", f"{s.counted:,}", f"{s.patients:,}",
            ", ".join(f"{view} {count:,}" for view, count in s.views.items()),
            "–" if s.words is None else f"{s.words[1]:.0f} ({s.words[0]:.0f} to {s.words[2]:.0f})",
            "–" if s.distinct_reports is None else f"{s.distinct_reports:,}",
            f"{s.grey_mean:.3f} ± {s.grey_deviation:.3f}", s.sha256[:16],
        ]
        for split, s in splits.items()
    ]  # fmt: skip
    columns = [
        "split", "samples", "counted", "patients", "views", "words a report: median (5 to 95 %)",
        "distinct reports", "grey level of an image", "SHA-256 (first 16)",
    ]  # fmt: skip
    return Table("Splits, counted on the first samples of each", columns, rows)


def _concept_counts(split: str, statistics: DataStatistics) -> Table:
    rows = [
        [name, str(present), str(absent), str(statistics.counted - present - absent)]
        for name, (present, absent) in statistics.concepts.items()
        if present + absent
    ]
    return Table(f"{split}: labels", ["concept", "present", "absent", "unknown"], rows)


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)


def _yaml(path: Path) -> dict[str, Any]:
    _text(path)
    return read_mapping(path)


def _json(path: Path) -> Any:
    return json.loads(_text(path))


def _text(path: Path) -> str:
    if not path.is_file():
        raise SystemExit(f"{path}: no such file; give the directory of a finished run")
    return path.read_text()


if __name__ == "__main__":
    sys.exit(exit_code(main))
