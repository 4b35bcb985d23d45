"""Verdicts on published claims: what the record of a comparison says of the arms that ask the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scripts.comparison.outcomes.claim import Claim
from scripts.comparison.outcomes.power import Power, needed, power_of
from scripts.comparison.outcomes.results import Results
from scripts.comparison.statistics import Difference, difference
from scripts.comparison.tables import Row

HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided here"


def verdict(found: Difference | None, margin: float = 0.0) -> str:
    """Return what a difference says: holds or fails where its interval excludes 0, else undecided.

    The interval is that over patients and seeds; a single seed decides nothing.

    Args:
        found: The difference; None where an arm has not been run.
        margin: How much less is still as good: the interval has to exclude minus this in place of 0.
    """
    if found is None or found.low_seeds is None or found.high_seeds is None:
        return UNDECIDED
    return HOLDS if found.low_seeds > -margin else FAILS if found.high_seeds < -margin else UNDECIDED


def verdict_rows(claims: Sequence[Claim], results: Results) -> list[Row]:
    """Return a row a claim: published figure, ours with its interval, verdict, why, and what would decide."""
    rows: list[Row] = []
    for one in claims:
        metric = results.comparison.metric(one.metric)
        found = difference(results.runs.get(one.arm, ()), results.runs.get(one.minus, ()), metric.key)
        told = verdict(found, one.margin)
        power = power_of(results, metric, found)
        arm, minus = (results.comparison.lines[name].title for name in (one.arm, one.minus))
        rows.append(
            {
                "claim": one.claim,
                "published": f"{one.published} ({one.source})",
                "ours": _ours(found),
                "verdict": told,
                "why": _why(one, found, told, power, results),
                "what would decide": "—" if told != UNDECIDED else _deciding(one, found, power),
                "asked here": f"{arm} − {minus}; {one.metric}",
            }
        )
    return rows


def _ours(found: Difference | None) -> str:
    if found is None:
        return "not run"
    text = f"{found.mean:+.3f}, {len(found.by_seed)} seed{'s' * (len(found.by_seed) != 1)}"
    if found.low_seeds is not None and found.high_seeds is not None:
        text += f" [{found.low_seeds:+.3f}, {found.high_seeds:+.3f}]"
    return text


def _why(claim: Claim, found: Difference | None, told: str, power: Power | None, results: Results) -> str:
    if found is None:
        absent = [
            results.comparison.lines[name].title
            for name in (claim.arm, claim.minus)
            if not any(results.comparison.metric(claim.metric).key in r.figures for r in results.runs[name])
        ]
        return f"not run or not measured: {'; '.join(absent)}"
    if found.low_seeds is None:
        return "too few seeds in common for an interval over seeds, or no interval over the patients"
    limit = f"{-claim.margin:+.3f} (as good as)" if claim.margin else "0"
    if told != UNDECIDED:
        return f"the interval lies {'above' if told == HOLDS else 'below'} {limit}"
    why = f"the interval holds {limit}"
    if power is not None and math.isfinite(least := power.detectable()):
        why += f"; a true difference of {least:.3f} would have been detected in 80 % of such runs"
    return why


def _deciding(claim: Claim, found: Difference | None, power: Power | None) -> str:
    if found is None or power is None:
        return claim.decides
    apart = found.mean + claim.margin  # from what the interval has to exclude
    return f"{needed(power, apart)}, if what was seen is true; {claim.decides}"


def verdict_note(scale: str, note: str) -> str:
    """Return what a reader of the verdicts has to know.

    Args:
        scale: Of the comparison.
        note: That of the claims.
    """
    return (
        f"{note} Scale {scale}. Differences with 95 % intervals over test patients and seeds; a claim "
        "holds or fails where it excludes 0 (of a claim that one is as good as the other: minus the margin "
        "that was fixed before). What would decide: at 80 % power, as in the table of power."
    )
