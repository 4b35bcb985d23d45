"""What every tab of the page is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scripts.demo.patients import Patient

if TYPE_CHECKING:
    import gradio as gr


@dataclass(frozen=True)
class Shown:
    """The radiograph that the tabs speak of. It lives in the memory of the page's session.

    Attributes:
        image: uint8 ``(height, width)``.
        name: What the page calls it.
        patient: Whose it is; None for an uploaded one.
    """

    image: np.ndarray
    name: str
    patient: Patient | None = None


class Tab(ABC):
    """One tab of the page."""

    title: str

    @abstractmethod
    def build(self, shown: gr.State) -> None:
        """Lay out the tab inside the page that is being built, and wire its events.

        Args:
            shown: Holds a `Shown`, or None before the first radiograph; tabs read it, and those that make or
                read a radiograph set it.
        """


NO_ENCODER = (
    "No encoder is loaded. Start the page with one: synvlp demo --encoder=runs/fit/checkpoints/best.ckpt"
)
