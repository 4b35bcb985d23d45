from __future__ import annotations

from datamodules.texts.claim_reader import ClaimReader
from synthesis.concepts import ConceptCatalog


def test_what_texts_assert_and_deny() -> None:
    catalog = ConceptCatalog()
    texts = [
        "Large left pleural effusion.",
        "No nodule or mass, but there is cardiomegaly.",
        "Pneumonia cannot be excluded.",
        "AP chest radiograph. The left lung is clear.",
    ]
    asserted, denied = ClaimReader(catalog).read(texts)
    assert asserted.shape == denied.shape == (4, len(catalog))

    def names(row: int, claims: object) -> set[str]:
        return {name for name in catalog.names if claims[row, catalog.index(name)]}  # type: ignore[index]

    assert names(0, asserted) == {"pleural_effusion"} and not names(0, denied)
    assert names(1, asserted) == {"cardiomegaly"} and names(1, denied) == {"nodule", "mass"}
    assert not names(2, asserted) and not names(2, denied), "doubt claims nothing"
    assert not names(3, asserted) and not names(3, denied), "what is not on the left may be on the right"
