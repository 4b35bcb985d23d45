"""The tab that shows where a radiograph is like a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from callbacks.drawing.similarity_overlay import similarity_overlay
from scripts.demo.encoder import Encoder
from scripts.demo.markup import note, picture, pictures
from scripts.demo.patients import Patients
from scripts.demo.tab import NO_ENCODER, Shown, Tab

if TYPE_CHECKING:
    import gradio as gr

_READING = (
    "Red: more like the sentence than the image on the whole; blue: less. The strongest place is in full "
    "colour however weak it is, so look at the cosine first. The map is as coarse as the encoder's patches."
)


class MapTab(Tab):
    """Draws the similarity map of a sentence over the radiograph that is shown.

    Args:
        patients: Knows the catalogue, whose phrases can be chosen.
        encoder: Makes the map; None says that there is none.
    """

    title = "Map"

    def __init__(self, patients: Patients, encoder: Encoder | None) -> None:
        self.encoder = encoder
        self._phrases = [phrase for c in patients.choices for phrase in c.prompts_present[:1]]

    def build(self, shown: gr.State) -> None:
        """Lay out the sentence above the map."""
        import gradio as gr

        if self.encoder is None:
            gr.HTML(note(NO_ENCODER))
            return
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                sentence = gr.Textbox("Large right pleural effusion.", label="Sentence", lines=2)
                phrase = gr.Dropdown(self._phrases, value=None, label="… or a phrase of the catalogue")
                draw = gr.Button("Draw the map", variant="primary")
            with gr.Column(scale=5, min_width=300):
                hint = note("The radiograph of the first tab is asked, or the one uploaded last.")
                found = gr.HTML(hint, elem_id="map", padding=False)
        phrase.input(lambda text: text, [phrase], [sentence])
        gr.on([draw.click, sentence.submit], self.draw, [sentence, shown], [found])

    def draw(self, sentence: str, shown: Shown | None) -> str:
        """Return the radiograph and its map."""
        assert self.encoder is not None
        if shown is None:
            return note("Make a pair or upload a radiograph first.")
        if not sentence.strip():
            return note("Type a sentence.", "problem")
        map_, cosine = self.encoder.map(shown.image, sentence)
        side = shown.image.shape[0]
        overlay = np.asarray(similarity_overlay(shown.image, map_, float(np.abs(map_).max()), ""))[:side]
        caption = f"“{sentence.strip()}”: cosine with the whole image {cosine:+.2f}"
        figures = [
            picture(shown.image, shown.name, f"Radiograph: {shown.name}"),
            picture(overlay, caption, f"Similarity map of the sentence {sentence.strip()!r}"),
        ]
        return pictures(figures) + note(_READING)
