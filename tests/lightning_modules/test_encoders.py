from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_modules import BertEncoder, ViTEncoder

TINY: dict[str, Any] = {"width": 32, "layers": 2, "heads": 2, "projection_dim": 16}
IMAGE: dict[str, Any] = {**TINY, "image_size": 32, "patch_size": 8}
TEXT: dict[str, Any] = {**TINY, "vocab_size": 16, "max_length": 16}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}


def images(count: int = 3, size: int = 32) -> Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0))


def saved_vit(directory: Path, channels: int = 3, **rest: Any) -> Any:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(2)
    model = ViTModel(
        ViTConfig(image_size=32, patch_size=8, num_channels=channels, **{**SIZES, **rest})
    ).eval()
    model.save_pretrained(directory)
    return model


# -------------------------------------------------------------------------- images
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("hidden", [None, 24])
@pytest.mark.parametrize("stem", [None, [4, 8, 16]])
def test_image_features_have_the_shapes_of_the_contract(
    pooling: Any, hidden: int | None, stem: list[int] | None
) -> None:
    encoder = ViTEncoder(**IMAGE, pooling=pooling, projection_hidden=hidden, stem_channels=stem).eval()
    out = encoder({"image": images()})
    assert out.pooled.shape == (3, 32) and out.local.shape == (3, 16, 32) and out.projected.shape == (3, 16)
    assert out.local_mask.shape == (3, 16) and out.local_mask.all()
    torch.testing.assert_close(out.projected.norm(dim=1), torch.ones(3))
    if pooling == "mean":
        torch.testing.assert_close(out.pooled, out.local.mean(1))
    alone = encoder({"image": images()[1:2]})  # a sample does not depend on its batch, even with a stem
    torch.testing.assert_close(alone.projected[0], out.projected[1], rtol=1e-4, atol=1e-5)


def test_spatial_pooling_tells_places_apart_and_refuses_dropped_patches() -> None:
    torch.manual_seed(0)
    encoder = ViTEncoder(**IMAGE, pooling="spatial").eval()
    out = encoder({"image": images()})
    assert out.pooled.shape == (3, 32) and (out.pooled >= 0).all()
    torch.testing.assert_close(out.pooled, torch.relu(encoder.mix(out.local.flatten(1))))
    moved = torch.relu(encoder.mix(out.local.flip(1).flatten(1)))
    assert (moved - out.pooled).abs().max() > 0.01  # the same patches elsewhere are another image
    with pytest.raises(ValueError, match=r"patch_drop 0\.5 leaves holes that spatial pooling cannot have"):
        ViTEncoder(**IMAGE, pooling="spatial", patch_drop=0.5)


def test_quiet_start_makes_every_block_the_identity_and_still_trains() -> None:
    encoder = ViTEncoder(**IMAGE, stem_channels=[4, 8, 16], quiet_start=True)
    out = encoder({"image": images()})
    embedded = encoder.vit.embeddings(encoder.normalised({"image": images()}))
    torch.testing.assert_close(out.local, encoder.vit.layernorm(embedded)[:, 1:])
    out.projected[:, 0].sum().backward()
    for layer in encoder.vit.layers:
        assert (
            layer.attention.o_proj.weight.grad.abs().max() > 0 and layer.mlp.fc2.weight.grad.abs().max() > 0
        )


def test_stem_patches_see_their_own_place() -> None:
    torch.manual_seed(0)
    encoder = ViTEncoder(**IMAGE, stem_channels=[4, 8, 16]).eval()
    embed = encoder.vit.embeddings.patch_embeddings
    dark, lit = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    lit[..., 18:22, 10:14] = 1  # row 2, column 1 of the 4 × 4 patches
    change = (embed(lit) - embed(dark)).detach().norm(dim=2)[0]
    assert change.argmax() == 2 * 4 + 1


