"""Write `constraints.txt`: exact versions of all that our requirements lead to, those of the extras too.

Run it (`make constraints`) in an environment in which all tests pass, and to which the peers of `make bench`
are added (`pip install -e '.[bench]'`). Unlike `pip freeze` it lists only what our own requirements lead to,
and drops local labels such as `+cpu`, which exist on no public index.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts.command_line.errors import exit_code
from synthesis.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {"mlflow"}
"""Extras that do not fit beside the others: pyproject.toml says why."""

HEADER = """\
# Exact versions of everything SynVLP and its extras lead to, as tested on Python 3.11 (`make constraints`).
# On Linux the plain torch wheel also brings its CUDA libraries, whose versions it pins itself.
"""


def requirements() -> list[Requirement]:
    """Return what pyproject.toml asks for: itself and in its extras, without those `LEFT_OUT`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    chosen = (line for name, lines in extras.items() if name not in LEFT_OUT for line in lines)
    return [Requirement(line) for line in (*project["dependencies"], *chosen)]


def closure(wanted: Iterable[Requirement]) -> dict[str, Version]:
    """Return the installed version of every distribution that requirements lead to on this machine.

    Args:
        wanted: The requirements.

    Raises:
        importlib.metadata.PackageNotFoundError: If one of them is not installed.
    """
    found: dict[str, Version] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(line.name, extra) for line in wanted for extra in ("", *line.extras)]
    while waiting:
        current, extra = waiting.pop()
        if (canonicalize_name(current), extra) in seen:
            continue
        seen.add((canonicalize_name(current), extra))
        here = distribution(current)
        found[canonicalize_name(current)] = Version(here.version)
        for line in here.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, each) for each in ("", *requirement.extras)]
    return found


def constraints() -> str:
    """Return the text of `constraints.txt` for the environment this runs in."""
    versions = closure(requirements())
    return HEADER + "".join(f"{name}=={version.public}\n" for name, version in sorted(versions.items()))


def main() -> None:
    """Write the file."""
    write_atomically(ROOT / "constraints.txt", constraints())


if __name__ == "__main__":
    sys.exit(exit_code(main))
