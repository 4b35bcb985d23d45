"""What grounding looks for in an image: concepts by the catalogue's prompts, or phrases of the data's own."""

from __future__ import annotations

from collections import defaultdict

import torch

from callbacks.base.evaluation import findings_of
from callbacks.evaluations.zero_shot_prompts import Prompts, catalogue_prompts
from datamodules.batch import INDEX, LABELS, MASK_CONCEPTS, PHRASES, Batch, DataFacts


class PhraseQueries:
    """The queries that maps are made of: all concepts in label order, then the phrases of the data.

    Args:
        facts: Of the data.
        phrases: Whether maps can be made of phrases, and not only of concepts.

    Attributes:
        prompts: Name of a query → its texts.
        number: Phrases among them.
    """

    def __init__(self, facts: DataFacts, phrases: bool = True) -> None:
        self.prompts: Prompts = catalogue_prompts(facts)
        names = tuple(self.prompts)
        findings = findings_of(facts, names) or ()
        self._findings = torch.tensor([name in findings for name in names])
        self._columns: dict[tuple[int, str], int] = {}
        self._phrases: dict[int, list[int]] = defaultdict(list)
        for name, phrase in facts.phrases if phrases else ():
            concept, column = names.index(name), len(self.prompts)
            self.prompts[f"{name}: {phrase}"] = {"present": [phrase], "absent": []}
            self._columns[concept, phrase] = column
            self._phrases[concept].append(column)
        self.number = len(self._columns)

    def of_masks(self, batch: Batch, row: int) -> list[tuple[int, str]]:
        """Return concept and phrase ("" for none) of each mask of an image."""
        concepts = batch[MASK_CONCEPTS][row].tolist()
        phrases = batch[PHRASES][row] if self.number and PHRASES in batch else [""] * len(concepts)
        return list(zip(concepts, phrases, strict=True))

    def column(self, concept: int, phrase: str) -> int:
        """Return which query looks for a phrase of a concept; without a phrase, for the concept."""
        return self._columns[concept, phrase] if phrase else concept

    def others(self, batch: Batch, row: int) -> list[int]:
        """Return queries for what an image does not show.

        Where its masks have phrases, these are phrases of findings that it is not said to show, one a
        finding, a different one for the next image; else findings that it is known not to show.
        """
        lacking, wanted = self._findings.clone(), self.of_masks(batch, row)
        lacking[batch[MASK_CONCEPTS][row].cpu()] = False
        if any(phrase for _, phrase in wanted):
            if LABELS in batch:
                lacking &= batch[LABELS][row].cpu() != 1
            turn, named = int(batch[INDEX][row]), [self._phrases[c] for c in _places(lacking)]
            return [columns[turn % len(columns)] for columns in named if columns]
        if LABELS in batch:
            lacking &= batch[LABELS][row].cpu() == 0
        return _places(lacking)


def _places(chosen: torch.Tensor) -> list[int]:
    return [int(place) for place in chosen.nonzero()[:, 0]]
