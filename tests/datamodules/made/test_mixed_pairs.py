"""Several sources in one training: shares, order, ranks, resuming, evaluation by source."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules import (
    Augmentation,
    Columns,
    CorpusPairs,
    ImageReports,
    LabelColumns,
    LabelledImages,
    LoaderOptions,
    MixedPairs,
    SyntheticPairs,
    TokenizerOptions,
    Views,
)
from datamodules.loading.needs import UnmetNeedError
from datamodules.made.mixed_sampler import MixedSampler
from synthesis.pairs import PairSynthesizer

LABELS = LabelColumns(["Edema", "Cardiomegaly"], "chexpert")


def hospital(table: Path, artifacts: Path, cls: type = ImageReports, **kwargs: Any) -> Any:
    texts = {"findings": "findings", "impression": "impression"} if cls is ImageReports else {}
    arguments = {
        "table": table / "table.csv",
        "image_root": table,
        "columns": Columns("image", "patient", **texts),
        "image_size": 64,
        "labels": LABELS,
        "splits": {"train": 0.6, "val": 0.4},
        "artifacts_dir": artifacts,
    }
    return cls(**{**arguments, **kwargs})


def simulated(synthesizer: PairSynthesizer, artifacts: Path, **kwargs: Any) -> SyntheticPairs:
    sizes = {"train_pairs": 30, "val_pairs": 6, "tokenizer_reports": 200}
    return SyntheticPairs(synthesizer, **{**sizes, "artifacts_dir": artifacts, **kwargs})


def mixed(
    sources: dict[str, Any], tmp_path: Path, needs: dict[str, set[str]] | None = None, **kwargs: Any
) -> MixedPairs:
    arguments = {
        "weights": {"hospital": 1, "simulated": 3},
        "loader": LoaderOptions(batch_size=8, epoch_size=32),
        "tokenizer": TokenizerOptions(None, 400),
        "artifacts_dir": tmp_path / "artifacts",
    }
    data = MixedPairs(sources, **{**arguments, **kwargs})
    data.asked = {split: frozenset(keys) for split, keys in (needs or {}).items()}
    data.prepare_data()
    data.setup("fit")
    return data


@pytest.fixture
def pair(table: Path, synthesizer: PairSynthesizer, tmp_path: Path) -> dict[str, Any]:
    return {
        "hospital": hospital(table, tmp_path / "a"),
        "simulated": simulated(synthesizer, tmp_path / "a"),
    }


def epoch(data: MixedPairs, number: int) -> list[Any]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)  # type: ignore[attr-defined]
    return list(loader)


def test_an_epoch_holds_each_source_by_its_weight_in_every_step(pair: Any, tmp_path: Path) -> None:
    data = mixed(pair, tmp_path)
    for number in (0, 1):
        for batch in epoch(data, number):
            assert batch["source"].bincount().tolist() == [2, 6]
            for source, group in zip(batch["source"].tolist(), batch["group"].tolist(), strict=True):
                assert group // 2**40 == source, "patients of two sources never share a number"
            hospitals = batch["labels"][batch["source"] == 0]
            assert hospitals.isnan().any(1).all(), "a table knows two concepts only"
            assert not batch["labels"][batch["source"] == 1].isnan().any()


def test_steps_or_epochs_can_be_matched(pair: Any, tmp_path: Path) -> None:
    sizes = {"hospital": 24, "simulated": 30}

    def counts(**options: Any) -> dict[str, int]:
        data = mixed(pair, tmp_path, **options)
        return data.mixture.epoch_counts(sizes, data.loader.epoch_size)

    assert counts() == {"hospital": 8, "simulated": 24}
    assert counts(pass_of="hospital") == {"hospital": 24, "simulated": 72}
    given = {"hospital": 5, "simulated": 11}
    assert counts(weights=None, counts=given) == given
    with pytest.raises(ValueError, match="would show no pair of source 'hospital'"):
        counts(weights={"hospital": 1, "simulated": 1000})


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    weights=st.lists(st.integers(1, 20), min_size=4, max_size=4),
    world=st.integers(1, 3),
    seed=st.integers(0, 3),
)
def test_every_rank_sees_its_part_of_one_order(
    sizes: list[int], weights: list[int], world: int, seed: int
) -> None:
    """Ranks partition each step; shares are exact; nothing is shown twice in a pass."""
    named = {str(k): size for k, size in enumerate(sizes)}
    counts = {name: weights[k] * 3 for k, name in enumerate(named)}
    batch, steps = 2, sum(counts.values()) // (2 * world)
    if steps < 1:
        return
    whole = MixedSampler(named, counts, batch * world, seed)
    ranks = [MixedSampler(named, counts, batch, seed, rank, world) for rank in range(world)]
    for number in (0, 1, 5):
        for sampler in (whole, *ranks):
            sampler.set_epoch(number)
        alone, parts = list(whole), [list(rank) for rank in ranks]
        for step in range(steps):
            rows = alone[step * batch * world : (step + 1) * batch * world]
            together = [key for part in parts for key in part[step * batch : (step + 1) * batch]]
            assert Counter(rows) == Counter(together)
        assert len(set(alone)) == len(alone), "no showing twice"
        starts = [0, *torch.tensor(sizes).cumsum(0).tolist()]
        for k, name in enumerate(named):
            seen = sum(starts[k] <= index < starts[k + 1] for _, index in alone)
            assert counts[name] - batch * world < seen <= counts[name]


def test_a_source_without_weight_is_evaluated_only(pair: Any, table: Path, tmp_path: Path) -> None:
    images = hospital(table, tmp_path / "a", LabelledImages, splits={"val": 1.0})
    data = mixed({**pair, "images": images}, tmp_path)
    assert data.evaluation_sources("val") == ("hospital", "simulated", "images")
    loaders = data.val_dataloader()
    first, second, third = (next(iter(loader)) for loader in loaders)
    assert "report" in first and "masks" in second and "report" not in third
    assert {int(source) for batch in epoch(data, 0) for source in batch["source"]} == {0, 1}
    assert len({data.split_sha256("val", name) for name in ("hospital", "simulated", "images")}) == 3


def test_ranks_share_the_steps_of_one(pair: Any, tmp_path: Path) -> None:
    alone = mixed(pair, tmp_path, loader=LoaderOptions(batch_size=16, epoch_size=32))
    data = mixed(pair, tmp_path)

    def as_rank(rank: int) -> MixedPairs:
        seen = copy.copy(data)
        seen.trainer = SimpleNamespace(global_rank=rank, world_size=2)  # type: ignore[assignment]
        return seen

    parts = [epoch(as_rank(rank), 1) for rank in range(2)]
    for step, batch in enumerate(epoch(alone, 1)):
        together = torch.cat([part[step]["index"] for part in parts])
        assert sorted(batch["index"].tolist()) == sorted(together.tolist())


def test_twins_stand_beside_real_pairs_that_have_none(pair: Any, tmp_path: Path) -> None:
    data = mixed(pair, tmp_path, needs={"train": {"twins"}})
    seen = torch.cat([torch.stack([b["source"], b["twins"]["left_out"]]) for b in epoch(data, 0)], 1)
    assert (seen[1][seen[0] == 0] == -1).all() and (seen[1][seen[0] == 1] >= 0).any()


def test_renderings_stand_beside_real_images_that_are_augmented_otherwise(pair: Any, tmp_path: Path) -> None:
    data = mixed(pair, tmp_path, views=Views(renderings=True, augmentation=Augmentation(noise=0)))
    plain = mixed(pair, tmp_path, views=Views(image_views=2, augmentation=Augmentation(noise=0)))
    for a, b in zip(epoch(data, 0), epoch(plain, 0), strict=True):
        same = (a["other_images"][0] == b["other_images"][0]).flatten(1).all(1)
        assert torch.equal(same, a["source"] == 0) and not torch.equal(a["image"], a["other_images"][0])
    refused = r"'rendering' .* source 'hospital' cannot give it: ImageReports cannot draw"
    with pytest.raises(UnmetNeedError, match=refused):
        mixed(pair, tmp_path, views=Views(renderings=True))
    real = {"sources": {"hospital": pair["hospital"]}, "weights": {"hospital": 1}}
    with pytest.raises(UnmetNeedError, match="MixedPairs cannot draw its patients once more: set it to"):
        mixed(tmp_path=tmp_path, views=Views(renderings=True), **real)


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ("masks", r"'masks' in the batches of 'train', but source 'hospital' cannot give it: no column of"),
        ("question", "source 'hospital' cannot give it: ImageReports has none"),
        ("other_images", "without an augmentation all views of an image are alike"),
    ],
)
def test_what_a_source_cannot_give_is_refused(needs: str, message: str, pair: Any, tmp_path: Path) -> None:
    with pytest.raises(UnmetNeedError, match=message):
        mixed(pair, tmp_path, needs={"train": {needs}})


def test_labels_that_a_source_lacks_are_refused(
    table: Path, synthesizer: PairSynthesizer, tmp_path: Path
) -> None:
    sources = {
        "hospital": hospital(table, tmp_path / "a", labels=None),
        "simulated": simulated(synthesizer, tmp_path / "a"),
    }
    with pytest.raises(UnmetNeedError, match=r"source 'hospital' cannot give it: .*without labels"):
        mixed(sources, tmp_path, needs={"train": {"labels"}})


def test_what_cannot_be_mixed_is_refused(
    pair: Any, corpus: Path, table: Path, synthesizer: PairSynthesizer, tmp_path: Path
) -> None:
    small = CorpusPairs(str(corpus), image_size=32)
    sizes = "sources.corpus has image_size 32, sources.hospital has 64"
    images = hospital(table, tmp_path / "a", LabelledImages)
    both = {"hospital": 1, "simulated": 1}
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({}, {"weights": {}}, "sources: none is given"),
        ({"a/b": pair["hospital"]}, {"weights": {"a/b": 1}}, "give one without / and @"),
        ({**pair, "corpus": small}, {"weights": both}, sizes),
        (pair, {}, "give one of them"),
        (pair, {"weights": both, "counts": both}, "give one of them"),
        (pair, {"weights": {"clinic": 1}}, "no source 'clinic'; there are hospital, simulated"),
        (pair, {"weights": {"hospital": -1, "simulated": 2}}, "give numbers ≥ 0"),
        (pair, {"weights": both, "pass_of": "clinic"}, "pass_of='clinic'"),
        ({"images": images, **pair}, {"weights": {"images": 1}}, "has no reports to train on"),
        (pair, {"weights": both, "loader": LoaderOptions(echo=2)}, "a mixture has neither"),
        ({"m": MixedPairs(pair, weights=both)}, {"weights": {"m": 1}}, "MixedPairs cannot be mixed"),
    ]
    for sources, kwargs, message in cases:
        with pytest.raises(ValueError, match=message):
            MixedPairs(sources, **kwargs)


def test_a_mixture_trains_through_the_command_line_and_resumes_bit_exactly(
    corpus: Path, table: Path, fit: Callable[..., Any], tmp_path: Path
) -> None:
    layer = tmp_path / "mixed.yaml"
    layer.write_text(f"""
