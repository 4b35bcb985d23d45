"""The interface of report writers."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from synthesis.cases import Case
from synthesis.reports.report import Report


@runtime_checkable
class ReportWriter(Protocol):
    """Turns cases into reports.

    A writer is a pure function of its configuration, the case and the seed: a report does not depend on the
    batch it is written in, on what was written before, or on any global random state.
    """

    def write(self, cases: Sequence[Case], seeds: Sequence[int]) -> list[Report]:
        """Write one report a case.

        Args:
            cases: What each report has to say.
            seeds: The pair seed of each case (see `synthesis.seeding.pair_seed`), as many as `cases`.

        Returns:
            Reports in the order of `cases`. A writer that cannot write one returns it empty
            (`Report.dropped`), with the reasons in its notes: the pair then gets another case.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return everything the text depends on, as a JSON-able dict, for the fingerprint of a corpus."""
        ...
