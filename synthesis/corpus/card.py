"""The data card: what a corpus holds, where it comes from, and what was refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from synthesis.cache import PairCache
from synthesis.cases import CaseSampler, LongTailedCaseSampler
from synthesis.concepts import ConceptCatalog
from synthesis.corpus.export import read
from synthesis.corpus.make import Made
from synthesis.corpus.plan import CorpusPlan
from synthesis.files import write_atomically
from synthesis.pairs import kind_of

_SAMPLED = 20_000  # cases of a histogram that are not stored and so have to be drawn
_LIBRARIES = ("synvlp", "torch", "numpy", "transformers", "diffusers", "monai")


def data_card(made: Made, plan: CorpusPlan, licences: Mapping[str, str]) -> dict[str, Any]:
    """Collect what there is to say about a finished corpus, as JSON-able values.

    Args:
        made: The corpus.
        plan: What it was made by.
        licences: Part of the corpus → its licence.

    Returns:
        ``counts``, ``refused`` and ``missing`` (kind → drawings, pairs), ``notes`` (what the writer notes on
        all pairs made, e.g. what of a language model did not pass → how often), ``concepts`` (name → share of
        the pairs: ``prevalence`` by the catalogue's, ``asked`` by the sampler, ``held`` in the end),
        ``hashes`` (of weights, prompts and other files), ``licences``, ``versions``, the whole ``recipe``.
    """
    corpus = PairCache(made.directory)
    held = _concepts(corpus, plan.synthesizer.catalog)
    recipe = corpus.manifest["recipe"]
    return {
        "fingerprint": corpus.manifest["fingerprint"],
        "split": plan.split,
        "seed": plan.seed,
        "counts": {"made": plan.pairs, "held": made.pairs, "drawings refused": len(made.refused)},
        "refused": dict(Counter(kind_of(r.reason) for r in made.refused).most_common()),
        "missing": dict(Counter(kind_of(r.reason) for r in made.refused if r.missing).most_common()),
        "notes": dict(sorted(made.notes.items())),
        "concepts": _histograms(held, len(corpus), plan),
        "hashes": dict(_hashes(recipe)),
        "licences": dict(licences),
        "versions": dict(_versions()),
        "recipe": recipe,
    }


def write_card(root: Path, card: Mapping[str, Any], title: str) -> None:
    """Write ``card.json`` and ``README.md``, whose head the Hugging Face hub and `load_dataset` read."""
    write_atomically(root / "card.json", json.dumps(card, indent=1).encode())
    write_atomically(root / "README.md", _markdown(card, title).encode())


def _concepts(corpus: PairCache, catalog: ConceptCatalog) -> Counter[str]:
    """Count the concepts of all pairs held."""
    concepts = Counter[str]()
    for pair in read(corpus, range(len(corpus))):
        concepts.update(pair.case.concepts(catalog))
    return concepts


def _histograms(held: Counter[str], pairs: int, plan: CorpusPlan) -> dict[str, dict[str, float]]:
    catalog, drawn = plan.synthesizer.catalog, min(plan.pairs, _SAMPLED)
    natural = _sampled(_natural(plan.synthesizer.sampler), catalog, plan, drawn)
    asked = _sampled(plan.synthesizer.sampler, catalog, plan, drawn)
    return {
        name: {
            "prevalence": natural[name] / drawn,
            "asked": asked[name] / drawn,
            "held": held[name] / pairs,
        }
        for name in catalog.names
    }


def _natural(sampler: CaseSampler) -> LongTailedCaseSampler:
    """Return the sampler that differs from the corpus's only in drawing concepts as often as they occur."""
    own = {"class", "catalog_sha256", "cap", "normal_rate"}
    settings = {key: value for key, value in sampler.describe().items() if key not in own}
    return LongTailedCaseSampler(catalog=sampler.catalog.path, **settings)


def _sampled(sampler: CaseSampler, catalog: ConceptCatalog, plan: CorpusPlan, count: int) -> Counter[str]:
    concepts: Counter[str] = Counter()
    for index in range(count):
        concepts.update(sampler.sample(plan.seed, plan.split, index).concepts(catalog))
    return concepts


def _hashes(content: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every hash in a recipe under its path: what was hashed is named by the keys above it."""
    items = content.items() if isinstance(content, Mapping) else enumerate(content)
    for key, value in items:
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping | list):
            yield from _hashes(value, here)
        elif isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
            yield here, value


def _versions() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _markdown(card: Mapping[str, Any], title: str) -> str:
    head = [
        "---",
        f"pretty_name: {json.dumps(title)}",
        "task_categories: [image-to-text, zero-shot-image-classification]",
        "tags: [medical, chest-x-ray, synthetic]",
        "configs:",
        "- config_name: default",
        f"  data_files: [{{split: {card['split']}, path: parquet/*.parquet}}]",
        "---",
        f"# {title}",
        "",
        "Synthetic pairs of a chest radiograph and its report, made by SynVLP. Not for diagnosis.",
        "",
        f"Fingerprint `{card['fingerprint']}`, split `{card['split']}`, seed {card['seed']}.",
    ]
    counts = _table(("count", "n"), [(k, f"{v:,}") for k, v in card["counts"].items()])
    refused = [
        (kind, f"{n:,}", f"{card['missing'].get(kind, 0):,}") for kind, n in card["refused"].items()
    ] or [("none", "0", "0")]
    shares = [
        (name, *(f"{100 * row[key]:.1f}" for key in ("prevalence", "asked", "held")))
        for name, row in card["concepts"].items()
    ]
    note = (
        "Per cent of the pairs in which a concept is present. *Before balancing*: as often as the catalogue "
        "says that it occurs; *asked*: by the case sampler; *held*: in this corpus, after the filters."
    )
    notes = [(kind_note, f"{n:,}") for kind_note, n in card["notes"].items()]
    lines = [
        *head, "", "## Counts", "", *counts, "",
        "## Refused by the filters", "",
        *_table(("reason", "drawings", "pairs missing for it"), refused), "",
        "[Pictures of them](gallery/README.md).", "",
        *(["## Notes of the writer", "", *_table(("note", "times"), notes), ""] if notes else []),
        "## Concepts", "", note, "",
        *_table(("concept", "before balancing", "asked", "held"), shares), "",
        "## Licences", "", *_table(("part", "licence"), list(card["licences"].items())), "",
        "## Hashes (SHA-256)", "", *_table(("of", "hash"), list(card["hashes"].items())), "",
        "## Made with", "", *_table(("library", "version"), list(card["versions"].items())), "",
        "<details><summary>The whole recipe</summary>", "",
        "```json", json.dumps(card["recipe"], indent=1), "```", "", "</details>", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    cells = [columns, ("---",) * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells]
