"""Scores of images for concepts of the catalogue and for prompts of one's own."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from callbacks.evaluations.zero_shot import prompt_directions
from callbacks.evaluations.zero_shot_prompts import Prompts, catalogue_prompts, read_prompts
from callbacks.prediction.own_prompts import own_prompts
from datamodules.batch import DataFacts


@dataclass(frozen=True)
class AskedPrompts:
    """What images are compared with.

    Attributes:
        concepts: Concepts of the catalogue; None takes all, or none where there are own prompts.
        own: A user's own prompts, see `own_prompts`.
        templates: What own prompts are put into.
        catalogue: YAML file of prompts for the catalogue's concepts; None takes the catalogue's own.
        maps: Names of concepts and own prompts whose maps are wanted.
    """

    concepts: Sequence[str] | None
    own: Sequence[str]
    templates: str
    catalogue: str | None
    maps: Sequence[str]

    def prompts(self, facts: DataFacts) -> tuple[Prompts, Prompts]:
        """Return the prompts that are scored, and those that maps are drawn of, by name.

        Raises:
            ValueError: If a concept is unknown, or an own prompt is called like a concept.
        """
        own = own_prompts(self.own, self.templates)
        known = (
            catalogue_prompts(facts) if self.catalogue is None else read_prompts(Path(self.catalogue), facts)
        )
        names = self.concepts if self.concepts is not None else () if own else tuple(known)
        chosen = {name: known[name] for name in (_named(name, known, "concepts") for name in names)}
        if twice := sorted(own.keys() & chosen.keys()):
            raise ValueError(
                f"prompt {twice[0]!r} is called like a concept that is scored too: leave one out"
            )
        scored = chosen | own
        mapped = {
            name: {**known, **own}[name] for name in (_named(n, {**known, **own}, "maps") for n in self.maps)
        }
        return scored, mapped


class PromptScorer:
    """Compares images with prompts.

    Args:
        module: A model with ``encode_text`` and a tokenizer.
        prompts: Name → prompts.

    Attributes:
        names: Names of the scores, in order.
        directions: Present minus absent ensemble, ``(names, projection)`` float64.
        temperature: What scores are divided by where they become probabilities.
    """

    def __init__(self, module: L.LightningModule, prompts: Prompts) -> None:
        self.names = list(prompts)
        self.directions = prompt_directions(module, prompts) if prompts else torch.empty(0, 0).double()
        self.temperature = float(getattr(module, "temperature", 0.07))

    def scores(self, vectors: Tensor) -> Tensor:
        """Return the scores of images, ``(images, names)`` float32, from their unit vectors on the CPU."""
        if not self.names:
            return torch.empty(len(vectors), 0)
        return (vectors.double() @ self.directions.T).float()

    def probabilities(self, scores: Tensor) -> Tensor:
        """Return what a softmax over "present" and "absent" makes of scores."""
        return torch.sigmoid(scores.double() / self.temperature).float()


def warn_of_unknown_words(module: Any, texts: Sequence[str]) -> None:
    """Warn of texts that hold what the model's tokenizer has no word pieces for."""
    tokenizer = getattr(module, "tokenizer", None)
    unknown = getattr(tokenizer, "unk_token_id", None)
    if tokenizer is None or unknown is None or not texts:
        return
    lost = [
        text for text, ids in zip(texts, tokenizer(list(texts))["input_ids"], strict=True) if unknown in ids
    ]
    if lost:
        rank_zero_warn(
            f"the model's tokenizer does not know every character of {', '.join(map(repr, lost[:3]))}: these "
            "prompts mean less to it than they say"
        )


def _named(name: str, known: Prompts, argument: str) -> str:
    """Return a name as it is known, whatever its case, blanks and underscores."""
    plain = {_plain(other): other for other in known}
    if _plain(name) in plain:
        return plain[_plain(name)]
    near = difflib.get_close_matches(_plain(name), plain, n=3)
    hint = f"did you mean {' or '.join(plain[n] for n in near)}?" if near else f"known: {', '.join(known)}."
    raise ValueError(f"{argument}: no concept {name!r} in the catalogue, and no prompt of that text; {hint}")


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())
