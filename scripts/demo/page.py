"""The page as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from scripts.demo.encoder import Encoder
from scripts.demo.generators_tab import GeneratorsTab
from scripts.demo.map_tab import MapTab
from scripts.demo.pair_tab import PairTab
from scripts.demo.patients import Patients
from scripts.demo.tab import NO_ENCODER, Tab
from scripts.demo.upload_tab import UploadTab
from synthesis.images.image_maker import ImageMaker

if TYPE_CHECKING:
    import gradio as gr

_NOTICE = (
    "<strong>Research software, no medical device: nothing here says anything about a patient.</strong> "
    "The page runs on this computer alone; nothing that you choose, type or upload is stored or sent on."
)


def build_page(
    patients: Patients, encoder: Encoder | None, generators: Mapping[str, ImageMaker]
) -> gr.Blocks:
    """Return the page, not yet served.

    Args:
        patients: Makes simulated patients.
        encoder: The encoder to ask; None says so where one is needed.
        generators: Name → trained generator to compare.
    """
    import gradio as gr

    tabs: Sequence[Tab] = (
        PairTab(patients, encoder),
        MapTab(patients, encoder),
        UploadTab(encoder),
        GeneratorsTab(patients, generators, encoder),
    )
    with gr.Blocks(title="SynVLP demo", analytics_enabled=False) as page:
        gr.HTML(f"<h1>SynVLP</h1><p>{_NOTICE}</p><p>{_about(encoder)}</p>", elem_id="head")
        shown = gr.State(None, time_to_live=3600)
        with gr.Tabs():
            for tab in tabs:
                with gr.Tab(tab.title):
                    tab.build(shown)
    return page


def _about(encoder: Encoder | None) -> str:
    if encoder is None:
        return escape(NO_ENCODER)
    size = f"{encoder.parameters / 1e6:.1f} million weights, images of {encoder.image_size} px"
    figures = "; ".join(encoder.measured)
    measured = (
        f"Measured on its validation data: {figures}." if figures else "Nothing measured lies beside it."
    )
    return f"Encoder: <strong>{escape(str(encoder.weights))}</strong> ({size}). {escape(measured)}"
