"""Published claims, and which arms of a comparison ask the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.comparison.definition import Comparison
from synthesis.strict_yaml import Entry


@dataclass(frozen=True)
class Claim:
    """A published claim and what asks the same here.

    Attributes:
        claim: In words.
        source: Where it was published.
        published: Its figure there, in words.
        arm: The arm that is better if it holds …
        minus: … than this one.
        metric: In this column.
        decides: What would decide it where the interval does not.
        margin: Of a claim that an arm is as good as another: how much less still is as good. It holds where
            the whole interval lies above minus this.
    """

    claim: str
    source: str
    published: str
    arm: str
    minus: str
    metric: str
    decides: str
    margin: float = 0.0


def read_claims(path: Path, comparison: Comparison) -> tuple[list[Claim], str]:
    """Return the claims of a file, and what a reader of the verdicts has to know.

    Raises:
        YamlError: If it is malformed, or names an arm or column that the comparison does not have.
    """
    root, _ = Entry.read(path)
    columns, arms = [metric.column for metric in comparison.metrics], list(comparison.lines)
    claims = []
    for _, entry in root.named("claims", "claim"):
        claims.append(
            Claim(
                entry.text("claim"),
                entry.text("source"),
                entry.text("published"),
                entry.text("arm", arms),
                entry.text("minus", arms),
                entry.text("metric", columns),
                entry.text("decides"),
                entry.number("margin", 0, 1, default=0.0),
            )
        )
        entry.close()
    note = root.text("note")
    root.close()
    return claims, note
