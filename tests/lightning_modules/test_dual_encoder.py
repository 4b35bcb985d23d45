from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lightning_modules import ConceptAwareInfoNCE, EvaluationOutput, InfoNCE, Objective
from lightning_modules.contexts import seeded

Make = Callable[..., Any]


class Record(L.Callback):
    """Keeps what was logged and seen at each step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        rates = {f"lr{i}": group["lr"] for i, group in enumerate(trainer.optimizers[0].param_groups)}
        self.steps.append({key: float(value) for key, value in trainer.callback_metrics.items()} | rates)


# -------------------------------------------------------------------------- training
def test_several_texts_are_averaged_and_asked_to_agree(
    model: Make, batch: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    dual = model(InfoNCE(), text_agreement=0.25)
    other = {"input_ids": batch["input_ids"].flip(0), "attention_mask": batch["attention_mask"].flip(0)}
    logged: dict[str, float] = {}
    monkeypatch.setattr(dual, "log", lambda name, value, **_: logged.update({name: float(value)}))
    dual._trainer = L.Trainer(logger=False, accelerator="cpu", barebones=True)
    loss = dual.training_step(batch | {"other_texts": [other]}, 0)

    def info_nce(a: Tensor, b: Tensor) -> Tensor:
        similar = a @ b.T * dual.objective.log_scale.exp()
        return -(similar.log_softmax(1).diag().mean() + similar.log_softmax(0).diag().mean()) / 2

    image = dual.image_encoder(batch).projected
    one, two = dual.text_encoder(batch).projected, dual.text_encoder(other).projected
    expected = (info_nce(image, one) + info_nce(image, two)) / 2 + 0.25 * info_nce(one, two)
    torch.testing.assert_close(loss, expected)
    assert logged["train/text_loss"] == pytest.approx(float(info_nce(one, two)), rel=1e-5)
    alone = dual.training_step(batch, 0)
    torch.testing.assert_close(alone, info_nce(image, one))


@pytest.mark.parametrize("objective", [InfoNCE, ConceptAwareInfoNCE])
def test_one_batch_can_be_learned_by_heart(objective: Any, model: Make, data: Make, trainer: Make) -> None:
    dual, record = model(objective(), learning_rate=5e-3, weight_decay=0.0), Record()
    trainer(max_steps=40, callbacks=[record], limit_val_batches=0).fit(dual, data(count=8, batch_size=8))
    losses = [step["train/loss"] for step in record.steps]
    assert losses[0] > 1
    assert losses[-1] < 0.02


def test_steps_are_logged_and_follow_warm_up_and_cosine(model: Make, data: Make, trainer: Make) -> None:
    record = Record()
    trainer(max_epochs=4, callbacks=[record]).fit(
        model(warmup=0.25, learning_rate=0.1), data(count=12, batch_size=4)
    )
    assert len(record.steps) == 12
    assert record.steps[0]["train/negatives"] == 3 and 0 < record.steps[0]["train/temperature"] < 1
    assert record.steps[-1]["val/loss"] > 0
    # The rate is read after its step: 3 steps up, then half a cosine over 9.
    expected = [0.1 * (s / 3 if s < 3 else 0.5 * (1 + math.cos(math.pi * (s - 3) / 9))) for s in range(1, 13)]
    assert [step["lr0"] for step in record.steps] == pytest.approx(expected)


def test_temperature_stays_within_its_clamp_in_training(model: Make, data: Make, trainer: Make) -> None:
    class Greedy(InfoNCE):
        def forward(self, *arguments: Any) -> dict[str, Tensor]:
            out = super().forward(*arguments)
            return out | {"loss": out["loss"] - 9 * self.log_scale}  # wants ever lower temperatures

    objective = Greedy(temperature=0.011)
    scales: list[float] = []

    class Watch(L.Callback):
        def on_train_batch_end(self, *_: Any) -> None:  # runs before the module's own hook of this name
            scales.append(objective.log_scale.exp().item())

    fit = trainer(max_steps=40, callbacks=[Watch()], limit_val_batches=0)
    fit.fit(model(objective, learning_rate=2e-2), data(count=8, batch_size=8))
    assert max(scales) == pytest.approx(100) and scales[-1] == pytest.approx(100)  # pushed against the bound


class Resumable:
    """A loader that goes on where a checkpoint left it, as the datamodules' own do."""

    def __init__(self, batches: list[dict[str, Tensor]]) -> None:
        self.batches, self.seen = batches, 0

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        while self.seen < len(self.batches):
            self.seen += 1
            yield self.batches[self.seen - 1]

    def __len__(self) -> int:
        return len(self.batches)

    def state_dict(self) -> dict[str, int]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.seen = state["seen"]