def test_features_ignore_brightness_and_contrast_unless_told_otherwise() -> None:
    torch.manual_seed(0)
    encoder = ViTEncoder(**IMAGE).eval()
    fixed = ViTEncoder(**IMAGE, mean=0.5, std=0.25).eval()
    x = images()
    torch.testing.assert_close(
        encoder({"image": 0.2 + 0.5 * x}).projected, encoder({"image": x}).projected, rtol=1e-3, atol=1e-4
    )
    assert (fixed({"image": 0.2 + 0.5 * x}).projected - fixed({"image": x}).projected).abs().max() > 0.01
    torch.testing.assert_close(fixed.normalised({"image": x}), (x - 0.5) / 0.25)
    assert encoder({"image": torch.full((1, 1, 32, 32), 0.3)}).projected.isfinite().all()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_patch_dropping_keeps_whole_tokens_and_only_in_training(pooling: Any) -> None:
    torch.manual_seed(0)
    encoder = ViTEncoder(**IMAGE, patch_drop=0.75, pooling=pooling)
    seen: list[Tensor] = []
    encoder.vit.layers[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    assert encoder({"image": images()}).local.shape == (3, 4, 32)
    encoder.eval()
    assert encoder({"image": images()}).local.shape == (3, 16, 32)
    kept, all_tokens = seen
    torch.testing.assert_close(kept[:, 0], all_tokens[:, 0])  # [CLS]
    chosen = (kept[:, 1:, None] == all_tokens[:, None, 1:]).all(-1)
    assert chosen.sum(2).eq(1).all()  # each is one of the patches
    assert chosen.sum(1).le(1).all()  # none is taken twice
    assert (
        len({tuple(row.nonzero().flatten().tolist()) for row in chosen.any(1)}) > 1
    )  # each image has its own choice


def test_patch_dropping_follows_torch_s_seed_and_survives_copying() -> None:
    encoder = ViTEncoder(**IMAGE, patch_drop=0.5)
    twin = copy.deepcopy(encoder)
    outputs = []
    for model, seed in ((encoder, 1), (encoder, 1), (twin, 1), (encoder, 2)):
        torch.manual_seed(seed)
        outputs.append(model({"image": images()}).projected)
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[3])
    twin.patch_drop = 0.0  # the copy's hook reads the copy
    assert twin({"image": images()}).local.shape[1] == 16 and encoder({"image": images()}).local.shape[1] == 8


def test_vit_from_a_directory_takes_its_weights(tmp_path: Path) -> None:
    theirs = saved_vit(tmp_path, channels=1)
    encoder = ViTEncoder(**IMAGE, pretrained=str(tmp_path), mean=0.5, std=0.5).eval()
    expected = theirs(pixel_values=(images() - 0.5) / 0.5).last_hidden_state
    torch.testing.assert_close(encoder({"image": images()}).local, expected[:, 1:])


def test_grey_images_in_a_colour_checkpoint_equal_repeated_channels(tmp_path: Path) -> None:
    theirs = saved_vit(tmp_path, channels=3)
    encoder = ViTEncoder(**IMAGE, pretrained=str(tmp_path), mean=0.5, std=0.5).eval()
    grey = (images() - 0.5) / 0.5
    expected = theirs(pixel_values=grey.repeat(1, 3, 1, 1)).last_hidden_state
    torch.testing.assert_close(encoder({"image": images()}).local, expected[:, 1:], rtol=1e-4, atol=1e-5)
    assert encoder.vit.config.num_channels == 1


def test_image_size_of_a_checkpoint_can_be_changed(tmp_path: Path) -> None:
    theirs = saved_vit(tmp_path, channels=1)
    encoder = ViTEncoder(**{**IMAGE, "image_size": 48}, pretrained=str(tmp_path), mean=0.5, std=0.5).eval()
    x = images(size=48)
    expected = theirs(pixel_values=(x - 0.5) / 0.5, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(encoder({"image": x}).local, expected[:, 1:], rtol=1e-4, atol=1e-5)


def test_dinov2_with_registers_from_a_directory(tmp_path: Path) -> None:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    config = {key: value for key, value in SIZES.items() if key != "intermediate_size"}
    theirs = Dinov2WithRegistersModel(
        Dinov2WithRegistersConfig(
            image_size=32, patch_size=8, num_channels=3, num_register_tokens=4, **config
        )
    ).eval()
    theirs.save_pretrained(tmp_path)
    encoder = ViTEncoder(**IMAGE, pretrained=str(tmp_path), mean=0.5, std=0.5, patch_drop=0.5).eval()
    grey = (images() - 0.5) / 0.5
    expected = theirs(pixel_values=grey.repeat(1, 3, 1, 1)).last_hidden_state[:, 5:]
    torch.testing.assert_close(encoder({"image": images()}).local, expected, rtol=1e-4, atol=1e-5)
    encoder.train()({"image": images()}).projected.sum().backward()
    untouched = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
    assert untouched == []  # DDP would refuse them


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        encoder = ViTEncoder(**IMAGE, patch_drop=0.5, dropout=0.1, gradient_checkpointing=checkpointing)
        torch.manual_seed(1)
        encoder({"image": images()}).projected[:, 0].sum().backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in encoder.parameters()]))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_either_attention_gives_the_same_features(batch: dict[str, Tensor], pooling: Any) -> None:
    vit, bert = ViTEncoder(**IMAGE, pooling=pooling).eval(), BertEncoder(**TEXT, pooling=pooling).eval()
    batch = {**batch, "image": images(6)}
    fused = vit(batch).local, bert(batch).local
    with torch.autocast("cpu", torch.bfloat16):
        half = vit(batch).local, bert(batch).local
    assert vit.vit.config._attn_implementation == "eager"
    mask = batch["attention_mask"].bool()
    torch.testing.assert_close(half[0].float(), fused[0], rtol=0.05, atol=0.1)
    torch.testing.assert_close(half[1].float()[mask], fused[1][mask], rtol=0.05, atol=0.1)
    assert torch.equal(vit(batch).local, fused[0]) and torch.equal(bert(batch).local, fused[1])
    assert vit.vit.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_drop": 1.0}, r"patch_drop is 1.0: give a share in \[0, 1\)"),
        ({"mean": 0.5}, "mean is 0.5 and std None"),
        ({"image_size": 33}, "image_size=33 is no multiple of patch_size=8: give one that is, such as 32"),
        ({"heads": 5}, "width=32 is no multiple of heads=5: give one that is, such as 30"),
        ({"stem_channels": [4, 8]}, r"2 stem_channels \[4, 8\] make patches of 4 px, not 8"),
        (
            {"stem_channels": [4, 8, 16], "pretrained": "some/vit"},
            "would replace trained weights of 'some/vit'",
        ),
    ],
)
def test_contradictory_image_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViTEncoder(**{**IMAGE, **arguments})


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images are \(1, 40, 40\).*takes \(1, 32, 32\)"):
        ViTEncoder(**IMAGE)({"image": images(size=40)})
    with pytest.raises(ValueError, match=r"images are \(3, 32, 32\)"):
        ViTEncoder(**IMAGE)({"image": images().repeat(1, 3, 1, 1)})


