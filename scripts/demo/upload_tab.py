"""The tab that takes a radiograph of one's own: scores with one's own prompts, nearest reports."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks.evaluations.zero_shot_prompts import Prompts
from callbacks.prediction.own_prompts import own_prompts
from datamodules.tables.image_file import ImageFileError, read_radiograph
from scripts.demo.encoder import Encoder
from scripts.demo.markup import bars, note, picture, pictures, quotes
from scripts.demo.tab import NO_ENCODER, Shown, Tab
from synthesis.configuration import shipped

if TYPE_CHECKING:
    import gradio as gr

TEMPLATES = shipped("configs/prompts/zero_shot/chexzero.yaml")
SIDE = 256
REPORTS = 3
_PROMPTS = "pleural effusion\npacemaker\npneumothorax\nRight pleural effusion. | Left pleural effusion."
_ABOUT_PROMPTS = (
    "A text is compared with what stands after |, or with its negation. A finding of the catalogue is asked "
    "for in several sentences; without any prompt all of them are."
)
_ABOUT_SCORES = (
    "A score orders radiographs for one prompt. Zero is no threshold, scores of different prompts are on no "
    "common scale, and none is a probability of a disease."
)
_FOR_TABLES = re.compile(r"[;,]?\s*(?:or )?take (?:it|the file) out\s+of the table", re.IGNORECASE)


class UploadTab(Tab):
    """Reads an uploaded file as training data are read, deletes it, and compares it with texts.

    Args:
        encoder: Compares; None says that there is none.
    """

    title = "Upload"

    def __init__(self, encoder: Encoder | None) -> None:
        self.encoder = encoder

    def build(self, shown: gr.State) -> None:
        """Lay out upload and prompts on one side, answers on the other."""
        import gradio as gr

        if self.encoder is None:
            gr.HTML(note(NO_ENCODER))
            return
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                file = gr.File(label="Frontal chest: PNG, JPEG, TIFF, DICOM", height=180)
                convert = gr.Checkbox(label="Turn a picture in colour grey", value=False)
                prompts = gr.Textbox(_PROMPTS, label="Prompts, one a line", info=_ABOUT_PROMPTS, lines=5)
                score = gr.Button("Score", variant="primary")
            with gr.Column(scale=5, min_width=300):
                problem = gr.HTML(elem_id="problem", padding=False, visible=False)
                hint = note("Without an upload, the simulated radiograph of the first tab is scored.")
                seen = gr.HTML(hint, padding=False)
                answers = gr.HTML(elem_id="answers", padding=False)
        read = file.upload(self.read, [file, convert], [file, problem, shown])
        read.then(self.after_upload, [prompts, shown, problem], [seen, answers])
        score.click(self.score, [prompts, shown], [seen, answers]).then(
            lambda: gr.update(value="", visible=False), None, [problem]
        )

    def read(self, path: str, convert: bool) -> tuple[Any, ...]:
        """Read an upload and delete it: the page keeps nothing on a disk."""
        import gradio as gr

        file = Path(path)
        try:
            image = read_radiograph(file, SIDE, colour="convert" if convert else "refuse")
        except ImageFileError as error:
            why = note(_for_one_file(str(error), file), "problem")
            return None, gr.update(value=why, visible=True), gr.skip()
        finally:
            shutil.rmtree(file.parent)  # a folder of its own
        return None, gr.update(value="", visible=False), Shown(image[0].numpy(), file.name)

    def after_upload(self, texts: str, shown: Shown | None, problem: str) -> tuple[str, str]:
        """Score what was uploaded, or clear the answers if it could not be read."""
        return ("", "") if problem else self.score(texts, shown)

    def score(self, texts: str, shown: Shown | None) -> tuple[str, str]:
        """Score the radiograph that is shown, and find the reports most like it."""
        if shown is None:
            return note("Upload a radiograph, or make a pair in the first tab."), ""
        assert self.encoder is not None
        try:
            prompts = self._prompts(texts)
        except ValueError as error:
            return note(str(error), "problem"), ""
        scores = [(name, score) for name, score, _ in self.encoder.scores(shown.image, prompts)]
        if not texts.strip():
            scores.sort(key=lambda scored: -scored[1])
        rows = [(name, score, f"{score:+.2f}") for name, score in scores]
        widest = max(0.1, *(abs(score) for _, score in scores))
        found = [(f"cosine {c:+.2f}", text) for c, text in self.encoder.nearest(shown.image, REPORTS)]
        caption = f"{shown.name}: the middle square, which the encoder sees"
        return (
            pictures([picture(shown.image, caption, f"Radiograph: {shown.name}")]),
            bars(rows, "Scores: cosine with the prompt less that with its opposite", widest)
            + note(_ABOUT_SCORES)
            + quotes(found, f"Nearest of {self.encoder.bank_size:,} simulated reports"),
        )

    def _prompts(self, texts: str) -> Prompts:
        """Return what is typed, findings in the catalogue's words; without a text all findings."""
        assert self.encoder is not None
        known = {concept.preferred_name.lower(): concept for concept in self.encoder.catalog}
        lines = [line.strip() for line in texts.splitlines() if line.strip()] or list(known)
        prompts: Prompts = {}
        for name, both in own_prompts(lines, TEMPLATES).items():
            concept = known.get(name.lower()) if name in lines else None  # else it has an opposite of its own
            if concept is not None:
                both = {"present": list(concept.prompts_present), "absent": list(concept.prompts_absent)}
            prompts[name] = both
        return prompts


def _for_one_file(message: str, file: Path) -> str:
    """Reword a message that is written for tables of images."""
    text = _FOR_TABLES.sub("", message.replace(str(file), file.name))
    return text.replace("., or set colour: convert", ". Or tick the box that turns it grey")
