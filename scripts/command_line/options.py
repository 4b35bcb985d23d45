"""`synvlp options [CLASS]`: the classes that YAML can name, and the options of one."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence

from jsonargparse import ArgumentParser

from scripts.command_line.suggestions import PACKAGES, class_named, classes, near, path_of


def parser_of(found: type) -> ArgumentParser:
    """Return a parser that takes what the constructor of a class takes."""
    parser = ArgumentParser(prog=path_of(found), add_help=False, exit_on_error=False)
    parser.add_class_arguments(found, fail_untyped=False)
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Print the options of a class, or all classes.

    Args:
        args: Arguments as on the command line; the process's own by default.

    Returns:
        The exit code: 1 if there is no such class.
    """
    parser = argparse.ArgumentParser(prog="synvlp options", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument(
        "name", nargs="?", help="SigLIP, lightning_modules.SigLIP, …; without one all are listed"
    )
    name = parser.parse_args(args).name
    if name is None:
        print(listed())
        return 0
    found = class_named(name)
    if found is None:
        alike = near(name, [path_of(other) for other in classes()])
        print(
            f"{name}: no such class; "
            + (
                f"did you mean {' or '.join(alike)}?"
                if alike
                else "give one, such as lightning_modules.SigLIP; `synvlp options` lists all"
            )
        )
        return 1
    print(path_of(found), "–", (inspect.getdoc(found) or "").partition("\n")[0])
    print(parser_of(found).format_help().partition("\n\n")[2])
    return 0


def listed() -> str:
    """Return every class that YAML can name, by package."""
    lines = []
    for package in PACKAGES:
        lines.append(f"{package}:")
        for found in classes():
            if path_of(found).startswith(f"{package}.") and not inspect.isabstract(found):
                lines.append(f"  {found.__name__:<28}{(inspect.getdoc(found) or '').partition(chr(10))[0]}")
    return "\n".join(lines)
