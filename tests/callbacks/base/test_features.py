from __future__ import annotations

import lightning as L
import pytest
import torch

from callbacks import FeatureCollector, Retrieval
from callbacks.base.evaluation import Evaluation, Occasion, Result
from callbacks.base.features import Features


class Look(Evaluation):
    """Keeps the features it is given."""

    def __init__(self, dataloader_idx: int = 0) -> None:
        super().__init__(f"look{dataloader_idx}", dataloader_idx)
        self.seen: list[tuple[Features, Occasion]] = []

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        self.seen.append((features, occasion))
        return Result({"n": len(features)})


def run(
    tiny, tmp_path, data: L.LightningDataModule, *more: L.Callback, call: str = "test"
) -> tuple[Features, L.Trainer]:
    look = Look()
    trainer = tiny.trainer(tmp_path, callbacks=[FeatureCollector(), look, *more], logger=False)
    getattr(trainer, call)(tiny.Model(), data)
    return look.seen[-1][0], trainer


def test_features_are_those_of_the_steps_in_order_of_the_index(tiny, tmp_path) -> None:
    data, model = tiny.Data(n=23, batch=5), tiny.Model()
    shuffled = tiny.Data(n=23, batch=5)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0)).tolist()
    rows = shuffled.samples("test")
    shuffled.samples = lambda split: [rows[i] for i in [*order, 4, 17]]  # two of them twice
    found, trainer = run(tiny, tmp_path, shuffled)
    batch = data.collate(data.samples("test"))
    with torch.no_grad():
        expected = model.eval().validation_step(batch, 0)
    assert found.index.tolist() == list(range(23))
    torch.testing.assert_close(found.image, expected["image"])
    torch.testing.assert_close(found.pooled, expected["image_pooled"])
    torch.testing.assert_close(found.text, expected["text"])
    assert torch.equal(found.group, batch["group"]) and torch.equal(found.view, batch["view"])
    assert torch.equal(found.labels.isnan(), batch["labels"].isnan())
    assert found.reports == batch["report"]
    assert trainer.callback_metrics["test/look0/n"] == 23


def test_image_only_data_has_no_text(tiny, tmp_path) -> None:
    found, _ = run(tiny, tmp_path, tiny.Data(n=9, text=False))
    assert found.text is None and found.reports is None and len(found) == 9


def test_extractors_add_feature_sets(tiny, tmp_path) -> None:
    class Means(L.Callback):
        def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            FeatureCollector.of(trainer).extractors["mean"] = lambda batch: (
                batch["image"].mean((2, 3)).double()
            )

    data = tiny.Data(n=9, batch=4)
    found, _ = run(tiny, tmp_path, data, Means())
    expected = torch.stack([row["image"].mean() for row in data.samples("test")])[:, None]
    assert found.extra["mean"].dtype == torch.float32
    torch.testing.assert_close(found.extra["mean"], expected)


def test_each_of_several_loaders_has_its_own_pass(tiny, tmp_path) -> None:
    data, look = tiny.Data(), [Look(0), Look(1)]
    sizes = tiny.Data(n=12, batch=5), tiny.Data(n=7, batch=5)
    data.test_dataloader = lambda: [part.test_dataloader() for part in sizes]
    trainer = tiny.trainer(tmp_path, callbacks=[FeatureCollector(), *look], logger=False)
    trainer.test(tiny.Model(), data)
    assert [len(one.seen[0][0]) for one in look] == [12, 7]
    assert trainer.callback_metrics["test/look1/n"] == 7


def test_a_loader_that_is_not_there_is_named(tiny, tmp_path) -> None:
    trainer = tiny.trainer(tmp_path, callbacks=[FeatureCollector(), Look(3)], logger=False)
    with pytest.raises(LookupError, match="dataloader 3"):
        trainer.test(tiny.Model(), tiny.Data(n=5))


def test_the_sanity_check_is_skipped_and_each_epoch_starts_afresh(tiny, tmp_path) -> None:
    look = Look()
    trainer = tiny.trainer(
        tmp_path, callbacks=[FeatureCollector(), look], logger=False, num_sanity_val_steps=2
    )
    trainer.fit(tiny.Model(), tiny.Data(n=40))
    assert [len(features) for features, _ in look.seen] == [40, 40]
    assert [(occasion.stage, occasion.final) for _, occasion in look.seen] == [("val", False), ("val", True)]
    assert look.seen[0][1].concepts == tiny.CONCEPTS


