"""The file in which agents of a sweep share what they know: Optuna's journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

INSTALL = "local sweeps are kept by Optuna: pip install 'synvlp[sweeps]' (make install does)"


def open_journal(path: Path) -> JournalStorage:
    """Open a journal, or begin one.

    A lock that a killed process has left on it is broken after half a minute.

    Raises:
        ModuleNotFoundError: If Optuna is not installed; says how to install it.
        ValueError: If the file is no journal; names it and the remedy.
    """
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(INSTALL) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return optuna.storages.JournalStorage(
            JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}): put back a copy of it, or move it "
            "away; what has been trained is then taken over, not trained again"
        ) from error