@pytest.mark.parametrize(("stop", "epochs"), [(4, 3), (6, 1)], ids=["after an epoch", "within an epoch"])
def test_resumed_run_equals_the_uninterrupted_one_to_the_last_bit(
    stop: int, epochs: int, model: Make, data: Make, trainer: Make, tmp_path: Path
) -> None:
    class Save(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.global_step == stop:
                trainer.save_checkpoint(tmp_path / "mid.ckpt")

    def run(**rest: Any) -> dict[str, Tensor]:
        dual = model(image={"patch_drop": 0.5, "dropout": 0.1}, text={"dropout": 0.1}, warmup=2, seed=7)
        torch.manual_seed(len(rest))  # another process has another generator state
        fit = trainer(max_epochs=epochs, gradient_clip_val=1.0, callbacks=[Save()])
        loader = data(count=48 // epochs, batch_size=4).loader()
        fit.fit(dual, loader if epochs > 1 else Resumable(list(loader)), **rest)
        assert fit.global_step == 12
        return dual.state_dict()

    straight = run()
    resumed = run(ckpt_path=tmp_path / "mid.ckpt")
    for key, value in straight.items():
        assert torch.equal(value, resumed[key]), key


def test_every_step_drops_other_patches(model: Make, data: Make, trainer: Make) -> None:
    seen: list[Tensor] = []
    dual = model(image={"patch_drop": 0.5}, learning_rate=0.0)
    dual.image_encoder.register_forward_hook(
        lambda module, inputs, output: seen.append(output.pooled.detach())
    )
    trainer(max_epochs=3, limit_val_batches=0).fit(dual, data(count=8, batch_size=8))  # the same batch thrice
    assert not any(torch.equal(seen[i], seen[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_a_seeded_block_depends_on_all_of_its_seed_and_leaves_the_outside_stream_alone() -> None:
    cpu = torch.device("cpu")
    draws = []
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    for entropy in [(0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]:
        with seeded(cpu, *entropy):
            draws.append(tuple(torch.rand(3).tolist()))
    assert torch.equal(torch.rand(4), expected)
    assert draws[0] == draws[1] and len(set(draws)) == 4


def test_bfloat16_mixed_trains_and_keeps_the_loss_in_float32(model: Make, data: Make, trainer: Make) -> None:
    seen: list[torch.dtype] = []

    class Spy(InfoNCE):
        def forward(self, images: Any, texts: Any, batch: Any, gather: Any) -> dict[str, Tensor]:
            out = super().forward(images, texts, batch, gather)
            seen.extend(
                [images.projected.dtype, (images.projected @ texts.projected.T).dtype, out["loss"].dtype]
            )
            return out

    dual = model(Spy(), learning_rate=5e-3)
    inside: set[torch.dtype] = set()
    for tower in (
        dual.image_encoder.vit.layers[0].mlp.fc1,
        dual.text_encoder.bert.encoder.layer[0].intermediate.dense,
    ):
        tower.register_forward_hook(lambda module, inputs, output: inside.add(output.dtype))
    record = Record()
    fit = trainer(max_steps=30, precision="bf16-mixed", gradient_clip_val=1.0, callbacks=[record])
    fit.fit(dual, data(count=8, batch_size=8))
    assert inside == {torch.bfloat16}
    assert set(seen) == {torch.float32}
    assert record.steps[-1]["train/loss"] < 0.1


# -------------------------------------------------------------------------- refusals
def test_accumulation_is_refused_from_the_trainer_and_from_a_callback(
    model: Make, data: Make, trainer: Make
) -> None:
    with pytest.raises(ValueError, match="accumulate_grad_batches is 2, but InfoNCE compares the pairs"):
        trainer(max_steps=1, accumulate_grad_batches=2).fit(model(), data())
    late = L.pytorch.callbacks.GradientAccumulationScheduler({1: 2})
    with pytest.raises(ValueError, match="accumulate_grad_batches is 2"):
        trainer(max_epochs=2, callbacks=[late]).fit(model(), data())


def test_an_objective_without_negatives_may_accumulate_and_take_single_pairs(
    model: Make, data: Make, trainer: Make
) -> None:
    class Distance(Objective):
        needs_negatives = False

        def forward(self, images: Any, texts: Any, batch: Any, gather: Any) -> dict[str, Tensor]:
            return {"loss": 2 - 2 * (images.projected * texts.projected).sum(1).mean()}

    fit = trainer(max_epochs=1, accumulate_grad_batches=2)
    fit.fit(model(Distance()), data(count=3, batch_size=1))
    assert fit.global_step == 2


def test_a_batch_of_one_is_refused(model: Make, data: Make, trainer: Make) -> None:
    with pytest.raises(ValueError, match="training batch 1 holds one pair: InfoNCE needs another"):
        trainer(max_epochs=1).fit(model(), data(count=5, batch_size=4))


def test_training_on_images_alone_is_refused(model: Make, data: Make, trainer: Make) -> None:
    with pytest.raises(ValueError, match="a training batch has no 'input_ids', only"):
        trainer(max_epochs=1).fit(model(), data(image_only=True))


def test_projections_into_different_spaces_are_refused(model: Make) -> None:
    with pytest.raises(ValueError, match="projection_dim is 16 in image_encoder and 8 in text_encoder"):
        model(text={"projection_dim": 8})


def test_tokenizer_too_large_is_refused_at_setup(
    model: Make, data: Make, trainer: Make, tokenizer: Any
) -> None:
    with pytest.raises(ValueError, match="set its vocab_size to 13 or more"):
        trainer(max_epochs=1).fit(model(text={"vocab_size": 12}), data(tokenizer=tokenizer))


# -------------------------------------------------------------------------- evaluation
def test_steps_return_what_the_callbacks_read(model: Make, batch: dict[str, Tensor]) -> None:
    dual = model(image={"patch_drop": 0.5}).eval()
    for step in (dual.test_step, dual.predict_step):
        found = step(batch, 0)
        assert isinstance(found, EvaluationOutput)
        assert found.image.shape == (6, 16) and found.pooled.shape == (6, 32)
        assert found.text is not None and found.text.shape == (6, 16)
    image_only = {key: batch[key] for key in ("image", "index")}
    found = dual.validation_step(image_only, 0)
    assert found.text is None and found.scores is None
    torch.testing.assert_close(found.image, dual.encode_image(batch["image"]))


@pytest.mark.parametrize("image_only", [False, True])
def test_every_stage_of_the_trainer_runs(image_only: bool, model: Make, data: Make, trainer: Make) -> None:
    outputs: list[EvaluationOutput] = []

    class Keep(L.Callback):
        def on_validation_batch_end(self, trainer: L.Trainer, module: Any, output: Any, *_: Any) -> None:
            outputs.append(output)

        on_test_batch_end = on_validation_batch_end

    fit, dual = trainer(callbacks=[Keep()]), model()
    logged = fit.validate(dual, data(image_only=image_only), verbose=False)
    fit.test(dual, data(image_only=image_only), verbose=False)
    outputs += fit.predict(dual, data(image_only=image_only))
    assert ("val/loss" in logged[0]) == (not image_only)
    indices = torch.cat([output.index for output in outputs if output.index is not None])
    assert torch.equal(indices, torch.arange(12).repeat(3))
    assert all((output.text is None) == image_only for output in outputs)


def test_texts_are_encoded_in_chunks_and_without_dropout(model: Make, tokenizer: Any) -> None:
    dual = model(text={"dropout": 0.5}).train()
    dual.text_encoder.bert.encoder.eval()  # as if frozen: its mode must come back too
    modes = [module.training for module in dual.modules()]
    dual.tokenizer = tokenizer
    texts = ["left effusion", "no nodule", "large right mass", "small", "no " * 40]
    whole, chunks = dual.encode_text(texts), dual.encode_text(texts, batch_size=2)
    assert whole.shape == (5, 16) and not whole.requires_grad
    torch.testing.assert_close(whole, chunks, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        dual.encode_text(["no " * 14]), whole[4:], rtol=1e-4, atol=1e-5
    )  # cut to 16 pieces
    assert dual.encode_text([]).shape == (0, 16)
    assert modes == [module.training for module in dual.modules()]


def test_encoding_without_a_tokenizer_says_where_it_comes_from(model: Make) -> None:
    with pytest.raises(RuntimeError, match="no tokenizer: it comes with the datamodule"):
        model().encode_text(["effusion"])


def test_named_parts_are_compiled_as_training_begins_and_train_the_same(
    model: Make, data: Make, trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def compile_in_eager_mode(part: torch.nn.Module) -> None:
        compiled.append(part)
        part._compiled_call_impl = torch.compile(part._call_impl, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_in_eager_mode)
    plain, fast = model(), model(compiled=["image_encoder"])
    for dual in (plain, fast):
        trainer(max_steps=2, limit_val_batches=1).fit(dual, data())
    assert compiled == [fast.image_encoder]
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="compiled: 'tower' is no part of the model"):
        model(compiled=["tower"])
