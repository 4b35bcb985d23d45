"""Write `constraints.txt`: exact versions of all that the extras of `make install` bring.

Run it (`make constraints`) in an environment in which all tests pass. Unlike `pip freeze` it lists only what
our own requirements lead to, and drops local labels such as `+cpu`, which exist on no public index.
"""

from __future__ import annotations

import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts.command_line.errors import exit_code
from synthesis.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# Exact versions of everything SynVLP and its extras lead to, as tested on Python 3.11 (`make constraints`).
# On Linux the plain torch wheel also brings its CUDA libraries, whose versions it pins itself.
"""


def closure(name: str, extras: set[str]) -> dict[str, Version]:
    """Return the installed version of every distribution that `name[extras]` needs on this machine.

    Args:
        name: An installed distribution, itself not part of the answer.
        extras: The extras of it that are wanted.

    Raises:
        importlib.metadata.PackageNotFoundError: If one of them is not installed.
    """
    found: dict[str, Version] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *sorted(extras))]
    while waiting:
        current, extra = waiting.pop()
        if (canonicalize_name(current), extra) in seen:
            continue
        seen.add((canonicalize_name(current), extra))
        here = distribution(current)
        if canonicalize_name(current) != canonicalize_name(name):
            found[canonicalize_name(current)] = Version(here.version)
        for line in here.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, wanted) for wanted in ("", *requirement.extras)]
    return found


def constraints() -> str:
    """Return the text of `constraints.txt` for the environment this runs in."""
    versions = closure("synvlp", {"dev", "docs", "corpora", "atlas", "demo", "llm", "lora", "detection"})
    return HEADER + "".join(f"{name}=={version.public}\n" for name, version in sorted(versions.items()))


def main() -> None:
    """Write the file."""
    write_atomically(ROOT / "constraints.txt", constraints())


if __name__ == "__main__":
    sys.exit(exit_code(main))
