"""Training on what `make corpus` leaves, and on other people's tars and Parquet files."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from datamodules import CorpusColumns, CorpusPairs, LoaderOptions, TokenizerOptions
from datamodules.loading.needs import UnmetNeedError
from datamodules.loading.samplers import MIXED_RUNS, EpochSampler
from datamodules.made.corpus_error import CorpusError
from synthesis.concepts import ConceptCatalog
from synthesis.pairs import PairSynthesizer

LAYER = ("-c", "configs/data/corpus.yaml", "--data.init_args.splits={train: 0.5, val: 0.5}")
SIZES = ("--data.init_args.loader.batch_size=8",)


def opened(path: Path | dict[str, str], artifacts: Path, **kwargs: Any) -> CorpusPairs:
    given = path if isinstance(path, dict) else str(path)
    loader = kwargs.pop("loader", LoaderOptions(batch_size=4))
    arguments = {"image_size": 64, "artifacts_dir": artifacts, "tokenizer": TokenizerOptions(None, 300)}
    data = CorpusPairs(given, loader=loader, **{**arguments, **kwargs})
    data.prepare_data()
    data.setup("fit")
    return data


def test_the_three_forms_of_a_corpus_train_the_same_encoder(corpus: Path, fit: Callable[..., Any]) -> None:
    figures = {}
    for form in ("train", "webdataset", "parquet"):
        path = corpus if form == "train" else corpus / form
        _, summary = fit(form, *LAYER, *SIZES, "--trainer.max_epochs=1", f"--data.init_args.path={path}")
        figures[form] = {
            key: value for key, value in summary.items() if key.startswith("val/") and "details" not in key
        }
    assert figures["train"] == figures["webdataset"] == figures["parquet"]
    assert {"val/zero_shot/auroc_macro", "val/probe/auroc_macro", "val/loss"} <= figures["train"].keys()


def test_a_streamed_corpus_trains_and_resumes_at_the_very_batch(
    corpus: Path, fit: Callable[..., Any], tmp_path: Path
) -> None:
    stream = (f"--data.init_args.path={corpus / 'webdataset'}", "--data.init_args.stream=true")
    line, _ = fit("straight", *LAYER, *SIZES, *stream)
    checkpoint = next((tmp_path / "straight" / "checkpoints").glob("*step=2.ckpt"))
    resumed, _ = fit("resumed", *LAYER, *SIZES, *stream, f"--ckpt_path={checkpoint}")
    assert line.trainer.global_step == resumed.trainer.global_step > 2
    for (name, a), b in zip(
        line.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_pairs_come_back_as_they_were_made(
    corpus: Path, synthesizer: PairSynthesizer, tmp_path: Path
) -> None:
    made = synthesizer.make(range(60), 5, "train")
    for form, stream in (("train", False), ("webdataset", False), ("parquet", False), ("parquet", True)):
        data = opened(corpus / form, tmp_path, stream=stream, splits={"train": 1.0})
        source = data.source("train")
        assert len(source) == len(made)
        for pair, sample in zip(made, source.samples(range(60)), strict=True):
            assert torch.equal(sample.image, pair.image) and sample.group == pair.index
            assert sample.report == pair.report and sample.case == pair.case
            assert sample.labels.tolist() == pair.case.labels(synthesizer.catalog).tolist()


def test_splits_are_disjoint_complete_and_the_same_for_every_form(corpus: Path, tmp_path: Path) -> None:
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    parts = {}
    for form in ("train", "webdataset", "parquet"):
        data = opened(corpus / form, tmp_path, splits=shares)
        parts[form] = {split: data._chosen(split).tolist() for split in shares}
        assert sorted(chain.from_iterable(parts[form].values())) == list(range(60))
    assert parts["train"] == parts["webdataset"] == parts["parquet"]


def test_masks_come_from_the_store_alone(corpus: Path, tmp_path: Path) -> None:
    data = opened(corpus, tmp_path)
    batch = next(iter(data.val_dataloader()))
    assert len(batch["masks"]) == len(batch["index"])
    asking = opened(corpus / "parquet", tmp_path)
    asking.asked = {"val": frozenset({"masks"})}
    with pytest.raises(UnmetNeedError, match=r"'masks' in the batches of 'val', but .*parquet has no masks"):
        asking.setup("fit")


def test_runs_keep_a_stream_local_and_cover_everything() -> None:
    runs = [5, 3, 8, 1, 7, 6, 2, 9, 4]
    sampler = EpochSampler(sum(runs), 1, 3, runs=runs)
    order = sampler.slice(0)
    assert sorted(order.tolist()) == list(range(sum(runs))) and order.tolist() != sorted(order.tolist())
    owner = np.repeat(range(len(runs)), runs)[order]
    spans = [np.flatnonzero(owner == run) for run in range(len(runs))]
    open_at_once = max(sum(span[0] <= i <= span[-1] for span in spans) for i in range(len(order)))
    assert open_at_once <= MIXED_RUNS
    assert sampler.slice(1).tolist() != order.tolist()


def test_a_stream_holds_a_few_files_in_memory(corpus: Path, tmp_path: Path) -> None:
    data = opened(corpus / "webdataset", tmp_path, stream=True, splits={"train": 1.0})
    source = data.source("train")
    source.samples([0, 20, 40, 59])
    assert source.runs == [16, 16, 16, 12]  # type: ignore[attr-defined]
    many = source.corpus  # type: ignore[attr-defined]
    many.files, many.counts, many.ends = (
        many.files * 3,
        np.tile(many.counts, 3),
        np.cumsum(np.tile(many.counts, 3)),
    )
    for place in range(0, 180, 15):
        many.sample(place)
    assert len(many._open) <= MIXED_RUNS + 1


def foreign_tar(path: Path, count: int = 6, **broken: bytes | None) -> None:
    """Other people's pairs: JPEGs of another size and a caption, without cases or labels."""
    with tarfile.open(path, "w") as tar:
        for i in range(count):
            content = io.BytesIO()
            noise = np.random.default_rng(i).integers(0, 255, (80, 96), np.uint8)
            Image.fromarray(noise).save(content, "jpeg")
            members = {"jpg": content.getvalue(), "txt": f"Small left effusion {i}.".encode()}
            members |= {"json": json.dumps({"names": ["edema"]}).encode()}
            for suffix, data in (members | (broken if i == 3 else {})).items():
                if data is not None:
                    info = tarfile.TarInfo(f"{i:04}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def test_foreign_tars_are_read_by_a_map_of_columns(tmp_path: Path) -> None:
    foreign_tar(tmp_path / "0.tar")
    columns = CorpusColumns(case=None, concepts="names", unmentioned="unknown")
    data = opened(tmp_path / "*.tar", tmp_path / "a", columns=columns, splits={"train": 1.0})
    assert not data.made
    (sample,) = data.source("train").samples([2])
    assert sample.image.shape == (1, 64, 64) and sample.report is not None
    assert sample.report.findings == "Small left effusion 2."
    edema = ConceptCatalog.load().index("edema")
    assert sample.labels[edema] == 1 and sample.labels.isnan().sum() == len(sample.labels) - 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"jpg": None}, "0003.*no picture among"),
        ({"jpg": b"no jpeg"}, "row 3 .*cannot be read as an image"),
        ({"txt": b"  "}, "row 3 .*no text in any of the columns"),
        ({"json": b'{"names": ["oedema"]}'}, "row 3 .*column 'names'.*oedema"),
    ],
)
def test_a_bad_row_is_named(
    broken: dict[str, bytes | None], message: str, stream: bool, tmp_path: Path
) -> None:
    foreign_tar(tmp_path / "0.tar")
    foreign_tar(tmp_path / "1.tar", **broken)
    columns = CorpusColumns(case=None, concepts="names")
    with pytest.raises(CorpusError, match=rf"1\.tar.*{message}"):
        data = opened(tmp_path, tmp_path / "a", columns=columns, splits={"train": 1.0}, stream=stream)
        data.source("train").samples(range(12))