def test_checkpoint_of_another_size_is_refused_with_its_sizes(tmp_path: Path) -> None:
    saved_vit(tmp_path, num_hidden_layers=3)
    with pytest.raises(ValueError, match=r"width 32, layers 2, heads 2\): set layers: 3$"):
        ViTEncoder(**IMAGE, pretrained=str(tmp_path))


def test_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved_vit(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if "intermediate" not in k},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(ValueError, match=r"lacks 4 weights of a ViTModel, the first '.*fc1"):
        ViTEncoder(**IMAGE, pretrained=str(tmp_path))


# -------------------------------------------------------------------------- texts
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_text_features_ignore_padding(batch: dict[str, Tensor], pooling: Any) -> None:
    encoder = BertEncoder(**TEXT, pooling=pooling).eval()
    out = encoder(batch)
    assert out.pooled.shape == (6, 32) and out.local.shape == (6, 8, 32) and out.projected.shape == (6, 16)
    assert torch.equal(out.local_mask, batch["attention_mask"].bool())
    for i, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        alone = encoder({key: batch[key][i : i + 1, :length] for key in ("input_ids", "attention_mask")})
        torch.testing.assert_close(alone.projected[0], out.projected[i], rtol=1e-4, atol=1e-5)


def test_bert_from_a_directory_takes_its_weights(tmp_path: Path, batch: dict[str, Tensor]) -> None:
    from transformers import BertConfig, BertForMaskedLM

    theirs = BertForMaskedLM(BertConfig(vocab_size=16, max_position_embeddings=16, **SIZES)).eval()
    theirs.save_pretrained(tmp_path)  # as masked-language models are published: with a head, without a pooler
    encoder = BertEncoder(**TEXT, pretrained=str(tmp_path)).eval()
    expected = theirs.bert(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
    ).last_hidden_state
    torch.testing.assert_close(encoder(batch).local, expected)
    encoder(batch).projected.sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


def test_dropout_of_a_checkpoint_is_ours(tmp_path: Path) -> None:
    saved_vit(tmp_path, channels=1, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)
    encoder = ViTEncoder(**IMAGE, pretrained=str(tmp_path))
    assert {m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)} == {0.0}
    assert torch.equal(encoder({"image": images()}).projected, encoder({"image": images()}).projected)


def test_texts_longer_than_the_position_table_are_refused() -> None:
    ids = torch.ones(1, 17, dtype=torch.long)
    with pytest.raises(ValueError, match="texts have 17 tokens, the encoder takes 16: raise its max_length"):
        BertEncoder(**TEXT)({"input_ids": ids, "attention_mask": ids})


def test_tokenizer_with_more_word_pieces_than_rows_is_refused(tokenizer: Any) -> None:
    BertEncoder(**TEXT).check_tokenizer(tokenizer)
    with pytest.raises(ValueError, match="has 13 word pieces, the encoder 12 rows: set its vocab_size to 13"):
        BertEncoder(**{**TEXT, "vocab_size": 12}).check_tokenizer(tokenizer)


def test_another_tokenizer_than_the_checkpoint_s_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    from transformers import BertConfig, BertModel, BertTokenizerFast

    BertModel(BertConfig(vocab_size=16, max_position_embeddings=16, **SIZES)).save_pretrained(tmp_path)
    encoder = BertEncoder(**TEXT, pretrained=str(tmp_path))
    encoder.check_tokenizer(tokenizer)  # none lies there: nothing to compare with
    tokenizer.save_pretrained(tmp_path)
    encoder.check_tokenizer(tokenizer)
    vocabulary = tokenizer.get_vocab()
    vocabulary["left"], vocabulary["right"] = vocabulary["right"], vocabulary["left"]
    with pytest.raises(ValueError, match="data's tokenizer is not that of the checkpoint"):
        encoder.check_tokenizer(BertTokenizerFast(vocab=vocabulary))
