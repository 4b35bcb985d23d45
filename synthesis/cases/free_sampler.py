"""Cases drawn without plausibility: what entity sampling as published gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthesis.cases.case import Finding, View
from synthesis.cases.samplers import BalancedCaseSampler


class FreeCaseSampler(BalancedCaseSampler):
    """Draws balanced cases in which findings need not go together.

    SynCXR (Liu et al., arXiv:2410.13523) samples clinical entities under a cap on their counts and under no
    other rule; reviewers found sets that contradict themselves. Here concepts, their sides and the view are
    drawn without the rules of the catalogue: what excludes each other may meet, on one side too, and a
    special form may stand beside the general one. Places and degrees stay those of the concept, for nothing
    could be drawn elsewhere; the cap and all rates are those of `BalancedCaseSampler`. It is a control, not
    a way to make better pairs.
    """

    version: int = 1

    def _fitting(self, findings: Sequence[Finding], pool: Sequence[str]) -> list[str]:
        taken = {finding.concept for finding in findings}
        return [name for name in pool if name not in taken]

    def _free_sides(self, findings: Sequence[Finding], name: str) -> list[str | None]:
        return list(self._rules[name].sides)

    def _view(self, findings: list[Finding], rng: np.random.Generator) -> View:
        return "AP" if rng.random() < self._settings["ap_rate"] else "PA"
