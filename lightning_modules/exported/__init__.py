"""Trained dual encoders for other programs: `transformers` directories, and open_clip's interface.

Importing this package registers our towers with `transformers`, so that directories holding them load, and
the dual encoder with its list of zero-shot classifiers, so that the pipeline does not complain about it.
`main.py` does not import it: it brings `transformers` with it.
"""

from transformers import (
    AutoModelForZeroShotImageClassification,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from lightning_modules.exported.export import export
from lightning_modules.exported.image_tower import ImageTower, ImageTowerConfig
from lightning_modules.exported.open_clip_adapter import OpenClipAdapter, load_open_clip
from lightning_modules.exported.reading import read_directory
from lightning_modules.exported.text_tower import TextTower, TextTowerConfig

__all__ = [
    "ImageTower",
    "ImageTowerConfig",
    "OpenClipAdapter",
    "TextTower",
    "TextTowerConfig",
    "export",
    "load_open_clip",
    "read_directory",
]

AutoModelForZeroShotImageClassification.register(
    VisionTextDualEncoderConfig, VisionTextDualEncoderModel, exist_ok=True
)
