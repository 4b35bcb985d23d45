"""The system's own browser, for tests of pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scripts.demo.screenshots import BROWSERS, browser_path


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser without a window; skip the test where there is none, but fail it in CI.

    Outside the block nothing of it is left: Playwright keeps an event loop running in this thread.
    """
    path = browser_path()
    if path is None:
        message = f"none of {', '.join(BROWSERS)} is installed (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
