from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from datamodules import Augmentation, SyntheticPairs, Views
from datamodules.batch import VIEWS, Batch, data_facts
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers import ExchangedSides
from datamodules.loading.needs import UnmetNeedError
from synthesis.corruption import ClinicSynthesizer
from synthesis.pairs import PairSynthesizer
from synthesis.renderings import RenderingSynthesizer
from synthesis.reports.sides import names_a_side, with_sides_exchanged
from synthesis.store import StaleStoreError, StorePlan, cache_directory
from tests.datamodules.conftest import options

TWIN_KEYS = ("twins", "swapped_twins", "mirrored_twins")
TWIN_NEEDS = {"train": {"twins"}, "val": {"twins"}}


class GeneratedShades:
    """Draws, but once: a generator."""

    image_size = 64

    def make(self, *_: Any) -> Any: ...
    def describe(self) -> dict[str, Any]:
        return {}


def assert_same(a: Batch, b: Batch) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        other = b[key]  # type: ignore[literal-required]
        if isinstance(value, Tensor):
            assert value.dtype == other.dtype and torch.equal(value, other), key
        elif key in ("masks", "mask_concepts"):
            assert all(torch.equal(x, y) for x, y in zip(value, other, strict=True)), key  # type: ignore[call-overload]
        elif key in TWIN_KEYS:
            assert_same(value, other)
        elif key == "other_images":
            assert all(torch.equal(x, y) for x, y in zip(value, other, strict=True)), key  # type: ignore[call-overload]
        elif key == "other_texts":
            for x, y in zip(value, other, strict=True):  # type: ignore[call-overload]
                assert_same(x, y)
        else:
            assert value == other, key


def epoch(data: SyntheticPairs, number: int) -> list[Batch]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)  # type: ignore[attr-defined]
    return list(loader)


def by_index(batches: list[Batch]) -> dict[int, tuple[Tensor, str]]:
    return {
        int(index): (image, text)
        for batch in batches
        for index, image, text in zip(batch["index"], batch["image"], batch["report"], strict=True)
    }


def test_a_batch_is_what_the_contract_says(ready: Any, synthesizer: PairSynthesizer) -> None:
    data = ready()
    batches = epoch(data, 0)
    assert len(batches) == len(data.train_dataloader()) == 3
    size, concepts = synthesizer.image_size, len(data.concept_names)
    for batch in batches:
        assert set(batch) == {
            "image", "labels", "index", "group", "view", "report", "input_ids", "attention_mask",
            "other_texts",
        }  # fmt: skip
        (other,) = batch["other_texts"]  # a text for the second view, another one than the first
        assert other["input_ids"].shape == other["attention_mask"].shape and len(other["input_ids"]) == 4
        assert other["asserted"].shape == other["denied"].shape == (4, concepts)
        contradictions = other["asserted"] * (1 - batch["labels"]) + other["denied"] * batch["labels"]
        assert not contradictions.any(), "a report claims nothing that its image does not show"
        assert other["input_ids"].shape != batch["input_ids"].shape or not torch.equal(
            other["input_ids"], batch["input_ids"]
        )
        assert batch["image"].shape == (4, 1, size, size) and batch["image"].dtype == torch.float32
        assert 0 <= batch["image"].min() and batch["image"].max() <= 1
        assert batch["labels"].shape == (4, concepts) and batch["labels"].unique().tolist() == [0, 1]
        assert batch["input_ids"].shape == batch["attention_mask"].shape
        assert batch["input_ids"].shape[1] % 8 == 0 and batch["input_ids"].shape[1] <= 128
        assert torch.equal(batch["group"], batch["index"])
        for key in ("input_ids", "attention_mask", "index", "group", "view"):
            assert batch[key].dtype == torch.int64  # type: ignore[literal-required]
        assert len(batch["report"]) == 4


