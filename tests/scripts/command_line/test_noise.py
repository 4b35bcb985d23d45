"""What is silenced, and what is not."""

from __future__ import annotations

import logging

import pytest
from lightning.fabric.utilities.rank_zero import rank_zero_info

from scripts.command_line.noise import quieten


def test_advertisements_are_silent_and_everything_else_is_not(caplog: pytest.LogCaptureFixture) -> None:
    quieten()
    with caplog.at_level(logging.INFO, logger="lightning"):
        logging.getLogger("lightning").propagate = True
        rank_zero_info("try installing [litlogger](https://pypi.org/project/litlogger/)")
        rank_zero_info("`Trainer.fit` stopped: `max_epochs=2` reached.")
    assert [record.getMessage() for record in caplog.records] == [
        "`Trainer.fit` stopped: `max_epochs=2` reached."
    ]
