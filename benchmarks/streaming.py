"""Streaming a corpus of many tiny pairs: memory, samples a second, order, and resuming inside an epoch.

Writes so many pairs of 16 px as tars (img2dataset's layout) or Parquet files, streams an epoch of them
through `datamodules.CorpusPairs` as training does, and streams again from its middle, as a resumed training.

    python -m benchmarks.streaming                       # a million of each, half an hour
    python -m benchmarks.streaming --pairs 20000 --kinds parquet

Writes `results/bench/streaming.json` and `.md`; a kind that is not measured stays as it was.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from datamodules import CorpusPairs, LoaderOptions, TokenizerOptions
from scripts.command_line.errors import exit_code
from synthesis.configuration import shipped
from synthesis.files import write_atomically, write_json

RESULTS = shipped("results/bench")
SIZE = 16
_PICTURES = 64  # different ones; every text is another


def write_corpus(kind: str, directory: Path, pairs: int, per_file: int) -> None:
    """Write a corpus of tiny pairs.

    Args:
        kind: "tar" or "parquet".
        directory: Where; it is made.
        pairs: How many.
        per_file: Pairs of a file.
    """
    directory.mkdir(parents=True)
    pictures = _pictures()
    write: Callable[[Path, range, Sequence[bytes]], None] = {"tar": _tar, "parquet": _parquet}[kind]
    for number, start in enumerate(range(0, pairs, per_file)):
        places = range(start, min(start + per_file, pairs))
        write(directory / f"{number:05}.{kind}", places, pictures)


def data_of(directory: Path, artifacts: Path, batch_size: int = 256, seed: int = 0) -> CorpusPairs:
    """Return a corpus that `write_corpus` wrote, set up to be streamed."""
    data = CorpusPairs(
        {"train": str(directory)},
        SIZE,
        stream=True,
        loader=LoaderOptions(batch_size=batch_size, seed=seed),
        tokenizer=TokenizerOptions(vocab_size=200),
        tokenizer_reports=200,
        artifacts_dir=artifacts,
    )
    data.prepare_data()
    data.setup("fit")
    return data


def fingerprints(batches: Iterator[Any]) -> Iterator[str]:
    """Yield a hash of each batch: pixels, tokens, labels and which pairs it holds."""
    for batch in batches:
        parts = (batch[key].numpy().tobytes() for key in ("image", "input_ids", "labels", "index"))
        yield hashlib.sha256(b"".join(parts)).hexdigest()


def measure(kind: str, pairs: int, per_file: int, folder: Path, batch_size: int = 256) -> dict[str, Any]:
    """Stream an epoch, then its second half again.

    Args:
        kind: "tar" or "parquet".
        pairs: Of the corpus.
        per_file: Pairs of each of its files.
        folder: Where it is written.
        batch_size: Pairs of a batch.

    Returns:
        What it took, and whether order and batches were what they have to be.
    """
    started = time.perf_counter()
    write_corpus(kind, folder / kind, pairs, per_file)
    written = time.perf_counter() - started
    loader = data_of(folder / kind, folder / "artifacts", batch_size).train_dataloader()
    first, cpu, wall = _resident(), time.process_time(), time.perf_counter()
    steps, seen, after, hashes = len(loader), 0, [], []
    for step, mark in enumerate(fingerprints(iter(loader))):
        seen += loader.batch_size or 0
        hashes.append(mark)
        if step % max(1, steps // 20) == 0:
            after.append(_resident())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    again = data_of(folder / kind, folder / "artifacts", batch_size).train_dataloader()
    middle = steps // 2
    again.load_state_dict({"epoch": 0, "position": middle})
    resumed = list(islice(fingerprints(iter(again)), min(20, steps - middle)))
    other = data_of(folder / kind, folder / "artifacts", batch_size, seed=1).train_dataloader()
    return {
        "kind": kind,
        "pairs": pairs,
        "pairs a file": per_file,
        "seconds to write": written,
        "samples a CPU second": seen / cpu,
        "samples a second": seen / wall,
        "MB before": first,
        "MB after a twentieth": after[1] if len(after) > 1 else after[0],
        "MB at most": max(after),
        "resumes at the very batch": resumed == hashes[middle : middle + len(resumed)],
        "another seed, another order": next(fingerprints(iter(other))) != hashes[0],
    }


def markdown(found: Sequence[dict[str, Any]]) -> str:
    """Lay out what was found, a column a kind."""
    lines = ["# Streaming many tiny pairs", "", "| | " + " | ".join(row["kind"] for row in found) + " |"]
    lines.append("|---|" + "---:|" * len(found))
    for key in (key for key in found[0] if key != "kind"):
        lines.append(f"| {key} | " + " | ".join(_shown(row.get(key)) for row in found) + " |")
    note = f"Pairs of {SIZE} px in batches of 256, one process, PNG decoded and texts encoded."
    return "\n".join([*lines, "", note, ""])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if value is None:
        return "–"
    return f"{value:,.0f}"


def _resident() -> float:
    """Return the memory that this process holds now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _pictures() -> list[bytes]:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (_PICTURES, SIZE, SIZE)).astype(np.uint8)
    found = []
    for picture in pixels:
        content = io.BytesIO()
        Image.fromarray(picture).save(content, "png")
        found.append(content.getvalue())
    return found


def _fields(place: int) -> dict[str, Any]:
    """Return the columns of a pair, a few of those that `make corpus` leaves."""
    report = {"findings": f"Clear lungs, series {place}.", "impression": "Normal chest."}
    return {"index": place, **report, "concepts": ["no_finding"], "view": "PA"}


def _tar(path: Path, places: range, pictures: Sequence[bytes]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for place in places:
            fields = json.dumps(_fields(place)).encode()
            for suffix, content in (("png", pictures[place % _PICTURES]), ("json", fields)):
                member = tarfile.TarInfo(f"{place:09}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    path.with_name(f"{path.stem}_stats.json").write_text(json.dumps({"successes": len(places)}))


def _parquet(path: Path, places: range, pictures: Sequence[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"image": pictures[place % _PICTURES], **_fields(place)} for place in places]
    pq.write_table(pa.Table.from_pylist(rows), path)


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    layout = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=layout)
    parser.add_argument("--pairs", type=int, default=1_000_000, help="of each kind")
    parser.add_argument("--per-file", type=int, default=5_000, help="pairs of a file")
    parser.add_argument("--kinds", nargs="+", choices=("tar", "parquet"), default=["tar", "parquet"])
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write")
    options = parser.parse_args(args)
    path = options.results / "streaming.json"
    rows = {row["kind"]: row for row in (json.loads(path.read_bytes()) if path.is_file() else [])}
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as folder:
            rows[kind] = measure(kind, options.pairs, options.per_file, Path(folder))
    found = [rows[kind] for kind in sorted(rows)]
    options.results.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    write_atomically(options.results / "streaming.md", markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    sys.exit(exit_code(main))