@pytest.mark.parametrize("limit", [{"max_epochs": 3}, {"max_epochs": -1, "max_steps": 6}])
def test_the_last_epoch_is_known_from_epochs_or_steps(tiny, tmp_path, limit) -> None:
    look = Look()
    trainer = tiny.trainer(tmp_path, callbacks=[FeatureCollector(), look], logger=False, **limit)
    trainer.fit(tiny.Model(), tiny.Data(n=40))  # two steps an epoch
    assert [occasion.final for _, occasion in look.seen] == [False, False, True]


def test_a_missing_collector_is_found_at_the_start(tiny, tmp_path) -> None:
    trainer = tiny.trainer(tmp_path, callbacks=[Retrieval()], logger=False)
    with pytest.raises(LookupError, match=r"no FeatureCollector.*callbacks\.FeatureCollector"):
        trainer.fit(tiny.Model(), tiny.Data(n=20))


@pytest.mark.parametrize("outputs", [None, {"image": torch.ones(2, 2)}])
def test_a_step_that_returns_too_little_is_named(tiny, tmp_path, outputs) -> None:
    model = tiny.Model()
    model.test_step = lambda batch, batch_idx: outputs
    trainer = tiny.trainer(tmp_path, callbacks=[FeatureCollector(), Look()], logger=False)
    with pytest.raises(ValueError, match=r"TinyModel returned .*'image_pooled'"):
        trainer.test(model, tiny.Data(n=5))


def test_samples_without_an_index_and_columns_that_come_and_go_are_refused(tiny, tmp_path) -> None:
    def test_with(change) -> None:
        model = tiny.Model()
        step = model.validation_step
        model.test_step = lambda batch, batch_idx: change(step(batch, 0), batch, batch_idx)
        tiny.trainer(tmp_path, callbacks=[FeatureCollector(), Look()], logger=False).test(
            model, tiny.Data(n=9, batch=4)
        )

    def no_index(out: dict, batch: dict, batch_idx: int) -> dict:
        del out["index"], batch["index"]
        return out

    def text_at_first(out: dict, batch: dict, batch_idx: int) -> dict:
        if batch_idx:
            del out["text"]
        return out

    def too_short(out: dict, batch: dict, batch_idx: int) -> dict:
        return out | {"image": out["image"][1:]}

    for change, message in (
        (no_index, "'index'"),
        (text_at_first, "'text'"),
        (too_short, "differ in number"),
    ):
        with pytest.raises(ValueError, match=message):
            test_with(change)


def test_a_model_that_has_diverged_is_found_out(tiny, tmp_path) -> None:
    model = tiny.Model()
    step = model.validation_step

    def diverged(batch: dict, batch_idx: int) -> dict:
        out = step(batch, batch_idx)
        out["text"][out["index"] == 5] = torch.nan
        return out

    model.test_step = diverged
    trainer = tiny.trainer(tmp_path, callbacks=[FeatureCollector(), Look()], logger=False)
    with pytest.raises(ValueError, match=r"text features of 1 of 9 samples .*index 5"):
        trainer.test(model, tiny.Data(n=9, batch=4))


def test_an_evaluation_that_fails_says_so(tiny, tmp_path) -> None:
    class Failing(Look):
        def evaluate(self, features: Features, occasion: Occasion) -> Result:
            raise ArithmeticError("no such number")

    trainer = tiny.trainer(tmp_path, callbacks=[FeatureCollector(), Failing()], logger=False)
    with pytest.raises(ArithmeticError, match="no such number"):
        trainer.test(tiny.Model(), tiny.Data(n=9))


def test_labels_and_their_names_must_agree(tiny, tmp_path) -> None:
    data = tiny.Data(n=5)
    data.concept_names = ("a", "b")
    with pytest.raises(ValueError, match=r"4 columns but TinyData\.concept_names has 2"):
        run(tiny, tmp_path, data)
