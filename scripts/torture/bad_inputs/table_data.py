"""A table of six images with reports and labels, which bad inputs change in one place."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scripts.torture.samples import LAYERS, QUIET, SIZE, command, options, write_layer

HEADER = "image,patient,view,report,labels"
ROWS = tuple(
    f"{k}.png,p{k},PA,FINDINGS: Small left effusion {k}. IMPRESSION: Effusion.,Effusion" for k in range(6)
)


def noise(seed: int = 0, side: int = SIZE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a grey picture that no filter takes for blank."""
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


def picture(array: Any, form: str = "png", **given: Any) -> bytes:
    """Return an array as the content of a picture file."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(array).save(content, form, **given)
    return content.getvalue()


def write_images(directory: Path) -> None:
    """Write the six images."""
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(6):
        (directory / f"{number}.png").write_bytes(picture(noise(number)))


def table_fit(own: Path, changes: dict[str, Any], columns: dict[str, str] | None = None) -> list[str]:
    """Return a training of one step on ``table.csv`` and ``images/``, with some values of the data."""
    data = {
        "table": str(own / "table.csv"),
        "image_root": str(own / "images"),
        "image_size": SIZE,
        "columns": columns or {"image": "image", "patient": "patient", "view": "view", "report": "report"},
        "labels": None,
        "splits": {"train": 1.0},
        "artifacts_dir": str(own / "artifacts"),
        "tokenizer": {"vocab_size": 512},
        "loader": {"batch_size": 2, "eval_batch_size": 2, "num_workers": 0, "epoch_size": None, "echo": 1},
        "views": {"augmentation": None, "max_length": 192},
    }
    layer = {
        "data.class_path": "datamodules.ImageReports",
        **{f"data.init_args.{k}": v for k, v in data.items()},
    }
    path = write_layer(own / "data.yaml", layer)
    values = {
        "run_dir": str(own / "run"),
        **QUIET,
        "trainer.logger": False,
        "trainer.callbacks": [],
        "trainer.max_steps": 1,
        "trainer.limit_val_batches": 0,
        "model.init_args.image_encoder.init_args.image_size": SIZE,
    }
    words = command("fit", (*LAYERS, str(path)), values)
    return [*words, *options({f"data.init_args.{key}": value for key, value in changes.items()})]


def with_table(
    text: str | bytes | Callable[[Path], None], changes: dict[str, Any] | None = None, **given: Any
) -> Callable[[Path, Path], list[str]]:
    """Return the words of a bad input that has this table beside the six images."""

    def words(own: Path, shared: Path) -> list[str]:
        write_images(own / "images")
        if callable(text):
            text(own)
        else:
            (own / "table.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        filled = {
            key: value.replace("{own}", str(own)) if isinstance(value, str) else value
            for key, value in (changes or {}).items()
        }
        return table_fit(own, filled, **given)

    return words


def table(changed: dict[int, str] | None = None, header: str = HEADER) -> str:
    """Return the table with some rows changed."""
    return "\n".join([header, *((changed or {}).get(k, row) for k, row in enumerate(ROWS))]) + "\n"
