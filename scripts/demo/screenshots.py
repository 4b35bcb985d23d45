"""Take the pictures of pages that the documentation shows: `python -m scripts.demo.screenshots`.

Without arguments those of the demo page; `--run=runs/fit` that of a run's `summary.html`. It needs Chromium,
as the tests of the pages do. The pictures go to `docs/images/`.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.command_line.errors import exit_code
from scripts.demo.patients import Patients
from scripts.demo.serve import served, shipped_encoder
from synthesis.files import write_atomically

STEPS = {
    "pair": ("Pair", "Compare the text with the radiograph", "#reading table"),
    "map": ("Map", "Draw the map", "#map img >> nth=1"),
    "upload": ("Upload", "Score", "#answers table"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(args: Sequence[str] | None = None) -> None:
    """Take the pictures.

    Args:
        args: Arguments as on the command line; the process's own by default.
    """
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--run", type=Path, help="directory of a run: take the picture of its page instead")
    options = parser.parse_args(args)
    if options.run is not None:
        page_of_run(options.run, options.out / "run_page.png")
        return
    patients = Patients()
    with served(patients, shipped_encoder(patients), {}) as (_, url), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        for width, suffix in ((1280, ""), (390, "_narrow")):
            page = browser.new_page(viewport={"width": width, "height": 844})
            page.goto(url)
            page.wait_for_selector("#pair img")
            for name, (tab, button, answer) in STEPS.items():
                page.get_by_role("tab", name=tab, exact=True).click()
                page.get_by_role("button", name=button, exact=True).click()
                page.wait_for_selector(answer)
                if not suffix or name == "pair":
                    write_atomically(options.out / f"demo_{name}{suffix}.jpg", _taken(page, whole=not suffix))
        browser.close()


def page_of_run(run: Path, path: Path) -> None:
    """Take the picture of the beginning of a run's page.

    Args:
        run: The run's directory.
        path: PNG to write, in 64 colours.

    Raises:
        SystemExit: If the run has no page.
    """
    from PIL import Image
    from playwright.sync_api import sync_playwright

    page = run / "summary.html"
    if not page.is_file():
        raise SystemExit(f"--run={run}: no {page.name} in it; give the directory of a run that has ended")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 1000})
        tab.goto(page.absolute().as_uri())
        taken = Image.open(io.BytesIO(tab.screenshot())).convert("RGB").quantize(64)
        browser.close()
    file = io.BytesIO()
    taken.save(file, "PNG", optimize=True)
    write_atomically(path, file.getvalue())


def browser_path() -> str | None:
    """Return where the system's browser is; None if it has none of `BROWSERS`."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def _taken(page: Any, whole: bool) -> bytes:
    """Return the page as it stands, or what the window shows of it, as a JPEG."""
    from PIL import Image

    page.mouse.move(0, 0)
    file = io.BytesIO()
    Image.open(io.BytesIO(page.screenshot(full_page=whole))).convert("RGB").save(file, "JPEG", quality=80)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(exit_code(main))
