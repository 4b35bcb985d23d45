"""Take the pictures of the demo page that its documentation shows: `python -m scripts.demo.screenshots`.

It needs Chromium, as the tests of the page do. The pictures go to `docs/images/`.
"""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    options = parser.parse_args(args)
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
    main()
