"""Pictures of single runs, put together for the results: an arm below the other."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.comparison.engine import Plan
from scripts.comparison.outcomes.results import Results
from synthesis.files import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

_HEADING = 34  # pixels of an arm's title


def write_pictures(plan: Plan, results: Results) -> None:
    """Write ``<name>.png`` and ``<name>.pdf``, a page an arm, of each picture that the comparison keeps.

    They are those of each arm's first recorded seed. Where none of the runs lies here, earlier files stay.

    Args:
        plan: Where the runs are.
        results: Which runs there are.
    """
    from PIL import Image

    for picture in plan.comparison.pictures:
        sheets: dict[str, Image.Image] = {}
        lacking = []
        for name in picture.arms:
            arm = plan.comparison.lines[name]
            if found := results.runs.get(name):
                directory = plan.run(arm, found[0].seed).directory
                path = directory / picture.file
                if path.is_file():
                    with Image.open(path) as opened:
                        sheets[arm.title] = opened.convert("RGB")
                elif directory.is_dir():
                    lacking.append(name)
        if lacking:
            print(f"picture {picture.name}: no {picture.file} in the runs of {', '.join(lacking)}; left out")
        if sheets:
            _write(stacked(sheets), plan.out / f"{picture.name}.png")
            _write_pages(sheets, plan.out / f"{picture.name}.pdf")


def stacked(sheets: Mapping[str, Image]) -> Image:
    """Return pictures below each other, each under its title, on white.

    Args:
        sheets: Title → picture; at least one.
    """
    from PIL import Image, ImageDraw

    width = max(sheet.width for sheet in sheets.values())
    height = sum(sheet.height + _HEADING for sheet in sheets.values())
    whole = Image.new("RGB", (width, height), "white")
    pen, top = ImageDraw.Draw(whole), 0
    for title, sheet in sheets.items():
        pen.text((8, top + 8), title, fill="black", font_size=18)
        whole.paste(sheet, (0, top + _HEADING))
        top += sheet.height + _HEADING
    return whole


def _write(picture: Image, path: Path) -> None:
    file = io.BytesIO()
    picture.quantize(128).save(file, "PNG", optimize=True)  # half the size, and no eye sees it
    write_atomically(path, file.getvalue())


def _write_pages(sheets: Mapping[str, Image], path: Path) -> None:
    file = io.BytesIO()
    first, *others = (stacked({title: sheet}) for title, sheet in sheets.items())
    dates = dict.fromkeys(("creationDate", "modDate"), time.gmtime(0))  # the same picture is the same file
    first.save(file, "PDF", save_all=True, append_images=others, resolution=110, **dates)
    write_atomically(path, file.getvalue())
