"""The exports are read with the libraries that they are for."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthesis.cases import Case, Finding
from synthesis.checksums import ChecksumError, check_complete, check_listed
from synthesis.concepts import ConceptCatalog
from synthesis.reports.report import Report
from synthesis.store import PairStore, StoreError, export_parquet, export_webdataset
from synthesis.store.export import check_export

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


def labels_of(row: dict[str, Any], names: Sequence[str]) -> list[float]:
    """The labels that training gives to a row of an export, with nothing but the row and the names."""
    return [float(name in row["concepts"]) for name in names]


def case_of(row: dict[str, Any]) -> Case:
    findings = tuple(Finding(**finding) for finding in json.loads(row["case"]))
    return Case(findings, tuple(row["absent"]), row["view"])


def test_exports_hold_all_that_training_reads(
    corpus: PairStore, catalog: ConceptCatalog, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq
    import webdataset

    shards = export_webdataset(corpus, tmp_path / "tars", catalog)
    files = export_parquet(corpus, tmp_path / "parquet", catalog)
    source = json.loads((tmp_path / "tars" / "source.json").read_text())
    noted = json.loads(pq.read_schema(files[0]).metadata[b"synvlp"])
    names = source["concept_names"]
    assert names == noted["concept_names"] == list(catalog.names)
    assert source["catalog_sha256"] == noted["catalog_sha256"] == catalog.sha256
    assert noted["fingerprint"] == corpus.manifest.fingerprint and noted["image_size"] == 16
    data = webdataset.WebDataset([str(path) for path in shards], shardshuffle=False).decode("l8")
    from_tars = [row for (row,) in data.to_tuple("json")]
    from_parquet = pq.read_table(files[0]).to_pylist()
    pairs = corpus.pairs(range(len(corpus)), masks=False)
    assert len(from_tars) == len(from_parquet) == len(pairs)
    for pair, *rows in zip(pairs, from_tars, from_parquet, strict=True):
        for row in rows:
            assert labels_of(row, names) == pair.case.labels(catalog).tolist()
            assert case_of(row) == pair.case
            assert Report(row["findings"], row["impression"]) == pair.report
            assert row["rejections"] == [str(why) for why in pair.rejections]
    assert any(pair.rejections for pair in pairs)


def test_an_export_by_another_catalogue_is_refused(corpus: PairStore, tmp_path: Path) -> None:
    other = ConceptCatalog("configs/concepts/covid_19.yaml")
    for export in (export_webdataset, export_parquet):
        with pytest.raises(StoreError, match="another concept catalogue"):
            export(corpus, tmp_path / "out", other)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("export", [export_webdataset, export_parquet])
def test_damage_to_an_export_is_noticed_and_mended(
    export: Any, corpus: PairStore, catalog: ConceptCatalog, tmp_path: Path
) -> None:
    files = export(corpus, tmp_path, catalog, pairs=10)
    whole = contents(tmp_path)
    rng = np.random.default_rng(0)
    for path in sorted(tmp_path.iterdir()):
        if path.name == "checksums.json":
            continue
        content = bytearray(whole[path.name])
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        with pytest.raises(ChecksumError, match=f"{path.name} is damaged: its SHA-256 is"):
            check_listed(path)
    export(corpus, tmp_path, catalog, pairs=10)
    assert contents(tmp_path) == whole
    check_export(tmp_path, len(files))
    with pytest.raises(StoreError, match=f"holds {len(files) - 1} of the {len(files)} files"):
        check_export(tmp_path, len(files) - 1)
    files[1].unlink()
    with pytest.raises(ChecksumError, match=f"{files[1].name} is listed in checksums.json, but missing"):
        check_complete(tmp_path)
    (tmp_path / "checksums.json").write_text("{")
    with pytest.raises(ChecksumError, match=r"checksums\.json cannot be read"):
        check_complete(tmp_path)
