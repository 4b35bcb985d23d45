"""Look up known weaknesses of the packages of this environment, and say how many could be looked up.

`make audit` installs pip-audit beside the environment and calls this. Where the service that knows weaknesses
cannot be reached, pip-audit leaves packages out and ends well: here that is an error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.command_line.errors import exit_code

TOOL = Path("build/audit/bin/pip-audit")
_REMEDY = "run it where pypi.org answers, or try another service: make audit ARGS='--service=osv'"
_MOST_LEFT_OUT = 0.1  # of the packages: our own, and builds that no index has


def read_audit(text: str) -> list[dict[str, Any]]:
    """Return the packages of pip-audit's JSON.

    Raises:
        SystemExit: If it is none.
    """
    try:
        found: list[dict[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"audit: pip-audit gave no result; {_REMEDY}") from error
    return found


def verdict(packages: Sequence[dict[str, Any]]) -> tuple[int, str]:
    """Return exit code and lines: 0 nothing known, 1 weaknesses, 2 not looked up.

    Args:
        packages: Of `read_audit`.
    """
    left_out = [package["name"] for package in packages if "skip_reason" in package]
    looked_up = len(packages) - len(left_out)
    weak = [
        f"  {package['name']} {package['version']}: {entry['id']}, mended in "
        f"{', '.join(entry.get('fix_versions') or ['no version yet'])}"
        for package in packages
        for entry in package.get("vulns", ())
    ]
    if weak:
        return 1, "\n".join(
            [f"{len(weak)} known weaknesses in {looked_up} packages; raise their pins:", *weak]
        )
    if len(left_out) > _MOST_LEFT_OUT * len(packages):
        return 2, f"audit: {len(left_out)} of {len(packages)} packages could not be looked up; {_REMEDY}"
    more = f"; not looked up: {', '.join(left_out)}" if left_out else ""
    return 0, f"no known weakness in {looked_up} packages{more}"


def main(args: Sequence[str] | None = None) -> int:
    """Run pip-audit and return the exit code of `verdict`."""
    parser = argparse.ArgumentParser(prog="scripts.audit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tool", type=Path, default=TOOL, help="pip-audit (default: %(default)s)")
    parser.add_argument("--service", default="pypi", help="pypi or osv (default: %(default)s)")
    options = parser.parse_args(args)
    if not options.tool.is_file():
        parser.error(f"--tool={options.tool}: no such file; run `make audit`, which installs it")
    words = [
        options.tool,
        "--path",
        sysconfig.get_path("purelib"),
        "--vulnerability-service",
        options.service,
    ]
    done = subprocess.run(
        [*words, "--format=json", "--progress-spinner=off"], capture_output=True, text=True, check=False
    )
    code, lines = verdict(read_audit(done.stdout))
    print(lines, file=sys.stderr if code == 2 else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(exit_code(main))
