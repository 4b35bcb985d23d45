"""The exports are read with the libraries that they are for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from synthesis.concepts import ConceptCatalog
from synthesis.store import PairStore, export_parquet, export_webdataset

os.environ.setdefault("HF_DATASETS_OFFLINE", "1")


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_webdataset_reads_the_tars(corpus: PairStore, catalog: ConceptCatalog, tmp_path: Path) -> None:
    import webdataset

    shards = export_webdataset(corpus, tmp_path / "tars", catalog, pairs=10)
    assert [path.name for path in shards] == [f"{k:05}.tar" for k in range(-(-len(corpus) // 10))]
    urls = [str(path) for path in shards]
    # As open_clip reads: images in whichever format, decoded; the text as it is.
    data = (
        webdataset.WebDataset(urls, shardshuffle=False)
        .decode("l8")
        .to_tuple("png;jpg", "txt", "json", "__key__")
    )
    read = list(data)
    pairs = corpus.pairs(range(len(corpus)))
    assert len(read) == len(pairs)
    for place, ((image, text, values, key), pair) in enumerate(zip(read, pairs, strict=True)):
        assert key == f"{place // 10:05}{place % 10:04}" == values["key"]
        np.testing.assert_array_equal(image, pair.image[0].numpy())
        assert text == pair.report.text and values["index"] == pair.index
        present = pair.case.concepts(catalog)
        assert values["concepts"] == [name for name in catalog.names if name in present]
        assert [f["concept"] for f in json.loads(values["case"])] == [f.concept for f in pair.case.findings]
    counts = [json.loads(p.read_bytes())["count"] for p in sorted((tmp_path / "tars").glob("*_stats.json"))]
    assert sum(counts) == len(pairs)


def test_datasets_opens_the_parquet_files(corpus: PairStore, catalog: ConceptCatalog, tmp_path: Path) -> None:
    import datasets

    files = export_parquet(corpus, tmp_path / "parquet", catalog, pairs=10)
    assert files[0].name == f"train-00000-of-{len(files):05}.parquet" and len(files) > 1
    read = datasets.load_dataset(
        "parquet", data_files={"train": [str(f) for f in files]}, cache_dir=str(tmp_path / "hub")
    )["train"]
    assert isinstance(read.features["image"], datasets.Image)
    pairs = corpus.pairs(range(len(corpus)))
    assert len(read) == len(pairs)
    for entry, pair in zip(read, pairs, strict=True):
        assert entry["image"].mode == "L"
        np.testing.assert_array_equal(np.asarray(entry["image"]), pair.image[0].numpy())
        assert (entry["text"], entry["index"]) == (pair.report.text, pair.index)
        assert entry["absent"] == list(pair.case.absent) and entry["notes"] == list(pair.notes)


@pytest.mark.parametrize("export", [export_webdataset, export_parquet])
def test_an_export_goes_on_and_gives_the_same_bytes(
    export: object, corpus: PairStore, catalog: ConceptCatalog, tmp_path: Path
) -> None:
    files = export(corpus, tmp_path / "one", catalog, pairs=10)  # type: ignore[operator]
    again = tmp_path / "again"
    export(corpus, again, catalog, pairs=10)  # type: ignore[operator]
    assert contents(again) == contents(tmp_path / "one")
    kept = (again / files[0].name).stat().st_ino
    (again / files[1].name).unlink()
    (again / f"{files[1].name}.123.tmp").write_bytes(b"half")
    export(corpus, again, catalog, pairs=10)  # type: ignore[operator]
    assert contents(again) == contents(tmp_path / "one")
    assert (again / files[0].name).stat().st_ino == kept
    other = export(corpus, again, catalog, pairs=1000)  # type: ignore[operator]
    assert len(other) == 1 and {p.suffix for p in again.iterdir()} <= {".tar", ".parquet", ".json"}
    assert files[1].name not in contents(again)


def test_what_is_no_export_is_left_alone(corpus: PairStore, catalog: ConceptCatalog, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds something else"):
        export_webdataset(corpus, tmp_path, catalog)
    assert (tmp_path / "thesis.tex").exists()
    with pytest.raises(ValueError, match="four digits"):
        export_webdataset(corpus, tmp_path / "out", catalog, pairs=20_000)
    with pytest.raises(ValueError, match="pairs=0"):
        export_parquet(corpus, tmp_path / "out", catalog, pairs=0)
