"""How checkpoints get to disk and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import TorchCheckpointIO

from callbacks.base.files import written_whole
from lightning_modules.checkpoints import checkpoint_bytes, read_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, with its SHA-256, and reads it by `read_checkpoint`.

    Lightning 2.6 writes to the system's temporary directory and moves the file. Where the run lies on another
    file system the move is a copy over the old file: a full disk, or a kill in that moment, destroys both.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint beside the file of that name, then put it in its place.

        Raises:
            OSError: If it cannot be written, for instance because the disk is full; a file that was there is
                as it was.
            TypeError: If ``storage_options`` are given.
        """
        if storage_options is not None:
            raise TypeError(f"storage_options={storage_options!r}: checkpoints are local files: leave it out")
        content = checkpoint_bytes(checkpoint)
        try:
            with written_whole(Path(path)) as partial:
                partial.write_bytes(content)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror}: a checkpoint of {len(content) / 1e6:.1f} MB was not written (what stood "
                "there is as it was). Make room, or take another --run_dir, and go on with --resume",
                str(path),
            ) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; nothing in it is executed, whatever ``weights_only`` is.

        Raises:
            CheckpointError: If it cannot be read.
        """
        return read_checkpoint(path, map_location)