def test_bad_corpora_are_named(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nothing is there"):
        opened(tmp_path / "nowhere", tmp_path)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "recipe.json").write_text("{}")
    with pytest.raises(CorpusError, match="neither a finished store"):
        opened(tmp_path / "half", tmp_path)
    with pytest.raises(CorpusError, match="holds images of 64 px, image_size is 32"):
        opened(corpus, tmp_path, image_size=32)
    with pytest.raises(CorpusError, match="path has no 'val'"):
        opened({"train": str(corpus)}, tmp_path).source("val")
    with pytest.raises(CorpusError, match="no pair in split 'test'"):
        opened(corpus, tmp_path, splits={"train": 1.0}).source("test")
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        CorpusPairs({"valid": "x"}, image_size=64)
    shutil.copytree(corpus / "webdataset", tmp_path / "cut")
    tar = tmp_path / "cut" / "00001.tar"
    tar.write_bytes(tar.read_bytes()[:3000])
    with pytest.raises(CorpusError, match=r"00001\.tar"):
        opened(tmp_path / "cut", tmp_path / "other", splits={"train": 1.0}).source("train").samples(range(60))
    pq.write_table(pa.table({"image": ["a path"], "text": ["Clear."]}), tmp_path / "p.parquet")
    with pytest.raises(CorpusError, match="row 0, column 'image': holds no bytes of an image but str"):
        opened(tmp_path / "p.parquet", tmp_path / "b", columns=CorpusColumns(case=None)).source("train")