def test_twins_vary_as_their_pairs_do_cached_or_not(ready: Any, tmp_path: Path) -> None:
    made, cached = ready(TWIN_NEEDS), ready(TWIN_NEEDS, cache_dir=tmp_path)
    for a, b in zip(epoch(made, 1), epoch(cached, 1), strict=True):
        assert_same(a, b)
        twins = a["twins"]
        assert set(twins) == {"image", "input_ids", "attention_mask", "labels", "report", "left_out"}
        assert twins["image"].shape == a["image"].shape and twins["left_out"].dtype == torch.int64
        for k, left_out in enumerate(twins["left_out"].tolist()):
            change = (twins["image"][k] - a["image"][k]).abs()
            if left_out >= 0:
                assert (a["labels"][k, left_out], twins["labels"][k, left_out]) == (1, 0)
                assert 0 < change.max() and (change < 1e-6).float().mean() > 0.2, "framed and toned alike"
            else:
                assert change.max() == 0 and twins["report"][k] == a["report"][k]
    assert any((batch["twins"]["left_out"] >= 0).any() for batch in epoch(made, 0))
    for a, b in zip(made.val_dataloader(), cached.val_dataloader(), strict=True):
        assert_same(a, b)
    plain = by_index(epoch(ready(), 1))
    assert all(torch.equal(plain[i][0], image) for i, (image, _) in by_index(epoch(made, 1)).items())
    assert made.split_sha256("test") == ready().split_sha256("test"), "the pairs are the same"


def test_made_pairs_state_the_facts_that_models_ask_for(ready: Any) -> None:
    plain, asking = ready(augmentation=None), ready({"test": {"question"}})
    for data in (plain, asking):
        assert data_facts(SimpleNamespace(datamodule=data)) is data and data.made  # type: ignore[arg-type]
        assert data.evaluation_sources("val") == ("",)
    assert asking.augmented and not plain.augmented
    assert plain.questions_sha256 is None and asking.questions_sha256 == asking.questions.sha256


def test_evaluation_has_twins_that_swap_a_finding_or_its_side(ready: Any, tmp_path: Path) -> None:
    needs = {"val": set(TWIN_KEYS)}
    made, cached = ready(needs), ready(needs, cache_dir=tmp_path)
    seen = dict.fromkeys(TWIN_KEYS, 0)
    for a, b in zip(made.val_dataloader(), cached.val_dataloader(), strict=True):
        assert_same(a, b)
        for key in TWIN_KEYS:
            twins = a[key]
            for k, concept in enumerate(twins["left_out"].tolist()):
                if concept < 0:
                    assert (
                        torch.equal(twins["image"][k], a["image"][k]) and twins["report"][k] == a["report"][k]
                    )
                    continue
                seen[key] += 1
                assert a["labels"][k, concept] == 1 and twins["report"][k] != a["report"][k]
                assert not torch.equal(twins["image"][k], a["image"][k])
                assert (twins["labels"][k, concept] == 1) == (key == "mirrored_twins")
    assert all(seen.values()), seen
    assert "swapped_twins" not in epoch(made, 0)[0]


def test_several_views_of_an_image(ready: Any) -> None:
    one, several = epoch(ready(), 2), epoch(ready(image_views=3), 2)
    for a, b in zip(one, several, strict=True):
        assert "other_images" not in a and torch.equal(a["image"], b["image"])
        views = [b["image"], *b["other_images"]]
        assert len(views) == 3 and all(view.shape == views[0].shape for view in views)
        assert not any(
            torch.equal(views[i][k], views[j][k]) for i in range(3) for j in range(i) for k in range(4)
        )
    assert "other_images" not in next(iter(ready(image_views=3).val_dataloader()))


def test_views_are_renderings_of_one_case_cached_or_not(
    ready: Any, synthesizer: PairSynthesizer, tmp_path: Path
) -> None:
    plan = {"image_views": 3, "train_pairs": 12, "val_pairs": 1, "test_pairs": 1}
    made, cached = (ready(**plan, renderings=True, cache_dir=where) for where in (None, tmp_path))
    maker = RenderingSynthesizer(synthesizer)
    pairs, others = synthesizer.make(range(12), 0, "train"), maker.make(range(12), 0, "train")
    assert [(p.case, p.report) for p in others] == [(p.case, p.report) for p in pairs]
    for a, b, c in zip(epoch(made, 1), epoch(cached, 1), epoch(ready(**plan), 1), strict=True):
        assert_same(a, b)
        assert torch.equal(a["image"], c["image"])
        assert torch.equal(a["other_images"][1], c["other_images"][1])
        for k, index in enumerate(a["index"].tolist()):
            rng = Draws(0, [(1, index)]).rng(0, "augmentation 1")
            assert torch.equal(a["other_images"][0][k], Augmentation()(others[index].image, rng))
            assert (others[index].image != pairs[index].image).float().mean() > 0.5
    first = next(
        iter(ready(**plan | {"image_views": 1}, renderings=True, augmentation=None).train_dataloader())
    )
    assert torch.equal(first["other_images"][0][0], others[int(first["index"][0])].image / 255)
    assert "other_images" not in next(iter(made.val_dataloader()))


