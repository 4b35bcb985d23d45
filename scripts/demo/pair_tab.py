"""The tab that makes a pair: findings and a patient are chosen, report, radiograph, masks and twins come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.demo.encoder import Encoder
from scripts.demo.markup import bars, note, outlined, picture, pictures, quotes, table
from scripts.demo.patients import Patient, Patients, told
from scripts.demo.tab import Shown, Tab
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.reading.entity_check import EntityCheck
from synthesis.reports.report import Report
from synthesis.reports.sections import cut

if TYPE_CHECKING:
    import gradio as gr

ROWS = 3
OPEN, NONE = "any", "–"
_FIRST = (("pleural_effusion", "right", "moderate"), ("pacemaker", None, None))
_SEED = 2
_DIFFERENCES = {
    "missing": "not stated, but the radiograph shows it",
    "extra": "stated, but the radiograph does not show it",
    "denied": "denied, but the radiograph shows it",
    "certainty": "its certainty is another",
    "side": "its side is another, or left out",
    "place": "its place is another",
    "severity": "its grade is another",
}


class PairTab(Tab):
    """Makes a pair from choices, and compares an edited report with the radiograph.

    Args:
        patients: Makes them.
        encoder: Compares texts with the radiograph; None leaves that out.
    """

    title = "Pair"

    def __init__(self, patients: Patients, encoder: Encoder | None) -> None:
        self.patients, self.encoder = patients, encoder
        self._reader = EntityExtractor()
        self._check = EntityCheck(extractor=self._reader)

    def build(self, shown: gr.State) -> None:
        """Lay out the choices on one side and the pair on the other."""
        import gradio as gr

        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                rows = [
                    self._row(i, *(_FIRST[i] if i < len(_FIRST) else (NONE, None, None))) for i in range(ROWS)
                ]
                with gr.Row():
                    view = gr.Radio(["PA", "AP"], value="PA", label="View", min_width=120)
                    seed = gr.Number(_SEED, label="Patient seed", precision=0, minimum=0, min_width=120)
                make = gr.Button("Make the pair", variant="primary")
                draw = gr.Button("Draw another case")
            with gr.Column(scale=5, min_width=300):
                problem = gr.HTML(elem_id="impossible", padding=False, visible=False)
                drawn = gr.HTML(elem_id="pair", padding=False)
                report = gr.Textbox(label="Report – change it, and compare it with the radiograph", lines=4)
                compare = gr.Button("Compare the text with the radiograph")
                reading = gr.HTML(elem_id="reading", padding=False)
        choices = [*(part for row in rows for part in row), view, seed]
        results = [problem, drawn, report, reading, shown]
        make.click(self.make, choices, results)
        draw.click(self.draw, [seed], choices).then(self.make, choices, results)
        compare.click(self.compare, [report, shown], [reading])
        gr.on(None, self.make, choices, results)  # once, when the page opens

    def make(self, *choices: Any) -> tuple[Any, ...]:
        """Make the pair of what is chosen."""
        import gradio as gr

        *flat, view, seed = choices
        chosen = [
            (name, None if side == OPEN else side, None if grade == OPEN else grade)
            for name, side, grade in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
            if name != NONE
        ]
        try:
            number = _whole(seed)
            patient = self.patients.patient(self.patients.case(chosen, view, number), number)
        except ValueError as error:
            why = note(f"{error}. Choose others, or leave side and grade open.", "problem")
            return gr.update(value=why, visible=True), *[gr.skip()] * 4
        faint = [told(finding) for finding in patient.too_faint]
        problem = note(f"Too faint to see in this patient, so left out: {'; '.join(faint)}.") if faint else ""
        shown = Shown(patient.image, f"simulated patient {number}", patient)
        return (
            gr.update(value=problem, visible=bool(faint)),
            self._pictures(patient),
            patient.report,
            "",
            shown,
        )

    def draw(self, seed: float | None) -> list[Any]:
        """Choose a plausible case and the next patient."""
        import gradio as gr

        number = int(seed or 0) + 1
        case = self.patients.drawn(number, ROWS)
        updates: list[Any] = []
        for i in range(ROWS):
            if i < len(case.findings):
                finding = case.findings[i]
                sides, grades = self._options(finding.concept)
                updates += [
                    finding.concept,
                    gr.update(choices=sides, value=finding.laterality or OPEN),
                    gr.update(choices=grades, value=finding.severity or OPEN),
                ]
            else:
                updates += [
                    NONE,
                    gr.update(choices=[OPEN], value=OPEN),
                    gr.update(choices=[OPEN], value=OPEN),
                ]
        return [*updates, case.view, number]

    def compare(self, text: str, shown: Shown | None) -> str:
        """Read a text and say how it differs from the radiograph, and how like it is to the encoder."""
        if shown is None or shown.patient is None:
            return note("Make a pair first.")
        patient, parts = shown.patient, cut(text)
        mentions = [(section, m) for section in parts for m in self._reader.extract(section)]
        rows = [
            (
                section[m.start : m.end],
                m.concept.replace("_", " "),
                str(m.status),
                m.laterality or "",
                m.severity or "",
            )
            for section, m in mentions
        ]
        if not rows:
            return note("No finding was read in this text.")
        found = self._check.disagreements(patient.case, Report(*parts))
        lines = [
            f"{d.concept.replace('_', ' ')}: {_DIFFERENCES[d.reason]}"
            for d in found
            if d.reason in _DIFFERENCES
        ]
        agreement = (
            note("; ".join(dict.fromkeys(lines)) + ".", "problem")
            if lines
            else note("The text agrees with the radiograph.")
        )
        head = ("words", "concept", "status", "side", "grade")
        return agreement + self._likeness(text, patient) + table(head, rows, "Read in the text, by rules")

    def _row(self, i: int, name: str, side: str | None, grade: str | None) -> list[Any]:
        """Lay out the choice of one finding."""
        import gradio as gr

        known = [(NONE, NONE), *((c.preferred_name, c.name) for c in self.patients.choices)]
        sides, grades = self._options(name)
        with gr.Group():
            concept = gr.Dropdown(known, value=name, label=f"Finding {i + 1}")
            with gr.Row():
                sided = gr.Dropdown(sides, value=side or OPEN, label="Side", min_width=110)
                graded = gr.Dropdown(grades, value=grade or OPEN, label="Grade", min_width=110)
        concept.input(
            lambda chosen: [gr.update(choices=options, value=OPEN) for options in self._options(chosen)],
            [concept],
            [sided, graded],
        )
        return [concept, sided, graded]

    def _options(self, name: str) -> tuple[list[str], list[str]]:
        if name == NONE:
            return [OPEN], [OPEN]
        concept = self.patients.catalog[name]
        return [OPEN, *concept.lateralities], [OPEN, *concept.severities]

    def _pictures(self, patient: Patient) -> str:
        names = [told(finding) for finding in patient.case.findings]
        seen = "; ".join(names) or "no finding"
        figures = [
            picture(
                patient.image,
                f"radiograph of patient {patient.seed}, {patient.case.view}",
                f"Simulated radiograph: {seen}",
            )
        ]
        if names:
            marked = outlined(patient.image, patient.masks)
            figures.append(picture(marked, "", f"The same, findings outlined: {seen}", names))
        figures += [
            picture(
                twin.image,
                f"twin without {told(twin.finding)}",
                f"The same patient without {told(twin.finding)}",
            )
            for twin in patient.twins
        ]
        texts = [(f"twin without {told(twin.finding)}", twin.report) for twin in patient.twins]
        return pictures(figures) + (
            f"<details><summary>Reports of the twins</summary>{quotes(texts, '')}</details>" if texts else ""
        )

    def _likeness(self, text: str, patient: Patient) -> str:
        if self.encoder is None:
            return ""
        texts = {"its own report": patient.report}
        if text.strip() != patient.report.strip():
            texts = {"the text as it stands": text, **texts}
        texts |= {f"twin without {told(t.finding)}": t.report for t in patient.twins}
        cosines = self.encoder.similarities(patient.image, list(texts.values()))
        rows = [(name, value, f"{value:+.2f}") for name, value in zip(texts, cosines, strict=True)]
        return bars(rows, "How like the radiograph each text is to the encoder (cosine)", 1.0)


def _whole(seed: float | None) -> int:
    if seed is None or seed < 0:
        raise ValueError(f"patient seed {seed}: give a whole number from 0 up")
    return int(seed)
