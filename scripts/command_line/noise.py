"""What other libraries say that helps nobody here."""

from __future__ import annotations

import logging
import warnings

from lightning.fabric.utilities import rank_zero

# Warnings about what is meant here.
_WARNINGS = (
    "LightningCLI's args parameter is intended",  # tests and scripts call main([...])
    "Experiment logs directory .* exists and is not empty",  # config.yaml is written there first
    "Checkpoint directory .* exists and is not empty",  # of a run that goes on
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # lightning calls torch by an old name
)
_MESSAGES = (
    "litlogger",
    "litmodels",
    "already configured with model summary",
    "to estimate number of stepping",
)


def quieten() -> None:
    """Hide advertisements, and what is said of what is meant."""
    for text in _WARNINGS:
        warnings.filterwarnings("ignore", message=text)
    log = rank_zero.rank_zero_module.log  # type: ignore[attr-defined]  # through it Lightning advertises
    if not any(isinstance(there, _Noise) for there in log.filters):
        log.addFilter(_Noise())


class _Noise(logging.Filter):
    """Drops messages that advertise a package or say what is meant."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is kept."""
        return not any(word in record.getMessage() for word in _MESSAGES)