@pytest.mark.parametrize("stream", [False, True])
def test_a_decompression_bomb_is_named(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr("datamodules.tables.parquet_batches.UNPACKED", 100_000)
    texts = pa.array(["a" * 10_000] * 600).dictionary_encode()
    pictures = pa.array([b"\x89PNG"] * 600)
    pq.write_table(pa.table({"text": texts, "image": pictures}), tmp_path / "b.parquet", compression="zstd")
    columns, splits = CorpusColumns(case=None), {"train": 1.0}
    with pytest.raises(CorpusError, match=r"^\S*b\.parquet: its rows unpack to more than .* bomb\?"):
        data = opened(tmp_path / "b.parquet", tmp_path / "a", columns=columns, splits=splits, stream=stream)
        data.source("train").samples([0])
    opened(corpus / "parquet", tmp_path / "c", splits=splits, stream=stream).source("train").samples([0])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_a_flipped_bit_of_an_export_is_named(corpus: Path, tmp_path: Path, kind: str, stream: bool) -> None:
    shutil.copytree(corpus / kind, tmp_path / kind)
    files = sorted(p for p in (tmp_path / kind).iterdir() if p.suffix in (".tar", ".parquet"))
    content = bytearray(files[1].read_bytes())
    content[len(content) // 2] ^= 4  # within a picture or a text: either would be read
    files[1].write_bytes(content)
    with pytest.raises(CorpusError, match=rf"{files[1].name} is damaged: its SHA-256 is"):
        opened(tmp_path / kind, tmp_path / "a", splits={"train": 1.0}, stream=stream).source("train").samples(
            range(60)
        )
    files[1].unlink()
    with pytest.raises(CorpusError, match=rf"{files[1].name} is listed in checksums\.json, but missing"):
        opened(tmp_path / kind, tmp_path / "b", splits={"train": 1.0}, stream=stream).source("train")


@pytest.mark.parametrize("stream", [False, True])
def test_tars_that_end_too_early_are_named(tmp_path: Path, stream: bool) -> None:
    foreign_tar(tmp_path / "0.tar")
    whole = (tmp_path / "0.tar").read_bytes()
    columns = CorpusColumns(case=None, concepts="names")

    def read() -> None:
        data = opened(tmp_path, tmp_path / "a", columns=columns, splits={"train": 1.0}, stream=stream)
        data.source("train").samples(range(6))

    for content in (b"", whole[:512], whole[:5120], whole.rstrip(b"\0")):
        (tmp_path / "0.tar").write_bytes(content)
        with pytest.raises(CorpusError, match=r"0\.tar: cannot be read as a tar"):
            read()
    (tmp_path / "0.tar").write_bytes(whole)
    (tmp_path / "0_stats.json").write_text('{"successes": 9}')
    with pytest.raises((CorpusError, IndexError), match=r"0_stats\.json says 9|out of"):
        read()
    (tmp_path / "0_stats.json").write_text('{"count": 6}')
    with pytest.raises(CorpusError, match="says no number of pairs as `successes`"):
        read()
