"""What the real parser makes of a command line."""

from __future__ import annotations

import contextlib
import io
from functools import cache
from typing import Any

import yaml

from main import main


def resolved_config(subcommand: str, *args: str) -> dict[str, Any]:
    """Return what the real parser makes of these arguments, with every default and interpolation filled in.

    Args:
        subcommand: ``"fit"``, ``"test"`` …
        args: What stands after it.

    Raises:
        SystemExit: If they do not parse; the reason is on stderr.
    """
    config: dict[str, Any] = yaml.safe_load(_printed_config(subcommand, *args))
    return config


@cache  # parsing takes a second, and files do not change while a script runs
def _printed_config(*args: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            main([*args, "--print_config"])
        except SystemExit as exit_:
            if exit_.code not in (0, None):
                raise
    return printed.getvalue()
