"""The concept catalogue: what can be seen on a chest radiograph, and what can be seen together."""

from synthesis.concepts.catalog import DEFAULT_CATALOG, ConceptCatalog, UnknownConceptError
from synthesis.concepts.concept import ENTITY_TYPES, LATERALITIES, NO_FINDING, VIEWS, Concept, Location

__all__ = [
    "DEFAULT_CATALOG",
    "ENTITY_TYPES",
    "LATERALITIES",
    "NO_FINDING",
    "VIEWS",
    "Concept",
    "ConceptCatalog",
    "Location",
    "UnknownConceptError",
]
