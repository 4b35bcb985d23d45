from __future__ import annotations

from dataclasses import replace

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, LambdaCallback

from callbacks import FeatureCollector, Retrieval, SegmentationDice
from callbacks.base.evaluation import Evaluation
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from lightning_modules import EvaluationOutput


class Look(Evaluation):
    """Keeps the features it is given."""

    def __init__(self) -> None:
        super().__init__("look")
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
    torch.testing.assert_close(found.image, expected.image)
    torch.testing.assert_close(found.pooled, expected.pooled)
    torch.testing.assert_close(found.text, expected.text)
    assert torch.equal(found.group, batch["group"]) and torch.equal(found.view, batch["view"])
    assert torch.equal(found.labels.isnan(), batch["labels"].isnan())
    assert found.reports == batch["report"]
    assert trainer.callback_metrics["test/look/n"] == 23


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


def test_the_sanity_check_is_skipped_and_each_epoch_starts_afresh(tiny, tmp_path) -> None:
    look = Look()
    trainer = tiny.trainer(
        tmp_path, callbacks=[FeatureCollector(), look], logger=False, num_sanity_val_steps=2
    )
    trainer.fit(tiny.Model(), tiny.Data(n=40))
    assert [len(features) for features, _ in look.seen] == [40, 40, 40]
    finals = [("val", False), ("val", False), ("val", True)]
    assert [(occasion.stage, occasion.final) for _, occasion in look.seen] == finals
    assert look.seen[0][1].concepts == tiny.CONCEPTS


@pytest.mark.parametrize(
    "limit",
    [
        {"max_epochs": 3},
        {"max_epochs": -1, "max_steps": 6},
        {"max_epochs": 5, "max_steps": 7},  # within an epoch, which is not validated
        {"max_epochs": 5, "check_val_every_n_epoch": 2},
        {"max_epochs": 9, "callbacks": [EarlyStopping("val/look/n", patience=2)]},
        {"max_epochs": 9, "check_val_every_n_epoch": 2, "callbacks": ["stop in epoch 4"]},
    ],
    ids=["epochs", "steps", "within an epoch", "every second epoch", "early stopping", "stopped by hand"],
)
def test_the_last_validation_is_known_whatever_ends_the_fit(tiny, tmp_path, limit) -> None:
    look, model = Look(), tiny.Model()
    callbacks = [FeatureCollector(), look, *limit.pop("callbacks", [])]
    if isinstance(callbacks[-1], str):

        def stop(trainer: L.Trainer, module: L.LightningModule) -> None:
            trainer.should_stop = trainer.current_epoch == 4

        callbacks[-1] = LambdaCallback(on_train_epoch_start=stop)
    trainer = tiny.trainer(tmp_path, callbacks=callbacks, logger=False, **limit)
    trainer.fit(model, tiny.Data(n=40))  # two steps an epoch
    validations = [occasion.final for _, occasion in look.seen]
    assert validations[:-1] == [False] * (len(validations) - 1) and validations[-1] and len(validations) > 2
    before, last = look.seen[-2][0], look.seen[-1][0]
    assert torch.equal(before.image, last.image), "the last validation, not what training made of it since"


def test_a_missing_collector_is_found_at_the_start(tiny, tmp_path) -> None:
    trainer = tiny.trainer(tmp_path, callbacks=[Retrieval()], logger=False)
    with pytest.raises(LookupError, match=r"no FeatureCollector.*callbacks\.FeatureCollector"):
        trainer.fit(tiny.Model(), tiny.Data(n=20))


@pytest.mark.parametrize("outputs", [None, {"image": torch.ones(2, 2)}])
def test_a_step_that_returns_something_else_is_named(tiny, tmp_path, outputs) -> None:
    model = tiny.Model()
    model.test_step = lambda batch, batch_idx: outputs
    trainer = tiny.trainer(tmp_path, callbacks=[FeatureCollector(), Look()], logger=False)
    with pytest.raises(TypeError, match=r"TinyModel returned (NoneType|dict); .*EvaluationOutput"):
        trainer.test(model, tiny.Data(n=5))


def test_an_evaluation_that_reads_more_than_a_step_returns_is_named(tiny, tmp_path) -> None:
    trainer = tiny.trainer(tmp_path, callbacks=[FeatureCollector(), SegmentationDice()], logger=False)
    with pytest.raises(TypeError, match=r"TinyModel returned EvaluationOutput.*SegmentationOutput"):
        trainer.test(tiny.Model(), tiny.Data(n=5))


def test_samples_without_an_index_and_columns_that_come_and_go_are_refused(tiny, tmp_path) -> None:
    def test_with(change) -> None:
        model = tiny.Model()
        step = model.validation_step
        model.test_step = lambda batch, batch_idx: change(step(batch, 0), batch, batch_idx)
        tiny.trainer(tmp_path, callbacks=[FeatureCollector(), Look()], logger=False).test(
            model, tiny.Data(n=9, batch=4)
        )

    def no_index(out: EvaluationOutput, batch: dict, batch_idx: int) -> EvaluationOutput:
        del batch["index"]
        return out

    def text_at_first(out: EvaluationOutput, batch: dict, batch_idx: int) -> EvaluationOutput:
        return replace(out, text=None) if batch_idx else out

    def too_short(out: EvaluationOutput, batch: dict, batch_idx: int) -> EvaluationOutput:
        return replace(out, image=out.image[1:])

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

    def diverged(batch: dict, batch_idx: int) -> EvaluationOutput:
        out = step(batch, batch_idx)
        out.text[batch["index"] == 5] = torch.nan
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