def test_renderings_need_a_maker_that_draws_a_patient_once_more(synthesizer: PairSynthesizer) -> None:
    maker = GeneratedShades()
    data = SyntheticPairs(
        PairSynthesizer(synthesizer.sampler, synthesizer.writer, maker), 4, views=Views(renderings=True)
    )
    refused = "renderings=true needs 'rendering' .* GeneratedShades cannot draw .* set it to false, or take"
    with pytest.raises(UnmetNeedError, match=refused):
        data.setup("fit")
    with pytest.raises(TypeError, match="Take the simulator"):
        RenderingSynthesizer(data.synthesizer)
    with pytest.raises(ValueError, match="for more than 2, or some are alike"):
        Views(renderings=True, image_views=3)


def test_masks_follow_the_augmentation(ready: Any, synthesizer: PairSynthesizer) -> None:
    data = ready({"train": {"masks"}})
    pairs, augment = synthesizer.make(range(24), 0, "train"), Augmentation()
    for batch in epoch(data, 3):
        for k, index in enumerate(batch["index"].tolist()):
            masks = pairs[index].masks
            assert masks is not None and batch["masks"][k].shape == masks.shape
            for moved, mask in zip(batch["masks"][k], masks, strict=True):
                shown = augment(255 * mask[None].byte(), Draws(0, [(3, index)]).rng(0, "augmentation"))[0]
                assert ((shown > 0.5) != moved).float().mean() < 0.01
            assert batch["mask_concepts"][k].shape == (len(masks),)


def test_prompts_ask_for_what_the_twin_lacks(ready: Any) -> None:
    data = ready({"train": {"twins", "twin_prompts"}})
    seen: set[tuple[str, int, str]] = set()

    def read(text: Any) -> str:
        ids = data.tokenizer(text)["input_ids"] if isinstance(text, str) else text
        return str(data.tokenizer.decode(ids, skip_special_tokens=True))

    for batch in [*epoch(data, 0), *epoch(data, 1)]:
        for side in ("present", "absent"):
            rows = batch["twin_prompts"][side]["input_ids"]  # type: ignore[literal-required]
            for row, concept in zip(rows, batch["twins"]["left_out"].tolist(), strict=True):
                prompts = getattr(list(data.catalog)[max(concept, 0)], f"prompts_{side}")
                assert read(row) in [read(prompt) for prompt in prompts]
                seen.add((side, concept, read(row)))
    assert len(seen) > len({kind[:2] for kind in seen}), "one finding is asked for in several ways"


def test_reports_come_with_their_sides_exchanged(ready: Any) -> None:
    data = ready({"train": {"sides_exchanged"}}, texts=None)

    def read(text: Any) -> str:
        ids = data.tokenizer(text)["input_ids"] if isinstance(text, str) else text
        return str(data.tokenizer.decode(ids, skip_special_tokens=True))

    told = set()
    for batch in epoch(data, 0):
        found = batch["sides_exchanged"]
        for text, ids, false in zip(
            batch["report"], found["input_ids"], found["contradicts"].tolist(), strict=True
        ):
            assert read(ids) == read(with_sides_exchanged(text))
            assert not false or names_a_side(text)
            told.add(false)
    assert told == {True, False}


def test_sides_of_other_patients_are_refused(ready: Any) -> None:
    with pytest.raises(UnmetNeedError, match=r"texts are of other patients.*sides\.yaml out"):
        ready({"train": {"sides_exchanged", "text_labels"}}, texts=None)


@pytest.mark.parametrize(
    ("text", "false"),
    [
        ("Small left pleural effusion.", True),
        ("The heart is enlarged. Large LEFT effusion, right apical pneumothorax.", True),
        ("No left pleural effusion.", False),
        ("Possible left pleural effusion.", False),
        ("Left pleural effusion. Right pleural effusion.", False),
        ("Bilateral pleural effusions, left more than right.", False),
        ("The left lung is clear.", False),
        ("The lungs are clear.", False),
    ],
)
def test_only_a_finding_on_one_side_becomes_false(ready: Any, text: str, false: bool) -> None:
    data = ready({"train": {"sides_exchanged"}})
    enricher = next(e for e in data.enrichers("train", data.source("train")) if isinstance(e, ExchangedSides))
    assert enricher.becomes_false(text) is false