data:
  class_path: datamodules.MixedPairs
  init_args:
    weights: {{simulated: 3, hospital: 1}}
    loader: {{epoch_size: 32, echo: 1}}
    sources:
      simulated:
        class_path: datamodules.CorpusPairs
        init_args: {{path: {corpus}, image_size: 64, splits: {{train: 0.7, val: 0.3}}}}
      hospital:
        class_path: datamodules.ImageReports
        init_args:
          table: {table}/table.csv
          image_root: {table}
          image_size: 64
          columns: {{image: image, patient: patient, findings: findings, impression: impression}}
          labels: {{columns: [Edema, Cardiomegaly], vocabulary: chexpert}}
          splits: {{train: 0.6, val: 0.4}}
          artifacts_dir: {tmp_path}
""")
    args = ("-c", str(layer), "--data.init_args.loader.batch_size=8")
    line, summary = fit("straight", *args)
    assert {"val/zero_shot/auroc_macro", "val/retrieval@hospital/i2t_hit@1"} <= summary.keys()
    assert summary["details"]["val/zero_shot"]["n"] != summary["details"]["val/zero_shot@hospital"]["n"]
    middle = next((tmp_path / "straight" / "checkpoints").glob("*step=2.ckpt"))
    resumed, _ = fit("resumed", *args, f"--ckpt_path={middle}")
    assert line.trainer.global_step == resumed.trainer.global_step > 4
    for (name, a), b in zip(
        line.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
