"""Table and sheets of images with and without a finding: see `scripts.generators.counterfactuals`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scripts.comparison.tables import write_table
from scripts.generators.counterfactuals import Removal
from scripts.generators.sheets import sheet
from synthesis.files import replaced

_KEPT = "counterfactuals.npz"
_COLUMNS = ("with", "without", "change ×2", "simulated place")
_NOTE = (
    "Each case is drawn with and without one of its findings in the report, from the same noise. Place: the "
    "AUROC with which the change of a pixel tells whether a simulated patient has the finding there, mean "
    "over the cases; 0.5 is anywhere, or no change; in brackets the 95 % interval (normal) and the cases. "
    "The simulator's row is what a perfect generator would get, whose patients are others too. Change: mean "
    "absolute change of the grey value, from 0 to 1, in that place and outside it."
)


def keep_removals(directory: Path, images: Tensor, removed: Sequence[Removal]) -> None:
    """Keep what a sheet shows, 8 bits a pixel.

    Args:
        directory: Where to.
        images: ``(removal, 2, height, width)`` in [0, 1]: with the finding, without it.
        removed: What was left out.
    """
    masks = torch.stack([removal.mask for removal in removed])[:, None].float()
    changed = (2 * (images[:, 0] - images[:, 1]).abs()).clamp(0, 1)
    place = F.interpolate(masks, images.shape[-2:], mode="area")[:, 0]
    columns = dict(zip(_COLUMNS, (images[:, 0], images[:, 1], changed, place), strict=True))
    kept: dict[str, Any] = {name: column.mul(255).round().byte().numpy() for name, column in columns.items()}
    told = [f"without {r.concept.replace('_', ' ')}: {r.reports[0].findings}" for r in removed]
    with replaced(directory / _KEPT) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **kept, texts=np.array(told))


def report_removals(directories: Mapping[str, Path], out: Path) -> None:
    """Write the table of all generators, and a sheet of each; of those that were measured so.

    Args:
        directories: Title of the arm → directory of its measure.
        out: Where to.
    """
    rows: list[dict[str, str | float]] = []
    for name, path in directories.items():
        found = json.loads((path / "measured.json").read_text())["details"]["judge"].get(
            "counterfactuals", {}
        )
        rows += [_row(name, concept, of) for concept, of in found.items() if of["cases"]]
        if (path / _KEPT).is_file():
            kept = dict(np.load(path / _KEPT))
            columns = {title: torch.from_numpy(kept[title]).float() / 255 for title in _COLUMNS}
            texts = [str(text) for text in kept["texts"]]
            sheet(
                columns, texts, f"{name}: a finding left out, same noise", out / f"{name}_counterfactuals.png"
            )
    if rows:
        write_table(rows, out / "counterfactuals", _NOTE)


def _row(name: str, concept: str, of: Mapping[str, Any]) -> dict[str, str | float]:
    place = "{place:.3f} [{low:.3f}, {high:.3f}; {cases}]".format_map(of)
    changes = {f"change {part}": f"{of[part]:.4f}" for part in ("inside", "outside")}
    return {"arm": name, "left out": concept.replace("_", " "), "place": place, **changes}