def test_unpaired_texts_come_with_their_own_labels(ready: Any, synthesizer: PairSynthesizer) -> None:
    data = ready({"train": {"text_labels"}}, texts=None)
    known = {pair.report.text: pair for pair in synthesizer.make(range(24), 0, "train")}
    foreign = 0
    for batch in epoch(data, 0):
        for index, report, labels in zip(batch["index"], batch["report"], batch["text_labels"], strict=True):
            pair = known[report]
            assert labels.tolist() == pair.case.labels(synthesizer.catalog).tolist()
            foreign += pair.index != int(index)
    assert foreign > 6
    assert [b["report"] for b in epoch(data, 0)] != [b["report"] for b in epoch(data, 1)]
    assert "text_labels" not in next(iter(data.val_dataloader())), "what is evaluated are pairs"


def test_evaluation_shows_pairs_as_they_are(ready: Any, synthesizer: PairSynthesizer) -> None:
    data = ready(eval_batch_size=4)
    batches = list(data.val_dataloader())
    assert [len(batch["index"]) for batch in batches] == [4, 4, 1], "the tail is kept, were it one pair"
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(9))
    pairs = synthesizer.make(range(9), 0, "val")
    for batch in batches:
        for k, index in enumerate(batch["index"]):
            pair = pairs[index]
            assert torch.equal(batch["image"][k], pair.image / 255)
            assert batch["report"][k] == pair.report.text
            assert batch["labels"][k].tolist() == pair.case.labels(synthesizer.catalog).tolist()
            assert VIEWS[batch["view"][k]] == pair.case.view


def test_no_figure_can_depend_on_the_evaluation_batch_size(ready: Any) -> None:
    one, other = (by_index(list(ready(eval_batch_size=size).test_dataloader())) for size in (1, 5))
    assert one.keys() == other.keys() == set(range(5))
    for index, (image, text) in one.items():
        assert torch.equal(image, other[index][0]) and text == other[index][1]


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(ready: Any, workers: int) -> None:
    here, there = ready(), ready(num_workers=workers)
    loader = there.train_dataloader()
    for number in (0, 1, 4):  # one loader, whose workers live on: the new epoch has to reach them
        loader.sampler.set_epoch(number)
        for a, b in zip(epoch(here, number), loader, strict=True):
            assert_same(a, b)
    for a, b in zip(here.val_dataloader(), there.val_dataloader(), strict=True):
        assert_same(a, b)


def test_cached_and_on_the_fly_are_the_same_batches(ready: Any, tmp_path: Path) -> None:
    made, cached = ready(), ready(cache_dir=tmp_path, num_workers=1)
    for number in (0, 3):
        for a, b in zip(epoch(made, number), epoch(cached, number), strict=True):
            assert_same(a, b)
    for name in ("val_dataloader", "test_dataloader", "predict_dataloader"):
        for a, b in zip(getattr(made, name)(), getattr(cached, name)(), strict=True):
            assert_same(a, b)
    for split in ("train", "val", "test"):
        assert made.split_sha256(split) == cached.split_sha256(split)


def test_a_sample_depends_on_its_epoch_and_on_nothing_else(ready: Any) -> None:
    """Another batch size is other company; image and text of a pair stay the same in the same epoch."""
    one = by_index(epoch(ready(epoch_size=24), 0))
    other = by_index(epoch(ready(epoch_size=24, batch_size=6), 0))
    later = by_index(epoch(ready(epoch_size=24), 1))
    assert one.keys() == other.keys() == later.keys() == set(range(24))
    for index, (image, text) in one.items():
        assert torch.equal(image, other[index][0]) and text == other[index][1]
        assert not torch.equal(image, later[index][0])
    assert sum(text != later[index][1] for index, (_, text) in one.items()) > 6


