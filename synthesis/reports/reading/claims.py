"""What a report claims to be present, in one fixed form."""

from __future__ import annotations

from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.reports.claim_phrases import NO_CLAIMS, SEPARATOR, phrases_of
from synthesis.reports.reading.entities import EntityExtractor

_SIDES = {"left": ("left",), "right": ("right",), "bilateral": ("left", "right")}


def claims_prompt(text: str, catalog: ConceptCatalog) -> str:
    """Return what a report claims, as phrases that each hold one fact with its concept and its side.

    ``"There is a large left effusion. No pneumothorax."`` becomes
    ``"left pleural effusion, large left pleural effusion"``: a text encoder that sees each phrase as one
    piece needs not learn which of several sides belongs to which of several findings. Both sides are told
    one by one. What is denied is left out; what is doubted counts as claimed, for it was drawn.

    Args:
        text: A report, a section or a sentence.
        catalog: The concepts.

    Returns:
        The phrases in the order of the text, each once; `NO_CLAIMS` if there is none.
    """
    found: dict[str, None] = {}
    for mention in EntityExtractor.load(catalog.path).extract(text):
        if mention.status == "absent" or mention.concept == NO_FINDING:
            continue
        concept = catalog[mention.concept]
        for side in _SIDES.get(mention.laterality or "", (None,)):
            found |= dict.fromkeys(phrases_of(concept, side, mention.severity, mention.location))
    return SEPARATOR.join(found) or NO_CLAIMS
