"""Tables and sheets of the generators that have been judged so far."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scripts.comparison.tables import write_table
from scripts.generator_ground import Ground
from scripts.generator_sheets import sheet
from scripts.generator_verdict import Verdict
from synthesis.files import write_json

_SHOWN = 8


def write_results(
    verdicts: Mapping[str, Verdict],
    trained: Mapping[str, Mapping[str, float]],
    ground: Ground,
    note: str,
    out: Path,
) -> str:
    """Write ``table.{md,csv,tex,json}``, ``concepts.{md,csv,tex}`` and the sheets; return the table.

    Args:
        verdicts: By name of the generator, the simulator's first.
        trained: Facts of training by name of the stage.
        ground: What they were compared on.
        note: What a reader of the table has to know.
        out: Where everything goes.
    """
    table = write_table([verdict.line for verdict in verdicts.values()], out / "table", note)
    facts = {
        "note": note,
        "test_split_sha256": ground.data.split_sha256("test"),
        "training": trained,
        "generators": {name: v.line | {"auroc": v.concepts} for name, v in verdicts.items()},
    }
    write_json(out / "table.json", facts)
    _write_concepts(verdicts, out)
    _draw_sheets(verdicts, ground, out)
    return table


def _write_concepts(verdicts: Mapping[str, Verdict], out: Path) -> None:
    names = list(dict.fromkeys(name for v in verdicts.values() for name in v.concepts))
    rows = [
        {"concept": name} | {key: v.concepts.get(name, float("nan")) for key, v in verdicts.items()}
        for name in names
    ]
    if rows:
        note = "AUROC of the probe on images drawn for the same cases; nan: too few cases with or without it."
        write_table(rows, out / "concepts", note)


def _draw_sheets(verdicts: Mapping[str, Verdict], ground: Ground, out: Path) -> None:
    shown = min(_SHOWN, len(ground.pairs), len(verdicts["simulator"].samples))
    prompts = [pair.report.impression for pair in ground.pairs[:shown]]
    columns = {name: v.images[:shown, 0] for name, v in verdicts.items()}
    sheet(columns, prompts, "The same reports, drawn by each", out / "all.png")
    for name, verdict in verdicts.items():
        several = {f"{name} {k + 1}": verdict.samples[:shown, k, 0] for k in range(verdict.samples.shape[1])}
        beside = {"case": ground.reference.images[:shown, 0]} | several
        sheet(beside, prompts, f"{name}: several images of each report", out / f"{name}.png")
        near = verdict.memorised
        worst = {
            "generated": verdict.images[near.worst, 0],
            "nearest training": ground.training.images[near.training, 0],
            "nearest held out": ground.held_out.images[near.held_out, 0],
        }
        asked = [ground.pairs[int(row)].report.impression for row in near.worst]
        sheet(worst, asked, f"{name}: most like a training image", out / f"{name}_nearest.png")