def test_an_echo_is_made_once_and_looks_different(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ready(epoch_size=24, echo=2)
    made: list[int] = []
    make = data.synthesizer.make

    def counted(indices: Any, **where: Any) -> Any:
        made.extend(indices)
        return make(indices, **where)

    monkeypatch.setattr(data.synthesizer, "make", counted)
    batches = epoch(data, 0)
    half = len(batches) // 2
    first, second = by_index(batches[:half]), by_index(batches[half:])
    assert sorted(made) == sorted(first) == sorted(second) and len(made) == 12
    assert not any(torch.equal(image, second[index][0]) for index, (image, _) in first.items())


def as_rank(data: SyntheticPairs, rank: int, world: int) -> SyntheticPairs:
    seen = copy.copy(data)
    seen.trainer = SimpleNamespace(global_rank=rank, world_size=world)  # type: ignore[assignment]
    return seen


@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_ranks_sees_the_same_pairs(ready: Any, world: int) -> None:
    data, alone = ready(batch_size=12 // world), ready(batch_size=12)
    whole = epoch(alone, 1)
    parts = [epoch(as_rank(data, rank, world), 1) for rank in range(world)]
    for step, batch in enumerate(whole):
        together = by_index([part[step] for part in parts])
        expected = by_index([batch])
        assert together.keys() == expected.keys()
        for index, (image, text) in expected.items():
            assert torch.equal(image, together[index][0]) and text == together[index][1]


def test_more_ranks_than_samples_still_evaluate_and_cannot_train(ready: Any) -> None:
    data = ready(test_pairs=2)
    seen = [by_index(list(as_rank(data, rank, 5).test_dataloader())) for rank in range(5)]
    assert [list(part) for part in seen] == [[0], [1], [0], [1], [0]]
    with pytest.raises(ValueError, match=r"epoch of 12 samples is less than one step of 5 × 4"):
        as_rank(data, 0, 5).train_dataloader()


def test_a_batch_of_one_cannot_be_contrasted(ready: Any) -> None:
    with pytest.raises(
        ValueError, match=r"batch_size=1 on 1 rank: a contrastive loss .*Give batch_size=2 or more"
    ):
        ready(batch_size=1).train_dataloader()
    assert len(as_rank(ready(batch_size=1), 1, 2).train_dataloader()) == 6, "two ranks have each other"


def test_masks_come_with_their_concepts(ready: Any, synthesizer: PairSynthesizer) -> None:
    data = ready()
    assert "masks" not in epoch(data, 0)[0]
    pairs = synthesizer.make(range(9), 0, "val")
    for batch in data.val_dataloader():
        for k, index in enumerate(batch["index"]):
            pair = pairs[index]
            assert torch.equal(batch["masks"][k], pair.masks)
            names = [data.concept_names[i] for i in batch["mask_concepts"][k]]
            assert names == [finding.concept for finding in pair.case.findings]


def test_one_tokenizer_serves_every_corpus_of_a_writer(ready: Any, synthesizer: PairSynthesizer) -> None:
    clinic = ClinicSynthesizer(synthesizer.sampler, synthesizer.writer, synthesizer.image_maker)
    one, other = ready(), ready(synthesizer=clinic, seed=9)
    assert one.tokenizer.get_vocab() == other.tokenizer.get_vocab()
    assert one.split_sha256("test") != other.split_sha256("test")


def test_a_given_tokenizer_is_taken(ready: Any, artifacts: Path, tmp_path: Path) -> None:
    first = ready()
    first.tokenizer.save_pretrained(tmp_path / "mine")
    data = ready(tokenizer=str(tmp_path / "mine"), artifacts_dir=tmp_path / "unused")
    assert data.tokenizer.get_vocab() == first.tokenizer.get_vocab()
    assert not (tmp_path / "unused").exists()


def test_only_the_splits_in_use_are_cached(
    synthesizer: PairSynthesizer, artifacts: Path, tmp_path: Path, sizes: dict[str, Any]
) -> None:
    data = SyntheticPairs(
        synthesizer, **options(**sizes), artifacts_dir=artifacts, tokenizer_reports=300, cache_dir=tmp_path
    )
    data.trainer = SimpleNamespace(state=SimpleNamespace(fn=TrainerFn.TESTING))  # type: ignore[assignment]
    data.prepare_data()
    assert [path.name for path in tmp_path.glob("*/*")] == ["test"]


def test_a_cache_moved_under_another_configuration_is_refused(ready: Any, tmp_path: Path) -> None:
    data = ready(cache_dir=tmp_path)
    own, other = (
        cache_directory(tmp_path, StorePlan(data.synthesizer, 1, seed).recipe(), "train") for seed in (0, 7)
    )
    other.parent.mkdir()
    own.rename(other)
    with pytest.raises(StaleStoreError, match="seed: 0 → 7"):
        ready(cache_dir=tmp_path, seed=7)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_length": 100}, "max_length=100: texts are padded to multiples of 8"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"eval_batch_size": 0}, "eval_batch_size=0"),
        ({"val_pairs": 0}, "val_pairs=0"),
        ({"image_views": 0}, "image_views=0"),
        ({"image_views": 2, "augmentation": None}, "or all are alike"),
    ],
)
def test_impossible_settings_are_refused(ready: Any, kwargs: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ready(**kwargs)


def test_an_epoch_larger_than_the_corpus_is_refused(ready: Any) -> None:
    with pytest.raises(ValueError, match="an epoch of 99 samples cannot be taken from 24"):
        ready(epoch_size=99).train_dataloader()
