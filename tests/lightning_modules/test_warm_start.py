"""Beginning from trained weights: what is taken, what is resized, what is listed, what is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lightning_modules import BertEncoder, DualEncoder, InfoNCE, ViTEncoder
from lightning_modules.checkpoints import tokenizer_to_text
from lightning_modules.downstream.image_task import load_tower_weights
from lightning_modules.warm_start import TrainedWeights, take_weights

Make = Callable[..., Any]
SIZES = {"width": 16, "layers": 2, "heads": 2, "projection_dim": 8}
TOWERS = ("image_encoder", "text_encoder")
TABLE = "text_encoder.bert.embeddings.word_embeddings.weight"


def dual(
    image: dict[str, Any] | None = None, text: dict[str, Any] | None = None, **options: Any
) -> DualEncoder:
    torch.manual_seed(0)
    model = DualEncoder(
        ViTEncoder(**{"image_size": 32, "patch_size": 8, **SIZES, **(image or {})}),
        BertEncoder(**{"vocab_size": 20, "max_length": 24, **SIZES, **(text or {})}),
        InfoNCE(),
        **options,
    )
    for parameter in model.parameters():  # away from zeros and ones, where models begin alike
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def state_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as a run leaves it, and the same model exported beside it."""
    from lightning_modules.exported import export
    from tests.lightning_modules.conftest import make_tokenizer

    directory = tmp_path_factory.mktemp("weights")
    model = dual()
    model.tokenizer = make_tokenizer(["small", "large", "no", "mass", "nodule", "effusion", "right", "left"])
    content = {"state_dict": model.state_dict(), "tokenizer": tokenizer_to_text(model.tokenizer)}
    torch.save(content, directory / "best.ckpt")
    export(model, directory / "exported")
    return directory


def read(saved: Path, kind: str = "best.ckpt") -> TrainedWeights:
    return TrainedWeights.read(str(saved / kind))


@pytest.mark.parametrize("kind", ["best.ckpt", "exported"])
def test_training_begins_from_the_weights_with_their_tokenizer(
    kind: str, saved: Path, data: Make, trainer: Make, tokenizer: Any
) -> None:
    seen: dict[str, Tensor] = {}

    class Start(L.Callback):
        def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            seen.update(state_of(module))
            assert trainer.global_step == 0 and not trainer.optimizers[0].state

    torch.manual_seed(5)
    model = DualEncoder(
        ViTEncoder(32, 8, 16, 2, 2, projection_dim=8),
        BertEncoder(20, 16, 2, 2, 24, projection_dim=8),
        InfoNCE(),
        weights=str(saved / kind),
    )
    pairs = data(tokenizer=tokenizer)
    trainer(max_steps=1, callbacks=[Start()], limit_val_batches=0).fit(model, pairs)
    expected = read(saved, kind).state
    towers = [name for name in expected if name.startswith(TOWERS)]
    assert len(towers) > 50 and all(torch.equal(seen[name], expected[name]) for name in towers)
    assert pairs.tokenizer.get_vocab() == model.tokenizer.get_vocab() != tokenizer.get_vocab()
    assert float(seen["objective.log_scale"]) == pytest.approx(float(expected["objective.log_scale"]))


def test_a_run_that_is_resumed_goes_on_from_its_checkpoint(
    saved: Path, data: Make, trainer: Make, tokenizer: Any, tmp_path: Path
) -> None:
    first = trainer(max_steps=2, limit_val_batches=0)
    first.fit(dual(weights=str(saved / "best.ckpt")), data(tokenizer=tokenizer))
    first.save_checkpoint(tmp_path / "last.ckpt")
    resumed, pairs = dual(weights="gone.ckpt"), data(tokenizer=tokenizer)
    trainer(max_steps=2, limit_val_batches=0).fit(resumed, pairs, ckpt_path=tmp_path / "last.ckpt")
    ours = first.lightning_module.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in resumed.state_dict().items())
    assert pairs.tokenizer.get_vocab() == read(saved).tokenizer.get_vocab()


def test_weights_that_are_needed_and_not_there_end_the_run(data: Make, trainer: Make, tokenizer: Any) -> None:
    for run in ("fit", "test"):
        with pytest.raises(ValueError, match=r"weights='gone\.ckpt' is no checkpoint"):
            getattr(trainer(max_steps=1), run)(dual(weights="gone.ckpt"), data(tokenizer=tokenizer))


