from __future__ import annotations

import pytest

from datamodules.tables.view_positions import unknown_views, view_code


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        (
            0,
            [
                "PA",
                "pa",
                "PA erect",
                "PA-upright",
                "Postero-anterior",
                "POSTERO ANTERIOR",
                "posteroanterior",
                "Frontal PA",
            ],
        ),
        (
            1,
            [
                "AP",
                "AP Supine",
                "AP_horizontal",
                "ap semi-erect",
                "AP PORTABLE",
                "AP AXIAL",
                "antero-posterior",
                "AP LLD",
            ],
        ),
        (
            -1,
            [
                "",
                "LL",
                "LATERAL",
                "L",
                "LAO",
                "AP/PA",
                "PA LATERAL",
                "COSTAL",
                "PAL",
                "MAP",
                "unknown",
                "SWIMMERS",
            ],
        ),
    ],
)
def test_views_are_known_by_their_word(code: int, texts: list[str]) -> None:
    assert [view_code(text) for text in texts] == [code] * len(texts)


def test_unknown_views_are_counted() -> None:
    assert unknown_views(["LL", "PA", "", "LL", "x"]) == {"LL": 2, "x": 1}
