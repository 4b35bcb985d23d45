"""Pictures, tables and notes as HTML: they travel inside the page, so nothing is written to a disk."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from callbacks.drawing.pictures import COLOURS

STYLE = Path(__file__).with_name("page.css")


def pictures(figures: Iterable[str]) -> str:
    """Put figures beside each other, in as many columns as there is room for."""
    return f'<div class="pictures">{"".join(figures)}</div>'


def picture(image: np.ndarray, caption: str, alt: str, legend: Sequence[str] = ()) -> str:
    """Return one figure.

    Args:
        image: uint8 ``(height, width)`` or ``(height, width, 3)``.
        caption: A line under it.
        alt: What it shows, for who cannot see it.
        legend: Names of what is outlined in it, in the order of the colours.
    """
    chips = "".join(
        f'<span class="chip" style="--chip:{COLOURS[i % len(COLOURS)]}">{escape(name)}</span>'
        for i, name in enumerate(legend)
    )
    return (
        f'<figure><img src="{_data_uri(image)}" alt="{escape(alt, quote=True)}">'
        f"<figcaption>{escape(caption)}{chips}</figcaption></figure>"
    )


def bars(rows: Sequence[tuple[str, float, str]], heading: str, widest: float) -> str:
    """Draw numbers as bars from a middle line: to the right above zero, to the left below.

    Args:
        rows: Name, number and what is written beside the bar.
        heading: Line above.
        widest: The number whose bar takes all the room.
    """
    lines = []
    for name, value, text in rows:
        share = min(1.0, abs(value) / max(widest, 1e-9)) * 50
        lines.append(
            f'<tr><th scope="row">{escape(name)}</th><td class="bar"><span style="left:'
            f'{50 if value >= 0 else 50 - share:.1f}%;width:{share:.1f}%"></span></td>'
            f'<td class="number">{escape(text)}</td></tr>'
        )
    return f'<h4>{escape(heading)}</h4><table class="bars"><tbody>{"".join(lines)}</tbody></table>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], heading: str) -> str:
    """Return a plain table under a heading."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<h4>{escape(heading)}</h4><div class="wide"><table class="plain"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def quotes(texts: Iterable[tuple[str, str]], heading: str) -> str:
    """Return texts, each with a short line above it."""
    blocks = "".join(
        f"<blockquote><small>{escape(label)}</small><p>{escape(text)}</p></blockquote>"
        for label, text in texts
    )
    return f"<h4>{escape(heading)}</h4>{blocks}"


def note(text: str, kind: str = "info") -> str:
    """Return a line that says something plainly; ``kind`` is "info" or "problem"."""
    role = ' role="alert"' if kind == "problem" else ""
    return f'<p class="note {kind}"{role}>{escape(text)}</p>'


def outlined(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Draw the outlines of masks over an image, twice as large so that lines are fine.

    Args:
        image: uint8 ``(height, width)``.
        masks: bool ``(mask, height, width)``.

    Returns:
        uint8 ``(2 * height, 2 * width, 3)``.
    """
    from PIL import Image, ImageColor

    height, width = image.shape
    grown = Image.fromarray(image).resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
    canvas = np.repeat(np.asarray(grown, np.float32)[..., None], 3, axis=2)
    for i, mask in enumerate(masks):
        colour = np.array(ImageColor.getrgb(COLOURS[i % len(COLOURS)]), np.float32)
        large = np.kron(mask, np.ones((2, 2), bool))
        inner = np.pad(large, 1)
        core = inner[1:-1, 1:-1] & inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
        canvas[large] = 0.8 * canvas[large] + 0.2 * colour
        canvas[large & ~core] = colour
    return np.round(canvas).clip(0, 255).astype(np.uint8)


def _data_uri(image: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
