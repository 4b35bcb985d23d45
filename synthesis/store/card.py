"""The data card: what a corpus holds, where it comes from, and what was refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from synthesis.cases import CaseSampler, LongTailedCaseSampler
from synthesis.concepts import ConceptCatalog
from synthesis.files import write_atomically, write_json
from synthesis.pairs import PairSynthesizer
from synthesis.store.export import read
from synthesis.store.pair_store import PairStore

_SAMPLED = 20_000  # cases of a histogram that are not stored and so have to be drawn
_LIBRARIES = ("synvlp", "torch", "numpy", "transformers", "diffusers", "monai")


def data_card(store: PairStore, synthesizer: PairSynthesizer, licences: Mapping[str, str]) -> dict[str, Any]:
    """Collect what there is to say about a finished corpus, as JSON-able values.

    Args:
        store: The corpus.
        synthesizer: What it was made by.
        licences: Part of the corpus → its licence.

    Returns:
        ``counts``, ``refused`` and ``missing`` (kind → drawings, pairs), ``notes`` (what the writer notes on
        all pairs made, e.g. what of a language model did not pass → how often), ``concepts`` (name → share of
        the pairs: ``prevalence`` by the catalogue's, ``asked`` by the sampler, ``held`` in the end),
        ``hashes`` (of weights, prompts and other files), ``licences``, ``versions``, the whole ``recipe``.
    """
    manifest, refused = store.manifest, store.refused()
    return {
        "fingerprint": manifest.fingerprint,
        "split": manifest.split,
        "seed": manifest.recipe["seed"],
        "counts": {"made": manifest.made, "held": len(store), "drawings refused": len(refused)},
        "refused": dict(Counter(entry.kind for entry in refused).most_common()),
        "missing": dict(Counter(entry.kind for entry in refused if entry.missing).most_common()),
        "notes": dict(sorted(store.notes().items())),
        "concepts": _histograms(store, synthesizer),
        "hashes": dict(_hashes(manifest.recipe)),
        "licences": dict(licences),
        "versions": dict(_versions()),
        "recipe": manifest.recipe,
    }


def write_card(root: Path, card: Mapping[str, Any], title: str) -> None:
    """Write ``card.json`` and ``README.md``, whose head the Hugging Face hub and `load_dataset` read."""
    write_json(root / "card.json", card)
    write_atomically(root / "README.md", _markdown(card, title))


def _histograms(store: PairStore, synthesizer: PairSynthesizer) -> dict[str, dict[str, float]]:
    catalog, drawn = synthesizer.catalog, min(store.manifest.made, _SAMPLED)
    held: Counter[str] = Counter()
    for pair in read(store, range(len(store))):
        held.update(pair.case.concepts(catalog))
    natural = _sampled(_natural(synthesizer.sampler), catalog, store, drawn)
    asked = _sampled(synthesizer.sampler, catalog, store, drawn)
    return {
        name: {
            "prevalence": natural[name] / drawn,
            "asked": asked[name] / drawn,
            "held": held[name] / len(store),
        }
        for name in catalog.names
    }


def _natural(sampler: CaseSampler) -> LongTailedCaseSampler:
    """Return the sampler that differs from the corpus's only in drawing concepts as often as they occur."""
    own = {"catalog_sha256", "cap", "normal_rate"}
    settings = {key: value for key, value in sampler.describe().items() if key not in own}
    return LongTailedCaseSampler(catalog=sampler.catalog.path, **settings)


def _sampled(sampler: CaseSampler, catalog: ConceptCatalog, store: PairStore, count: int) -> Counter[str]:
    concepts: Counter[str] = Counter()
    seed, split = store.manifest.recipe["seed"], store.manifest.split
    for index in range(count):
        concepts.update(sampler.sample(seed, split, index).concepts(catalog))
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
