"""A dual encoder reads the prompts of a generator, and looks at what is drawn."""

from __future__ import annotations

import importlib.util
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_modules import ConditionalGAN, LatentDiffusion, ReportAlignment, ReportEncoder
from lightning_modules.generators import report_alignment
from main import main
from synthesis.cases import BalancedCaseSampler, Case
from synthesis.images.variational import VariationalImageMaker
from synthesis.patch_code import PatchCode
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.report import Report
from synthesis.reports.sides import with_sides_exchanged

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("tiny_generators", ROOT / "tests" / "tiny_generators.py")
assert SPEC is not None and SPEC.loader is not None
tiny = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny)

PROMPTS = ["Large left pleural effusion.", "No acute abnormality. The lungs are clear.", ""]
QUIET = ["--trainer.logger=false", "--trainer.accelerator=cpu"]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    os.chdir(ROOT)


@pytest.fixture(scope="module")
def dual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The checkpoint of a short `fit` on the real YAML, and the model it was saved from."""
    place = tmp_path_factory.mktemp("dual")
    layers = ("pretrain", "recipes/smoke", "model/tiny")
    args = [word for name in layers for word in ("-c", f"configs/{name}.yaml")]
    args += ["--trainer.max_epochs=1", "--trainer.callbacks=[]", "--trainer.enable_checkpointing=false"]
    line = main(["fit", *args, *QUIET, f"--run_dir={place}", f"--data.init_args.artifacts_dir={place}"])
    line.trainer.save_checkpoint(place / "last.ckpt")
    return place / "last.ckpt", line.model.eval()


def expected(model: Any) -> list[Tensor]:
    """The tokens of each prompt as the dual encoder has them, without padding."""
    tower, found = model.text_encoder, []
    for prompt in PROMPTS:
        encoded = model.tokenizer(prompt, return_tensors="pt")
        with torch.no_grad():
            found.append(tower({key: encoded[key] for key in ("input_ids", "attention_mask")}).local[0])
    return found


def test_prompts_are_read_as_the_dual_encoder_reads_them(dual: tuple[Path, Any]) -> None:
    path, model = dual
    encoder = ReportEncoder(pretrained=str(path), frozen=True, max_length=32).eval()
    assert encoder.width == model.text_encoder.width and encoder.max_length == 32
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    with torch.no_grad():
        tokens, pooled = encoder(PROMPTS)
    assert tokens.shape[:2] == (3, 32)
    for row, own, mean in zip(tokens, expected(model), pooled, strict=True):
        torch.testing.assert_close(row[: len(own)], own, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mean, own.mean(0), rtol=1e-4, atol=1e-5)
    tuned = ReportEncoder(pretrained=str(path))
    assert all(parameter.requires_grad for parameter in tuned.parameters())


def case_and_report() -> tuple[Case, Report]:
    case = BalancedCaseSampler().sample(0, "train", 0)
    return case, GrammarWriter().write([case], [0])[0]


def test_a_generator_is_trained_on_it_and_its_export_draws(dual: tuple[Path, Any], tmp_path: Path) -> None:
    from transformers import AutoModel

    path, model = dual
    small = {
        "train_pairs": 16,
        "val_pairs": 4,
        "loader.batch_size": 8,
        "loader.num_workers": 0,
        "tokenizer_reports": 200,
    }
    small |= {"cache_dir": tmp_path / "cache", "artifacts_dir": tmp_path}
    line = main(
        [
            *("fit", "-c", "configs/generator/base.yaml", "-c", "configs/generator/variational.yaml"),
            *("-c", "configs/generator/report_encoder/dual_encoder.yaml"),
            *("-c", "configs/generator/alignment/dual_encoder.yaml"),
            f"--model.init_args.alignment.init_args.encoder={path}",
            f"--model.init_args.report_encoder.init_args.pretrained={path}",
            *("--model.init_args.width=8", "--model.init_args.latent_dim=8", "--trainer.max_epochs=1"),
            *(f"--data.init_args.{name}={value}" for name, value in small.items()),
            *QUIET,
            f"--run_dir={tmp_path / 'run'}",
        ]
    )
    assert float(line.trainer.callback_metrics["val/alignment"]) > 0
    assert not any("alignment" in name for name in line.model.state_dict()), "it is no part of the generator"
    export = tmp_path / "run" / "export"
    exported = AutoModel.from_pretrained(export / "text_encoder", add_pooling_layer=False)
    own = model.text_encoder.bert.state_dict()
    assert exported.state_dict().keys() == own.keys()
    assert all(torch.equal(value, own[name]) for name, value in exported.state_dict().items()), "frozen"
    maker = VariationalImageMaker(directory=export, image_size=64)
    case, report = case_and_report()
    image = maker.make([case], [report], [0]).images
    assert image.shape == (1, 1, 64, 64) and image.isfinite().all()


def test_a_pipeline_reads_with_it(dual: tuple[Path, Any], tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    path, model = dual
    given = tiny.stable_diffusion(tmp_path / "given")
    encoder = ReportEncoder(pretrained=str(path), frozen=True, max_length=16)
    LatentDiffusion(encoder, autoencoder=str(given / "vae"), unet=tiny.UNET).export(tmp_path / "export")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "export")
    tokens, _ = pipeline.encode_prompt(PROMPTS, "cpu", 1, False)
    for row, own in zip(tokens, expected(model), strict=True):
        torch.testing.assert_close(row[: len(own)], own, rtol=1e-4, atol=1e-5)


def test_what_is_no_dual_encoder_is_refused(dual: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pretrained='gone\.ckpt' is no file; train a dual encoder"):
        ReportEncoder(pretrained="gone.ckpt")
    checkpoint = torch.load(dual[0], weights_only=True)
    del checkpoint["tokenizer"]
    torch.save(checkpoint, tmp_path / "bare.ckpt")
    with pytest.raises(ValueError, match=r"holds a DualEncoder without a BERT and its tokenizer"):
        ReportEncoder(pretrained=str(tmp_path / "bare.ckpt"))


# ------------------------------------------------------------------------------ what is drawn, looked at
REPORTS = ["Large left pleural effusion.", "Cardiomegaly.", "Right apical pneumothorax.", "Cardiomegaly."]


def test_drawn_images_are_asked_for_their_report_as_far_as_training_images_show_it(
    dual: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = dual
    monkeypatch.setattr(report_alignment, "_disturbed", lambda images: images)
    draw = torch.Generator().manual_seed(0)
    drawn, real = torch.rand(2, 4, 1, 64, 64, generator=draw)
    drawn.requires_grad_()
    alignment = ReportAlignment(str(path), weight=2.0)
    loss = alignment(drawn, real, REPORTS)

    def surprises(images: Tensor) -> tuple[Tensor, Tensor]:
        size = (model.image_encoder.image_size,) * 2
        seen = model.encode_image(
            torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True)
        )
        turned = ["Large right pleural effusion.", "Left apical pneumothorax."]
        likely = (seen @ model.encode_text(REPORTS + turned).T / model.temperature).double().exp()
        own, rivals = likely.diagonal(), likely[:, :4].sum(1)
        rivals[[1, 3]] -= likely[[1, 3], [3, 1]]  # the same words are no rival
        sided = torch.stack([own[0] / (own[0] + likely[0, 4]), own[2] / (own[2] + likely[2, 5])])
        return -(own / rivals).log(), -sided.log()  # the other side of its own report alone

    (drawn_of_batch, drawn_side), (bar_of_batch, bar_side) = surprises(drawn.detach()), surprises(real)
    over, side = (drawn_of_batch - bar_of_batch).clamp_min(0), (drawn_side - bar_side).clamp_min(0)
    assert over.max() > 0, "nothing would be asked"
    assert loss.item() == pytest.approx(2 * (over.mean() + side.sum() / 4).item(), rel=1e-3)
    assert alignment(real, real, REPORTS).item() == 0
    over[[0, 2]] += side

    loss.backward()
    assert drawn.grad is not None
    assert [bool(of.abs().sum() > 0) for of in drawn.grad] == (over > 0).tolist()
    again = alignment(drawn - 1e-3 * drawn.grad / drawn.grad.abs().max(), real, REPORTS)
    assert again < loss


def test_the_gan_s_generator_learns_from_it_and_its_discriminator_does_not(dual: tuple[Path, Any]) -> None:
    path, _ = dual
    gan = ConditionalGAN(
        ReportEncoder(pretrained=str(path), frozen=True, max_length=16),
        image_size=16,
        latent_dim=4,
        width=8,
        alignment=ReportAlignment(str(path)),
    )
    draw = torch.Generator().manual_seed(0)
    batch = {"image": torch.rand(4, 1, 16, 16, generator=draw), "report": REPORTS}
    pooled = gan.report_encoder(REPORTS)[1]
    losses = gan._generator_losses(batch, pooled, gan._draw(pooled))
    assert set(losses) == {"generator", "alignment"} and losses["alignment"] > 0
    losses["alignment"].backward()
    moved = {name.partition(".")[0] for name, value in gan.named_parameters() if value.grad is not None}
    assert moved == {"decoder"}


def test_the_gan_s_discriminator_is_shown_the_other_side(dual: tuple[Path, Any]) -> None:
    path, _ = dual
    encoder = ReportEncoder(pretrained=str(path), frozen=True, max_length=16)
    gan = ConditionalGAN(encoder, image_size=16, latent_dim=4, width=8)
    same = ["Large left pleural effusion."] * 2
    features, pooled = torch.randn(2, gan.discriminator.score.in_features), encoder(same)[1]
    score = gan.discriminator.rate(features, pooled)
    other = gan.discriminator.rate(features, encoder(["Large right pleural effusion."] * 2)[1])
    expected = torch.nn.functional.softplus(other - score).mean()
    torch.testing.assert_close(gan._mismatch(score, features, pooled, same), expected)
    assert gan._mismatch(score, features, pooled, ["Cardiomegaly."] * 2) == 0, "no report is a wrong one"


def test_a_diffusion_is_asked_for_the_clean_images_of_prompts_that_it_has_read(
    dual: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = dual
    code, looked = PatchCode(4), []
    encoder = ReportEncoder(pretrained=str(path), frozen=True, max_length=16)
    alignment = ReportAlignment(str(path))
    parts = {"unet": tiny.UNET, "code": code, "image_size": 16, "alignment": alignment}
    with pytest.raises(ValueError, match="looks at the clean images of a code, but code is null"):
        LatentDiffusion(encoder, **(parts | {"code": None}))
    model = LatentDiffusion(encoder, **parts, prediction="sample")
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(
        model, "alignment", lambda drawn, real, prompts: looked.append((drawn, real, prompts)) or drawn.sum()
    )
    asked = model._asked(
        model.alignment,
        {"image": images, "report": REPORTS},
        [REPORTS[0], "", REPORTS[2], ""],
        code.encode(1.5 * images),
    )
    drawn, real, prompts = looked[0]
    torch.testing.assert_close(drawn, (1.5 * images[[0, 2]]).clamp(max=1))
    assert torch.equal(real, images[[0, 2]]) and prompts == [REPORTS[0], REPORTS[2]]
    assert torch.equal(asked, drawn.sum())


@pytest.mark.parametrize("learns", [{"prediction": "velocity"}, {"prediction": "sample"}, {"flow": True}])
def test_clean_latents_follow_from_what_is_predicted(
    dual: tuple[Path, Any], learns: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ReportEncoder(pretrained=str(dual[0]), frozen=True, max_length=16)
    model = LatentDiffusion(encoder, unet=tiny.UNET, code=PatchCode(4), image_size=16, **learns)
    latents, steps = torch.randn(3, 16, 4, 4), torch.tensor([0, 400, 990])

    def perfect(noisy: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        """Predict what there is to predict, as it follows from the latents and what was made of them."""
        if learns.get("prediction") == "sample":
            return latents
        if "flow" in learns:
            return (noisy - latents) / model.scheduler.sigmas[steps].reshape(-1, 1, 1, 1)
        signal = model.scheduler.alphas_cumprod[steps].reshape(-1, 1, 1, 1).sqrt()
        return (signal * noisy - latents) / (1 - signal.square()).sqrt()

    monkeypatch.setattr(model, "_predicted", perfect)
    loss, clean = model._loss(latents, REPORTS[:3], steps)
    torch.testing.assert_close(clean, latents, rtol=1e-3, atol=1e-3)
    assert loss.item() == pytest.approx(0, abs=1e-4)


def test_drawn_and_training_images_are_disturbed_alike(dual: tuple[Path, Any]) -> None:
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(3)
    seen = [report_alignment._disturbed(torch.cat([image, image])) for _ in range(4)]
    for once, again in pairwise(seen):
        assert torch.equal(once[0], once[1]) and 32 <= once.shape[-1] <= 64
        assert once.shape != again.shape or not torch.equal(once, again)
    alignment = ReportAlignment(str(dual[0]))
    assert alignment(image.repeat(4, 1, 1, 1), image.repeat(4, 1, 1, 1), REPORTS).item() == 0


def test_sides_are_exchanged_word_by_word() -> None:
    text = "Left effusion, RIGHT lung; bright, leftover, right-sided."
    turned = "Right effusion, LEFT lung; bright, leftover, left-sided."
    assert (with_sides_exchanged(text), with_sides_exchanged(turned)) == (turned, text)


def test_an_encoder_that_compares_nothing_is_refused(tmp_path: Path, dual: tuple[Path, Any]) -> None:
    with pytest.raises(ValueError, match=r"encoder='gone\.ckpt' is no file; train a dual encoder"):
        ReportAlignment("gone.ckpt")
    with pytest.raises(ValueError, match="weight=0: give more than 0"):
        ReportAlignment(str(dual[0]), weight=0)
