"""A pair as other libraries want it: an encoded image and plain values."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import Any

from synthesis.concepts import ConceptCatalog
from synthesis.pairs import Pair


def png(pair: Pair) -> bytes:
    """Return the image as an 8-bit grey PNG, without loss."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pair.image[0].numpy()).save(content, "png")
    return content.getvalue()


def row(pair: Pair, catalog: ConceptCatalog) -> dict[str, Any]:
    """Return everything about a pair but image and masks, as JSON-able values.

    Returns:
        ``index``, ``text`` (the report with its headings), ``findings``, ``impression``, ``concepts`` (names
        of all that are present, in label order), ``case`` (JSON: side, place, severity, certainty of each
        finding), ``absent``, ``view``, ``notes`` and ``rejections`` (why earlier drawings were refused).
        ``concepts`` is all of the label vector: every other concept of the catalogue is absent.
    """
    present = pair.case.concepts(catalog)
    return {
        "index": pair.index,
        "text": pair.report.text,
        "findings": pair.report.findings,
        "impression": pair.report.impression,
        "concepts": [name for name in catalog.names if name in present],
        "case": json.dumps([asdict(finding) for finding in pair.case.findings]),
        "absent": list(pair.case.absent),
        "view": pair.case.view,
        "notes": list(pair.notes),
        "rejections": [str(why) for why in pair.rejections],
    }
