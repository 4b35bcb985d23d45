"""The tab that draws the same report with several generators."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from scripts.demo.encoder import Encoder
from scripts.demo.markup import note, picture, pictures, quotes
from scripts.demo.patients import Patients
from scripts.demo.tab import Shown, Tab
from synthesis.images.image_maker import ImageMaker
from synthesis.reports.report import Report
from synthesis.reports.sections import cut
from synthesis.seeding import pair_seed

if TYPE_CHECKING:
    import gradio as gr

MISSING = (
    "No trained generator was given, so the simulator draws alone. Train one "
    "(python main.py fit -c configs/generator/base.yaml -c configs/generator/variational.yaml) and start the "
    "page with its directory: synvlp demo --generator=RUN/export. The option can be repeated."
)


class GeneratorsTab(Tab):
    """Draws one case by the simulator and by trained generators, for several patients.

    Args:
        patients: Makes the simulated ones.
        generators: Name → trained generator.
        encoder: Says how like each image is to the report; None leaves that out.
    """

    title = "Generators"

    def __init__(
        self, patients: Patients, generators: Mapping[str, ImageMaker], encoder: Encoder | None
    ) -> None:
        self.makers: dict[str, ImageMaker] = {"simulator": patients.simulator, **generators}
        self.encoder = encoder

    def build(self, shown: gr.State) -> None:
        """Lay out the choice above the pictures."""
        import gradio as gr

        if len(self.makers) == 1:
            gr.HTML(note(MISSING))
        with gr.Row():
            count = gr.Slider(1, 4, value=2, step=1, label="Patients", scale=3)
            draw = gr.Button("Draw the case of the first tab", variant="primary", scale=2)
        found = gr.HTML(elem_id="generators", padding=False)
        draw.click(self.draw, [count, shown], [found])

    def draw(self, count: int, shown: Shown | None) -> str:
        """Draw the case that is shown, with the patient's seed and those after it."""
        if shown is None or shown.patient is None:
            return note("An uploaded radiograph has no case to draw: make a pair in the first tab.")
        patient = shown.patient
        numbers = range(patient.seed, patient.seed + int(count))
        seeds = [pair_seed(number, "demo", 0) for number in numbers]
        reports = [Report(*cut(patient.report))] * len(seeds)
        blocks = [quotes([("drawn from the case, or from this report", patient.report)], "Report")]
        for name, maker in self.makers.items():
            begun = perf_counter()
            images = maker.make([patient.asked] * len(seeds), reports, seeds).images[:, 0].numpy()
            seconds = (perf_counter() - begun) / len(seeds)
            levels = np.round(images * 255).clip(0, 255).astype(np.uint8)
            figures = [
                picture(
                    image,
                    f"patient {number}{self._likeness(image, patient.report)}",
                    f"Drawn by {name}, patient {number}",
                )
                for number, image in zip(numbers, levels, strict=True)
            ]
            blocks.append(
                f"<h4>{name} – {seconds:.2f} s an image, {levels.shape[-1]} px</h4>{pictures(figures)}"
            )
        return "".join(blocks)

    def _likeness(self, image: np.ndarray, report: str) -> str:
        if self.encoder is None:
            return ""
        return f", cosine with the report {self.encoder.similarities(image, [report])[0]:+.2f}"
