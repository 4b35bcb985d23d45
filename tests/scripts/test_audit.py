"""An audit that looked nothing up is no clean bill of health."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import audit

GOOD = [{"name": f"p{k}", "version": "1.0", "vulns": []} for k in range(19)]
OWN = {"name": "synvlp", "skip_reason": "Dependency not found on PyPI"}
WEAK = {"name": "bad", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([*GOOD, OWN], 0, "no known weakness in 19 packages; not looked up: synvlp"),
        ([*GOOD, WEAK], 1, "bad 2.0: PYSEC-1, mended in 2.1"),
        ([{**package, "skip_reason": "not found"} for package in GOOD], 2, "19 of 19 packages could not"),
    ],
)
def test_the_verdict_counts_what_was_looked_up(
    packages: list[dict[str, Any]], code: int, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tool = tmp_path / "pip-audit"
    content = json.dumps({"dependencies": packages})
    tool.write_text(f"#!{sys.executable}\nprint({content!r})\n")
    tool.chmod(0o755)
    assert audit.main([f"--tool={tool}"]) == code
    printed = capfd.readouterr()
    assert said in printed.out + printed.err


def test_no_result_is_said_with_a_remedy() -> None:
    with pytest.raises(SystemExit, match="no result; run it where"):
        audit.read_audit("Traceback (most recent call last):")