@pytest.mark.parametrize("pooling", ["mean", "spatial"])
@pytest.mark.parametrize("size", [16, 64])
def test_what_depends_on_the_place_is_interpolated_for_images_of_another_size(
    pooling: str, size: int
) -> None:
    small, other = dual({"pooling": pooling}), dual({"pooling": pooling, "image_size": size})
    state = state_of(small)
    rows = torch.linspace(-1, 1, 4)
    places = state["image_encoder.vit.embeddings.position_embeddings"]
    places[0, 1:, 0] = rows[:, None].expand(4, 4).flatten()  # from top to bottom
    take_weights(other, TrainedWeights("here", state, None), TOWERS, 1.0)
    after = other.state_dict()["image_encoder.vit.embeddings.position_embeddings"]
    assert torch.equal(after[:, 0], places[:, 0]), "the class token has no place"
    side = size // 8
    grid = after[0, 1:, 0].unflatten(0, (side, side))
    assert (grid.diff(dim=0) > 0).all() and grid.std(dim=1).max() < 1e-5
    if pooling == "spatial":
        weight, own = state["image_encoder.mix.weight"], other.state_dict()["image_encoder.mix.weight"]
        sums = [w.unflatten(1, (-1, 16)).sum(1) for w in (weight, own)]
        assert torch.corrcoef(torch.stack([s.flatten() for s in sums]))[0, 1] > 0.9
        torch.testing.assert_close(sums[0].norm(), sums[1].norm(), rtol=0.15, atol=0)


def test_what_does_not_fit_is_listed(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = dual({"layers": 3}, {"vocab_size": 30, "max_length": 32, "projection_hidden": 4})
    before = state_of(model)
    with caplog.at_level(logging.INFO):
        take_weights(model, read(saved), TOWERS)
    (message,) = [record.message for record in caplog.records if "weights of" in record.message]
    assert "missing in the weights, left as initialised" in message
    assert "image_encoder.vit.layers.2" in message
    assert "not used (1): text_encoder.projection.weight" in message
    assert f"resized (2): {TABLE}" in message
    own = model.state_dict()
    assert torch.equal(own[TABLE][:20], read(saved).state[TABLE])
    assert torch.equal(own[TABLE][20:], before[TABLE][20:])


def test_weights_of_another_architecture_are_refused(saved: Path) -> None:
    model = dual({"width": 32})
    before = state_of(model)
    message = r"supply \d+% of image_encoder, less than 50%(.|\n)*of another shape"
    with pytest.raises(ValueError, match=message):
        take_weights(model, read(saved), TOWERS)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.ckpt", "gone.ckpt' is no checkpoint that can be read"),
        ("shrot/model/x", "weights='shrot/model/x': no such directory"),
        ("owner/model", "hub:owner/model"),
    ],
)
def test_weights_that_are_not_there_are_named(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainedWeights.read(name)


def test_frozen_parts_keep_their_weights_and_mode(data: Make, trainer: Make, tokenizer: Any) -> None:
    model = dual(
        {"stem_channels": [4, 4, 4]}, {"dropout": 0.5}, frozen=["text_encoder", "image_encoder.stem"]
    )
    before = state_of(model)
    trainer(max_steps=2, limit_val_batches=0).fit(model, data(tokenizer=tokenizer))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert len(changed) > 20 and not any(name.startswith("text_encoder") for name in changed)
    assert not any("patch_embeddings" in name for name in changed)
    model.train()
    assert not model.text_encoder.bert.training and model.image_encoder.vit.layers.training
    with pytest.raises(ValueError, match=r"frozen: 'image_encoder\.steem'.*at 'steem' there are .*vit"):
        dual(frozen=["image_encoder.steem"])


def test_rates_fall_from_layer_to_layer_in_both_towers(data: Make, trainer: Make, tokenizer: Any) -> None:
    model = dual({"layers": 3}, layer_decay=0.5, learning_rate=0.1, warmup=0)
    fitted = trainer(max_steps=1, limit_val_batches=0)
    fitted.fit(model, data(tokenizer=tokenizer))
    rate = {id(p): g["initial_lr"] for g in fitted.optimizers[0].param_groups for p in g["params"]}
    named = dict(model.named_parameters())
    assert len(rate) == len(named)
    image = [rate[id(named[f"image_encoder.vit.layers.{i}.mlp.fc1.weight"])] for i in range(3)]
    text = [rate[id(named[f"text_encoder.bert.encoder.layer.{i}.output.dense.weight"])] for i in range(2)]
    assert image == [0.0125, 0.025, 0.05] and text == [0.025, 0.05]
    assert rate[id(named["objective.log_scale"])] == 0.1
    for wrong in (0.0, 1.5):
        with pytest.raises(ValueError, match="layer_decay"):
            dual(layer_decay=wrong)


def test_a_task_takes_a_tower_for_images_of_another_size_and_no_half_one(saved: Path) -> None:
    tower = ViTEncoder(64, 8, **SIZES)
    load_tower_weights(tower, str(saved / "exported"), "image_encoder")
    expected = read(saved).part("image_encoder")
    torch.testing.assert_close(tower.state_dict()["projection.weight"], expected["projection.weight"])
    shallow = ViTEncoder(32, 8, **{**SIZES, "layers": 1})
    with pytest.raises(ValueError, match="another architecture"):
        load_tower_weights(shallow, str(saved / "best.ckpt"), "image_encoder")
