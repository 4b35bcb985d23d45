"""Generators: trained in no time by the real YAML, exported, opened by the plain library, resumed."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from callbacks import GeneratorExport, NonFiniteGuard, WeightAverage
from callbacks.run.generator_export import export
from callbacks.run.non_finite_guard import NonFiniteError
from lightning_modules import (
    ConditionalGAN,
    ConditionalVAE,
    LatentAutoencoder,
    LatentDiffusion,
    ReportEncoder,
)
from lightning_modules.contexts import seeded
from lightning_modules.generators.adversarial import squared_gradient
from lightning_modules.generators.generator import concepts_prompt, section_of
from lightning_modules.generators.latent_cache import LatentCache
from main import main
from scripts.resolved_config import resolved_config
from synthesis.cases import Case
from synthesis.images.diffusion import DiffusionImageMaker
from synthesis.patch_code import PatchCode
from synthesis.reports.report import Report
from synthesis.seeding import generator
from tests.known_data import KnownData

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("tiny_generators", ROOT / "tests" / "tiny_generators.py")
assert SPEC is not None and SPEC.loader is not None
tiny = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny)

BASE = "configs/generator/base.yaml"
NAMES = sorted(path.stem for path in (ROOT / "configs" / "generator").glob("*.yaml") if path.stem != "base")
SMALL = {
    "variational": ["--model.init_args.width=8", "--model.init_args.latent_dim=8"],
    "adversarial": [
        "--model.init_args.width=8",
        "--model.init_args.discriminator_width=8",
        "--model.init_args.latent_dim=8",
    ],
    "autoencoder": ["--model.init_args.channels=[16, 16]"],
    "latent_diffusion": [f"--model.init_args.unet={json.dumps(tiny.UNET)}"],
}
TEXTS = ["FINDINGS: Large left effusion. IMPRESSION: Effusion.", "FINDINGS: Clear lungs. IMPRESSION: Normal."]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    os.chdir(ROOT)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four trained for two steps each by the shipped YAML, on the same cached pairs."""
    out = tmp_path_factory.mktemp("generators")
    data = {
        "train_pairs": 16,
        "val_pairs": 4,
        "loader.batch_size": 8,
        "loader.num_workers": 0,
        "tokenizer_reports": 200,
    }
    data |= {"cache_dir": out / "cache", "artifacts_dir": out / "artifacts"}
    common = [f"--data.init_args.{name}={value}" for name, value in data.items()]
    common += ["--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
    common += ["--trainer.logger=false"]  # what main.py does with them is tested elsewhere
    for name, small in SMALL.items():
        args = [*common, *small, f"--run_dir={out / name}"]
        if name != "autoencoder":
            args += [f"--model.init_args.report_encoder.init_args.{k}" for k in ("width=16", "layers=1")]
        if name == "latent_diffusion":
            args.append(f"--model.init_args.autoencoder={out / 'autoencoder' / 'export'}")
        main(["fit", "-c", BASE, "-c", f"configs/generator/{name}.yaml", *args])
    return out


def averaged(run: Path) -> dict[str, Tensor]:
    """The averaged weights as the run's last checkpoint has them."""
    state: dict[str, Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


def assert_holds(state: dict[str, Tensor], prefix: str, module: Any) -> None:
    saved = module.state_dict()
    assert saved
    for name, value in saved.items():
        torch.testing.assert_close(value, state[f"{prefix}{name}"], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_every_yaml_parses_over_the_base_and_says_how_to_use_it(name: str) -> None:
    path = f"configs/generator/{name}.yaml"
    assert (ROOT / path).read_text().startswith("# ")
    config = resolved_config("fit", "-c", BASE, "-c", path)
    assert (
        config["data"]["init_args"]["views"]["augmentation"] is None and config["run_dir"] == f"runs/{name}"
    )
    callbacks = [entry["class_path"].rpartition(".")[2] for entry in config["trainer"]["callbacks"]]
    assert callbacks.index("WeightAverage") < callbacks.index("GeneratorExport")  # it exports the average


@pytest.mark.parametrize("name", ["variational", "adversarial"])
def test_the_decoder_opens_in_monai_and_the_text_encoder_in_transformers(name: str, runs: Path) -> None:
    from monai.networks.nets import Generator
    from safetensors.torch import load_file
    from transformers import AutoModel, AutoTokenizer

    export, state = runs / name / "export", averaged(runs / name)
    settings = json.loads((export / "generator.json").read_text())
    assert settings["kind"] == name and settings["section"] == "impression" and settings["image_size"] == 64
    network = Generator(**settings["arguments"])
    network.load_state_dict(load_file(export / "generator.safetensors"))
    assert_holds(state, "decoder.network.", network)
    assert_holds(state, "report_encoder.model.", AutoModel.from_pretrained(export / "text_encoder"))
    assert AutoTokenizer.from_pretrained(export / "tokenizer").model_max_length == 64
    if name == "variational":
        from monai.networks.nets import FullyConnectedNet

        prior = FullyConnectedNet(**settings["prior"]["arguments"])
        prior.load_state_dict(load_file(export / "prior.safetensors"))
        assert_holds(state, "prior.network.", prior)


def test_the_autoencoder_opens_in_diffusers_with_its_scale(runs: Path) -> None:
    from diffusers import AutoencoderKL

    state = averaged(runs / "autoencoder")
    vae = AutoencoderKL.from_pretrained(runs / "autoencoder" / "export")
    assert_holds(state, "autoencoder.", vae)
    assert vae.config.scaling_factor == pytest.approx(1 / float(state["latent_std"]), rel=1e-5)


def test_the_diffusion_opens_as_a_pipeline_and_computes_what_was_trained(runs: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(runs / "latent_diffusion" / "export")
    state = averaged(runs / "latent_diffusion")
    for prefix, module in {"unet.": pipeline.unet, "report_encoder.model.": pipeline.text_encoder}.items():
        assert_holds(state, prefix, module)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    model = LatentDiffusion.load_from_checkpoint(runs / "latent_diffusion" / "checkpoints" / "last.ckpt")
    assert isinstance(model, LatentDiffusion)
    tokens, _ = model.eval().report_encoder(["Large left effusion.", ""])
    own, empty = pipeline.encode_prompt("Large left effusion.", "cpu", 1, do_classifier_free_guidance=True)
    torch.testing.assert_close(torch.cat([own, empty]), tokens, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------- small models, no YAML
def tokenizer() -> Any:
    from transformers import BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += ["effusion", "normal", "large", "left", "clear", "lungs", ".", "a", "b"]
    return BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})


def reports(**kwargs: Any) -> ReportEncoder:
    torch.manual_seed(0)
    encoder = ReportEncoder(**{"vocab_size": 16, "width": 16, "layers": 1, "max_length": 8, **kwargs})
    encoder.take_tokenizer(tokenizer())
    return encoder


def batches(count: int = 1) -> DataLoader[Any]:
    draw = torch.Generator().manual_seed(3)
    samples = [
        {"image": torch.rand(1, 16, 16, generator=draw), "index": torch.tensor(i), "report": TEXTS[i % 2]}
        for i in range(4 * count)
    ]
    return DataLoader(samples, batch_size=4)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("autoencoder")
    torch.manual_seed(0)
    model = LatentAutoencoder(image_size=16, channels=(16, 16))
    with torch.no_grad():  # as after training: the image decides the latent, noise next to nothing
        model.autoencoder.quant_conv.weight[4:] = 0
        model.autoencoder.quant_conv.bias[4:] = -20
        images = 2 * next(iter(batches()))["image"] - 1
        model.latent_std.copy_(model.autoencoder.encode(images).latent_dist.mean.std())
    model.export(directory)
    return str(directory)


def build(kind: str, autoencoder: str | None, **kwargs: Any) -> Any:
    encoder = reports()
    torch.manual_seed(1)
    common = {"warmup": 0, "learning_rate": 3e-3, **kwargs}
    if kind == "diffusion":
        unet = {"unet": tiny.UNET, "prompt_dropout": 0.0}
        return LatentDiffusion(encoder, **{"autoencoder": autoencoder, **unet, **common})
    if kind == "autoencoder":
        return LatentAutoencoder(image_size=16, channels=(16, 16), **common)
    kinds = {"variational": ConditionalVAE, "adversarial": ConditionalGAN}
    return kinds[kind](encoder, image_size=16, latent_dim=4, width=8, **common)


KINDS = ["variational", "adversarial", "autoencoder", "diffusion"]


@pytest.mark.parametrize(
    ("kind", "figure", "share", "steps"),
    [("variational", "mse", 0.5, 60), ("autoencoder", "l1", 0.7, 60), ("diffusion", "loss", 0.85, 250)],
)
def test_one_batch_is_learned(
    kind: str, figure: str, share: float, steps: int, autoencoder: str, trainer: Callable[..., Any]
) -> None:
    model = build(kind, autoencoder)
    fit = trainer(max_steps=steps, limit_val_batches=0)
    before = trainer().validate(model, batches(), verbose=False)[0][f"val/{figure}"]
    fit.fit(model, batches())
    after = trainer().validate(model, batches(), verbose=False)[0][f"val/{figure}"]
    assert after < share * before


def test_the_gan_moves_both_players_each_by_its_own_optimiser(trainer: Callable[..., Any]) -> None:
    model = build("adversarial", "")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer(max_steps=2, limit_val_batches=0).fit(model, batches())  # one step of each
    moved = {n.partition(".")[0] for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {"decoder", "discriminator", "report_encoder"}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_gan_s_discriminator_learns_which_image_is_real_and_which_report_is_its(
    trainer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("adversarial", "")
    monkeypatch.setattr(model, "_generator_step", lambda *_: {})  # an opponent that stands still
    trainer(max_epochs=80, limit_val_batches=0).fit(model, batches())
    batch = next(iter(batches()))
    with torch.no_grad():
        _, pooled = model.report_encoder(model.prompts(batch))
        real, features = model.discriminator(batch["image"], pooled)
        made, _ = model.discriminator(model._draw(pooled), pooled)
        other = model.discriminator.rate(features, pooled.roll(1, 0))
    assert (real > made + 1).all()
    assert (real > other + 0.5).all()


def test_generators_begin_with_grey_images() -> None:
    images = build("adversarial", "").decoder(torch.randn(8, 4), torch.randn(8, 16))
    assert 0.3 < float(images.min()) and float(images.max()) < 0.7


def test_the_average_of_the_weights_warms_up(trainer: Callable[..., Any]) -> None:
    class Keep(L.Callback):
        def __init__(self) -> None:
            self.seen: list[Tensor] = []

        def on_train_batch_end(self, fit: L.Trainer, module: Any, *_: Any) -> None:
            self.seen.append(module.posterior.bias.detach().clone())

    model, keep = build("variational", ""), Keep()
    fit = trainer(max_steps=30, callbacks=[keep, WeightAverage(decay=0.7)], limit_val_batches=0)
    fit.fit(model, batches())
    expected = keep.seen[0]
    for updates, weights in enumerate(keep.seen[1:], start=1):
        share = min(0.7, (1 + updates) / (10 + updates))
        expected = share * expected + (1 - share) * weights
    torch.testing.assert_close(model.posterior.bias, expected)  # the average, in place of the last weights
    with pytest.raises(ValueError, match="decay=1: give a share"):
        WeightAverage(decay=1)


def test_penalties_are_squared_gradients() -> None:
    image = torch.rand(3, 1, 2, 2, requires_grad=True)
    score = (image * torch.tensor([1.0, 2.0, 3.0])[:, None, None, None]).sum((1, 2, 3))
    assert float(squared_gradient(score, image)) == pytest.approx(4 * (1 + 4 + 9) / 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_equals_the_uninterrupted_one(
    kind: str, autoencoder: str, trainer: Callable[..., Any], tmp_path: Path
) -> None:
    class Save(L.Callback):
        def on_train_epoch_end(self, fit: L.Trainer, *_: Any) -> None:
            fit.save_checkpoint(tmp_path / f"{fit.current_epoch}.ckpt")

    def run(**rest: Any) -> dict[str, Tensor]:
        extra = {"cache_latents": True, "prompt_dropout": 0.5} if kind == "diffusion" else {}
        model = build(kind, autoencoder, **extra)
        torch.manual_seed(len(rest))  # another process has another generator state
        fit = trainer(max_epochs=3, callbacks=[WeightAverage(decay=0.5), Save()], limit_val_batches=0)
        fit.fit(model, batches(2), **rest)
        return model.state_dict()

    straight = run()
    resumed = run(ckpt_path=tmp_path / "0.ckpt")
    for name, value in straight.items():
        assert torch.equal(value, resumed[name]), name


# ---------------------------------------------------------------------------------------------- variational
def test_the_kl_is_that_of_two_normal_distributions() -> None:
    from torch.distributions import Normal, kl_divergence

    model = build("variational", "", learned_prior=True)
    for parameter in model.prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    mean, log_variance, pooled = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 16)
    centre, spread = model.prior(pooled)
    posterior, prior = (Normal(m, (0.5 * v).exp()) for m, v in ((mean, log_variance), (centre, spread)))
    torch.testing.assert_close(model._kl(mean, log_variance, pooled), kl_divergence(posterior, prior))
    plain = build("variational", "")
    expected = kl_divergence(posterior, Normal(0.0, 1.0))
    torch.testing.assert_close(plain._kl(mean, log_variance, pooled), expected)


def test_the_prior_learns_where_the_latents_of_a_report_lie() -> None:
    prior = build("variational", "", learned_prior=True).prior
    pooled, mean = torch.randn(2, 16), torch.tensor([[1.0, -1, 0, 2], [-1, 1, 2, 0]])
    assert all(torch.equal(part, torch.zeros(2, 4)) for part in prior(pooled)), "begins as standard normal"
    model = build("variational", "", learned_prior=True)
    optimizer = torch.optim.Adam(model.prior.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        model._kl(mean, torch.full((2, 4), -1.0), pooled).sum().backward()
        optimizer.step()
    centre, spread = model.prior(pooled)
    torch.testing.assert_close(centre, mean, rtol=0, atol=0.1)
    torch.testing.assert_close(spread, torch.full((2, 4), -1.0), rtol=0, atol=0.2)


def test_free_bits_are_a_floor_of_every_entry_s_kl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConditionalVAE, "_logged", lambda self, stage, count, **figures: figures)
    batch, losses = next(iter(batches())), {}
    kl = torch.tensor([[0.1, 0.3, 2.0, 4.0]] * 4)
    for free in (0.0, 0.5):
        model = build("variational", "", learned_prior=True, free_bits=free)
        monkeypatch.setattr(model, "_kl", lambda *_: kl)
        with seeded(model.device, 0):
            losses[free] = float(model._loss(batch, "val"))
    floor = (0.5 + 0.5 + 2.0 + 4.0) - float(kl[0].sum())
    assert losses[0.5] - losses[0.0] == pytest.approx(floor / 256, rel=1e-3)
    with pytest.raises(ValueError, match="free_bits=-1: give 0 or more"):
        build("variational", "", free_bits=-1)


# ----------------------------------------------------------------------------------------------- diffusion
def test_steps_are_weighed_by_min_snr(autoencoder: str) -> None:
    model = build("diffusion", autoencoder, min_snr=5.0)
    alpha = model.scheduler.alphas_cumprod
    steps = torch.tensor([0, 300, 700, 999])
    snr = alpha[steps] / (1 - alpha[steps])
    torch.testing.assert_close(model._weights(steps, "epsilon"), torch.where(snr > 5, 5 / snr, 1.0))
    weights = model._weights(steps, "v_prediction")
    torch.testing.assert_close(weights, (snr + 1).clamp(max=5) / (snr + 1))
    assert float(alpha[-1]) == pytest.approx(0, abs=1e-6) and float(weights[-1]) == pytest.approx(1)
    plain = build("diffusion", autoencoder, min_snr=None)
    assert torch.equal(plain._weights(steps, "v_prediction"), torch.ones(4))
    # The same loss: the velocity's error is that of the clean latents times SNR + 1.
    torch.testing.assert_close(model._weights(steps, "sample"), weights * (snr + 1))


def test_prompts_are_emptied_as_often_as_asked(autoencoder: str, trainer: Callable[..., Any]) -> None:
    seen: list[str] = []
    model = build("diffusion", autoencoder, prompt_dropout=0.25)
    model.report_encoder.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs[0]))
    trainer(max_epochs=40, limit_val_batches=0).fit(model, batches(4))
    assert set(seen) == {"", "Effusion.", "Normal."}
    assert seen.count("") / len(seen) == pytest.approx(0.25, abs=0.05)


CODE = PatchCode(4, scale=2.0)
POOLED = {**tiny.UNET, "addition_embed_type": "text", "addition_embed_type_num_heads": 4}


def test_a_flow_is_learned_from_noise_to_image(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("diffusion", None, code=CODE, image_size=16, flow=True)
    latents, steps = CODE.encode(next(iter(batches()))["image"]), torch.tensor([0, 300, 700, 999])
    seen: list[Tensor] = []

    def perfect(noisy: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        seen.append(times)
        return (noisy - latents) / (times / 1000)[:, None, None, None]

    monkeypatch.setattr(model, "_predicted", perfect)
    assert float(model._loss(latents, ["a"] * 4, steps)[0]) == pytest.approx(0, abs=1e-4)
    torch.testing.assert_close(seen[0], torch.tensor([1000.0, 700, 300, 1]))
    drawn = model._drawn_steps(4000).double()
    assert 0 <= drawn.min() and drawn.max() <= 999
    assert drawn.median() == pytest.approx(500, abs=25) and ((drawn - 500).abs() < 250).double().mean() > 0.7


def test_clean_latents_are_learned_and_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_modules.generators.stable_diffusion import sampling_schedule

    model = build("diffusion", None, code=CODE, image_size=16, prediction="sample")
    latents, steps = CODE.encode(next(iter(batches()))["image"]), torch.tensor([0, 300, 700, 999])
    monkeypatch.setattr(model, "_predicted", lambda *_: latents + 0.1)
    expected = (0.01 * model._weights(steps, "sample")).mean()
    assert float(model._loss(latents, ["a"] * 4, steps)[0]) == pytest.approx(float(expected), rel=1e-4)
    schedule = sampling_schedule(model.scheduler)
    schedule.set_timesteps(4)
    drawn = torch.randn(latents.shape)
    for time in schedule.timesteps:
        drawn = schedule.step(latents, time, drawn).prev_sample
    torch.testing.assert_close(drawn, latents, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    "kind",
    [{"flow": True}, {}, {"prediction": "sample"}],
    ids=["flow", "velocity", "sample"],
)
def test_a_pipeline_without_autoencoder_opens_draws_and_is_trained_on(
    kind: dict[str, Any], tmp_path: Path, trainer: Callable[..., Any]
) -> None:
    from diffusers import StableDiffusionPipeline

    parts = {"code": CODE, "image_size": 16, "unet": POOLED, **kind}
    model = build("diffusion", None, prompt_dropout=0.2, **parts)
    before = model.unet.add_embedding.proj.weight.clone()
    trainer(max_steps=2, limit_val_batches=0).fit(model, batches())
    assert not torch.equal(model.unet.add_embedding.proj.weight, before), "the pooled report is learned"
    kinds = {type(processor).__name__ for processor in model.unet.attn_processors.values()}
    assert kinds == {"AttnProcessor"}, "the faster one on a CPU; what it computes is compared below"
    model.eval().export(tmp_path / "export")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "export", vae=None)
    assert_holds(model.state_dict(), "unet.", pipeline.unet)
    case, report = Case(()), Report("Clear lungs.", "Normal.")
    maker = DiffusionImageMaker(tmp_path / "export", image_size=16, steps=3, guidance_scale=2.0)
    image = maker.make([case], [report], [7]).images
    noise = torch.Generator().manual_seed(int(generator(7, "diffusion").integers(2**63)))
    drawn = pipeline(
        "Normal.", num_inference_steps=3, guidance_scale=2.0, generator=noise, output_type="latent"
    ).images
    torch.testing.assert_close(image, CODE.decode(drawn).clamp(0, 1), rtol=1e-4, atol=1e-4)
    larger = DiffusionImageMaker(tmp_path / "export", image_size=32, native_size=32, steps=1)
    assert larger.make([case], [report], [7]).images.shape == (1, 1, 32, 32)

    encoder = ReportEncoder(pretrained=str(tmp_path / "export"), frozen=True)
    again = LatentDiffusion(encoder, pretrained=str(tmp_path / "export"), image_size=16)
    assert (again.code, again.flow) == (CODE, "flow" in kind)
    assert_holds(model.state_dict(), "unet.", again.unet)
    batch = next(iter(batches()))
    torch.testing.assert_close(again._latents(again._moments(batch)), CODE.encode(batch["image"]))
    steps = torch.tensor([1, 300, 700, 998])
    losses = []
    for one in (model, again.eval()):
        torch.manual_seed(0)
        losses.append(float(one._loss(CODE.encode(batch["image"]), ["normal"] * 4, steps)[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4), "schedule and prediction are those of the first"


def test_a_flow_is_drawn_along(tmp_path: Path) -> None:
    from lightning_modules.generators.stable_diffusion import sampling_schedule, untrained_schedule

    schedule, image = sampling_schedule(untrained_schedule(True, "velocity")), torch.randn(2, 3, 4, 4)
    schedule.set_timesteps(8)
    latents = torch.randn(2, 3, 4, 4) * schedule.init_noise_sigma
    for time in schedule.timesteps:
        latents = schedule.step((latents - image) / (time / 1000), time, latents).prev_sample
    torch.testing.assert_close(latents, image, rtol=0, atol=0.02)


def test_conditions_that_the_pipeline_does_not_give_are_refused() -> None:
    parts = {"code": CODE, "image_size": 16}
    for given, message in {
        "class_embed_type": "unet.class_embed_type is 'timestep': StableDiffusionPipeline gives",
        "addition_embed_type": "unet.addition_embed_type is 'image': .* give 'text'",
    }.items():
        kind = message.split("'")[1]
        with pytest.raises(ValueError, match=message):
            build("diffusion", None, unet={**tiny.UNET, given: kind}, **parts)
    with pytest.raises(ValueError, match=r"num_heads is 64 .* does not divide the 16 numbers"):
        build("diffusion", None, unet={**tiny.UNET, "addition_embed_type": "text"}, **parts)
    with pytest.raises(ValueError, match="a code and no autoencoder"):
        build("diffusion", "directory", code=CODE, image_size=16)
    with pytest.raises(ValueError, match="give image_size"):
        build("diffusion", None, code=CODE)
    with pytest.raises(ValueError, match="code, flow and prediction are for a UNet from scratch"):
        LatentDiffusion(reports(), pretrained="directory", flow=True)
    with pytest.raises(ValueError, match="flow has a prediction of its own, but prediction is 'sample'"):
        build("diffusion", None, flow=True, prediction="sample", **parts)


def test_a_cached_latent_is_the_one_computed() -> None:
    calls: list[int] = []

    def compute(batch: Tensor) -> Tensor:
        calls.append(len(batch))
        return batch / 3

    cache, images = LatentCache(), torch.rand(3, 2)
    first = cache(torch.tensor([5, 6, 7]), compute, images)
    again = cache(torch.tensor([7, 5]), compute, images[[2, 0]])
    assert calls == [3] and torch.equal(again, first[[2, 0]])
    torch.testing.assert_close(first.float(), images / 3, rtol=1e-3, atol=1e-3)


def test_latents_of_augmented_images_are_not_cached(autoencoder: str, trainer: Callable[..., Any]) -> None:
    class Augmented(KnownData):
        augmented, train_dataloader = True, staticmethod(batches)

    with pytest.raises(ValueError, match="augmentation to null, or cache_latents to false"):
        trainer(max_epochs=1).fit(build("diffusion", autoencoder, cache_latents=True), Augmented())


@pytest.mark.parametrize("rank", [None, 2], ids=["all weights", "low rank"])
def test_a_stable_diffusion_directory_is_fine_tuned(
    rank: int | None, tmp_path: Path, trainer: Callable[..., Any]
) -> None:
    from diffusers import StableDiffusionPipeline

    given = str(tiny.stable_diffusion(tmp_path / "given"))
    encoder = ReportEncoder(pretrained=given, frozen=True, max_length=77)
    assert encoder.max_length == 16  # that of its tokenizer
    model = LatentDiffusion(
        encoder, pretrained=given, image_size=16, lora_rank=rank, warmup=0, learning_rate=1e-2
    )
    trainer(max_epochs=2, limit_val_batches=0).fit(model, batches())
    model.export(tmp_path / "export")
    before = StableDiffusionPipeline.from_pretrained(given)
    after = StableDiffusionPipeline.from_pretrained(tmp_path / "export")
    assert_holds(before.text_encoder.state_dict(), "", after.text_encoder)
    assert_holds(before.vae.state_dict(), "", after.vae)
    assert (before.unet.config.sample_size, after.unet.config.sample_size) == (16, 8)
    moved = {
        name
        for name, v in after.unet.state_dict().items()
        if not torch.equal(v, before.unet.state_dict()[name])
    }
    inputs = torch.randn(2, 4, 16, 16), torch.tensor([5, 9]), torch.randn(2, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            after.unet(*inputs).sample, model.unet(*inputs).sample, rtol=1e-4, atol=1e-4
        )
    if rank is None:
        assert len(moved) > 0.9 * len(after.unet.state_dict())
        return
    assert moved and all(name.split(".")[-2] in ("to_q", "to_k", "to_v", "0") for name in moved)
    before.load_lora_weights(tmp_path / "export" / "lora", weight_name="pytorch_lora_weights.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(
            before.unet(*inputs).sample, model.unet(*inputs).sample, rtol=1e-4, atol=1e-4
        )


# ------------------------------------------------------------------------------------------------- prompts
def test_sections_of_a_text() -> None:
    assert section_of(TEXTS[0], "impression") == "Effusion."
    assert section_of(TEXTS[0], "findings") == "Large left effusion."
    assert section_of(TEXTS[0], "report") == TEXTS[0]
    assert section_of("FINDINGS: Clear.", "findings") == "Clear."
    assert section_of("FINDINGS: Clear.", "impression") == "FINDINGS: Clear."  # nothing better to go by
    assert section_of("no headings", "impression") == section_of("no headings", "findings") == "no headings"


def test_findings_impression_or_both_are_read_and_cut_alike(trainer: Callable[..., Any]) -> None:
    read: dict[str, list[str]] = {}
    for section in ("findings", "impression", "report"):
        model = build("variational", "", section=section)
        model.report_encoder.tokenizer = reports(max_length=7).tokenizer
        fit = trainer(max_steps=1, limit_val_batches=0)
        fit.fit(model, batches())
        batch = {"report": [TEXTS[0], "FINDINGS: Clear. Lungs clear a b a b. IMPRESSION: Normal."]}
        read[section] = model.prompts(batch)
        tokens, _ = model.report_encoder.eval()(["Clear. Lungs clear a b a b."])
        torch.testing.assert_close(tokens, model.report_encoder(["Clear."])[0])
        assert float(fit.callback_metrics["train/prompts_cut"]) == (0.0 if section != "report" else 1.0)
    assert read["findings"] == ["Large left effusion.", "Clear. Lungs clear a b a b."]
    assert read["impression"] == ["Effusion.", "Normal."]
    assert read["report"][0] == TEXTS[0]
    empty = {"report": ["FINDINGS: a.", "  "], "index": torch.tensor([3, 17])}
    with pytest.raises(ValueError, match=r"the report at index 17 is empty, and so is its prompt"):
        model.prompts(empty)


def test_labels_alone_do(trainer: Callable[..., Any], tmp_path: Path) -> None:
    assert concepts_prompt(("edema", "pleural_effusion", "mass"), [1.0, 1.0, float("nan")]) == (
        "edema, pleural effusion"
    )
    seen: list[str] = []

    def untrained() -> Any:
        model = build("variational", "", section="concepts")
        model.report_encoder.tokenizer = None
        return model

    model = untrained()
    model.report_encoder.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs[0]))
    samples = [{"image": torch.rand(1, 16, 16), "labels": torch.tensor([1.0, float(i)])} for i in range(2)]

    class Labelled(KnownData):
        concept_names = ("mass", "pleural_effusion")

        def train_dataloader(self) -> DataLoader[Any]:
            return DataLoader(samples, batch_size=2)  # type: ignore[arg-type]

    fit = trainer(max_epochs=1)
    fit.fit(model, Labelled())
    assert seen == ["mass", "mass, pleural effusion"]
    assert model.report_encoder.tokenizer.tokenize(seen[1]) == ["mass", ",", "pleural", "effusion"]

    model.report_encoder.tokenizer = tokenizer()  # as if it had been trained on pairs, with their tokenizer
    fit.save_checkpoint(tmp_path / "pairs.ckpt")
    resumed = untrained()
    trainer(max_epochs=2).fit(resumed, Labelled(), ckpt_path=tmp_path / "pairs.ckpt")
    assert resumed.report_encoder.tokenizer.get_vocab() == tokenizer().get_vocab()


def test_what_cannot_work_is_refused(autoencoder: str, trainer: Callable[..., Any], tmp_path: Path) -> None:
    images = DataLoader([{"image": torch.rand(1, 16, 16)}], batch_size=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="set section to 'concepts'"):
        trainer(max_epochs=1).fit(build("variational", ""), images)
    with pytest.raises(ValueError, match="image_size is 60: give 4 times a power of two"):
        ConditionalVAE(reports(), image_size=60)
    with pytest.raises(ValueError, match=r"either unet .* or pretrained"):
        LatentDiffusion(reports(), autoencoder)
    with pytest.raises(ValueError, match="no pretrained UNet"):
        LatentDiffusion(reports(), autoencoder, unet=tiny.UNET, lora_rank=4)
    with pytest.raises(FileNotFoundError, match="train one with"):
        LatentDiffusion(reports(), str(tmp_path), unet=tiny.UNET)
    with pytest.raises(ValueError, match="set its vocab_size to 14 or more"):
        reports(vocab_size=12)
    with pytest.raises(ValueError, match="trained at 16 px: set image_size to 16"):
        LatentDiffusion(reports(), autoencoder, unet=tiny.UNET, image_size=32)
    with pytest.raises(RuntimeError, match="no tokenizer: `fit` takes the data's"):
        ReportEncoder(vocab_size=16, width=16)(["a"])


@pytest.mark.parametrize("kind", [*KINDS, "code"])
def test_images_of_another_size_are_refused(kind: str, autoencoder: str, trainer: Callable[..., Any]) -> None:
    parts = {"code": CODE, "image_size": 16} if kind == "code" else {}
    model = build("diffusion", None, **parts) if parts else build(kind, autoencoder)
    samples = [{"image": torch.rand(1, 32, 32), "index": torch.tensor(0), "report": TEXTS[0]}]
    loader = DataLoader(samples, batch_size=1)  # type: ignore[arg-type]
    message = r"draws images of 16×16 px, but the data holds images of 32×32 px.*image_size"
    with pytest.raises(ValueError, match=message):
        trainer(max_steps=1, limit_val_batches=0).fit(model, loader)
    with pytest.raises(ValueError, match=message):
        trainer().validate(model, loader, verbose=False)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_stops_training_and_is_not_exported(
    kind: str, autoencoder: str, trainer: Callable[..., Any], tmp_path: Path
) -> None:
    model, place = build(kind, autoencoder), tmp_path / "export"
    samples = [{"image": torch.full((1, 16, 16), torch.nan), "index": torch.tensor(7), "report": TEXTS[0]}]
    loader = DataLoader(samples, batch_size=1)  # type: ignore[arg-type]
    fit = trainer(max_steps=4, limit_val_batches=0, callbacks=[GeneratorExport(), NonFiniteGuard()])
    with pytest.raises(NonFiniteError, match=r"in step 0 .* samples \[7\]"):
        fit.fit(model, loader)
    assert not list(tmp_path.rglob("export"))
    export(model, place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    next(iter(model.parameters())).data.view(-1)[0] = torch.inf
    with pytest.raises(NonFiniteError, match=r"nothing is exported, and .*export is as it was"):
        export(model, place)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


# --------------------------------------------------------------------------------------------- GPU layers
GPU = "configs/generator/scales/gpu.yaml"


@pytest.mark.parametrize("name", ["adversarial", "autoencoder"])
def test_the_gpu_layer_lies_over_every_generator(name: str) -> None:
    config = resolved_config("fit", "-c", BASE, "-c", f"configs/generator/{name}.yaml", "-c", GPU)
    data = config["data"]["init_args"]
    maker = data["synthesizer"]["init_args"]["image_maker"]["init_args"]
    assert (maker["image_size"], maker["device"], data["cache_dir"]) == (256, "cuda", None)
    assert config["model"]["init_args"]["image_size"] == 256
    assert (data["loader"]["batch_size"], config["trainer"]["precision"]) == (128, "bf16-mixed")
    names = [entry["class_path"].rpartition(".")[2] for entry in config["trainer"]["callbacks"]]
    assert "GeneratorExport" in names and "MatmulPrecision" in names


def test_the_gpu_layers_of_the_diffusion_take_their_first_steps_at_tiny_size(tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    layers = ["latent_diffusion", "prompts/findings", "scales/gpu", "scales/gpu_diffusion"]
    args = [word for layer in layers for word in ("-c", f"configs/generator/{layer}.yaml")]
    data = {"train_pairs": 8, "val_pairs": 4, "loader.batch_size": 4, "loader.ahead": False}
    data |= {"tokenizer_reports": 100, "artifacts_dir": tmp_path}
    data |= {"synthesizer.init_args.image_maker.init_args.device": "cpu"}
    args += [f"--data.init_args.{name}={value}" for name, value in data.items()]
    args += ["--model.init_args.image_size=64", f"--model.init_args.unet={json.dumps(POOLED)}"]
    args += [f"--model.init_args.report_encoder.init_args.{k}" for k in ("width=16", "layers=1")]
    args += ["--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.logger=false"]
    main(["fit", "-c", BASE, *args, f"--run_dir={tmp_path / 'run'}"])
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "run" / "export", vae=None)
    assert (pipeline.unet.config.sample_size, pipeline.unet.config.in_channels) == (8, 64)
