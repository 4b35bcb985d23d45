"""The columns of `make transfer` as a measure of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.comparison.fit import one_device
from scripts.comparison.measure import Measure, Measured
from scripts.comparison.run import Run
from scripts.transfer import WITHIN, tested


class TransferMeasure(Measure):
    """Zero-shot and probe on real radiographs, over all, within each view and within findings.

    Figures are named as in the test's summary: ``test/zero_shot/PA/auroc_macro``.

    Args:
        real: Folder of NIH radiographs, or a data layer; nothing is measured where it is empty.
        within: Findings within which is judged.
        options: Further arguments of the test.
    """

    def __init__(self, real: str = "", within: Sequence[str] = WITHIN, options: Sequence[str] = ()) -> None:
        self.real, self.within, self.options = real, tuple(within), tuple(options)

    def identity(self, run: Run) -> Any:
        """Return which radiographs are judged."""
        return str(Path(self.real).resolve()) if self.real else None

    def measure(self, run: Run, directory: Path) -> Measured:
        """Test on the radiographs, and read what that leaves."""
        if not self.real:
            return Measured({})
        options = (*one_device(run.config()), *self.options) if run.arm.trained else self.options
        place = tested(run.directory, self.real, directory, self.within, options=options)
        return Measured.of_test(place)
