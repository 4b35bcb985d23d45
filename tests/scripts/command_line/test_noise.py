"""What is silenced, and what is not."""

from __future__ import annotations

import logging

import pytest
from lightning.fabric.utilities.rank_zero import rank_zero_info, rank_zero_module

from scripts.command_line.noise import quieten


def test_advertisements_are_silent_and_everything_else_is_not(caplog: pytest.LogCaptureFixture) -> None:
    quieten()
    log = rank_zero_module.log  # another test may have set a level of its own
    with caplog.at_level(logging.INFO, logger=log.name):
        logging.getLogger("lightning").propagate = log.propagate = True
        rank_zero_info("try installing [litlogger](https://pypi.org/project/litlogger/)")
        rank_zero_info("`Trainer.fit` stopped: `max_epochs=2` reached.")
    assert [record.getMessage() for record in caplog.records] == [
        "`Trainer.fit` stopped: `max_epochs=2` reached."
    ]
