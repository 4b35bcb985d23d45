"""A figure that says its values where the mouse is: PNG and PDF for papers, SVG for a page."""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.files import replaced

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure with what its parts say.

    Attributes:
        name: Of its files, without a suffix.
        figure: The figure.
        told: Name of a part in the SVG → text.
    """

    name: str
    figure: Figure
    told: dict[str, str] = field(default_factory=dict)

    @classmethod
    def blank(cls, name: str, width: float, height: float) -> Drawing:
        """Return an empty white figure of a size in inches."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        return cls(name, figure)

    def tell(self, artists: Any, text: str) -> None:
        """Have parts of the figure say a text where the mouse is on them.

        Args:
            artists: One artist, or a list of them, as `matplotlib` returns.
            text: What they say.
        """
        for artist in artists if isinstance(artists, list | tuple) else [artists]:
            part = f"{self.name}-part-{len(self.told)}"
            artist.set_gid(part)
            self.told[part] = text

    def write(self, out: Path) -> None:
        """Write ``<name>.png`` and ``<name>.pdf`` into a directory; the same picture is the same file."""
        for suffix in ("png", "pdf"):
            dated = {"CreationDate": None} if suffix == "pdf" else None
            with replaced(out / f"{self.name}.{suffix}") as partial:
                self.figure.savefig(partial, format=suffix, dpi=120, metadata=dated)

    def svg(self) -> str:
        """Return the figure as an SVG element for a page; its ids begin with the drawing's name."""
        import matplotlib

        file = io.BytesIO()
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": self.name}):
            self.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        text = file.getvalue().decode()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
        text = re.sub(rf'\bid="(?!{self.name}-part-)', f'id="{self.name}-', text)
        text = re.sub(r'(href="#|url\(#)', rf"\g<1>{self.name}-", text)
        for part, said in self.told.items():
            text = text.replace(f'id="{part}">', f'id="{part}"><title>{html.escape(said)}</title>', 1)
        return text
