"""Image makers that load a trained generator from a directory."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules import ConditionalGAN, ConditionalVAE, ReportEncoder
from main import main
from synthesis.cases import BalancedCaseSampler, Case
from synthesis.concepts import ConceptCatalog
from synthesis.images.adversarial import AdversarialImageMaker
from synthesis.images.diffusion import DiffusionImageMaker
from synthesis.images.image_maker import ImageMaker
from synthesis.images.prompts import prompts
from synthesis.images.variational import VariationalImageMaker
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.report import Report
from synthesis.seeding import pair_seed

ROOT = Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("tiny_generators", ROOT / "tests" / "tiny_generators.py")
assert SPEC is not None and SPEC.loader is not None
tiny = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny)

TOLERANCE = {"variational": 1e-4, "adversarial": 1e-4, "diffusion": 2e-3}
MAKERS: dict[str, Any] = {
    "variational": VariationalImageMaker,
    "adversarial": AdversarialImageMaker,
    "diffusion": DiffusionImageMaker,
}
DIFFUSION = {"steps": 2, "image_size": 64}


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("exports")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"image_size": 64, "latent_dim": 8, "width": 8}
    text = {"vocab_size": 64, "width": 16, "layers": 1, "max_length": 16}
    from transformers import BertTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz."]
    pieces += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    tokenizer = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(pieces)})
    for name, kind in {"variational": ConditionalVAE, "adversarial": ConditionalGAN}.items():
        encoder = ReportEncoder(**text)
        encoder.take_tokenizer(tokenizer)
        kind(encoder, **sizes).export(out / name)
    encoder = ReportEncoder(**text)
    encoder.take_tokenizer(tokenizer)
    with_prior = ConditionalVAE(encoder, **sizes, learned_prior=True)
    for parameter in with_prior.prior.parameters():  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter, std=0.5)
    with_prior.export(out / "prior")
    return {
        "prior": out / "prior",
        "variational": out / "variational",
        "adversarial": out / "adversarial",
        "diffusion": tiny.stable_diffusion(out / "diffusion"),
    }


@pytest.fixture(scope="module")
def asked() -> tuple[list[Case], list[Report], list[int]]:
    sampler = BalancedCaseSampler()
    cases = [sampler.sample(0, "test", i) for i in range(5)]
    seeds = [pair_seed(0, "test", i) for i in range(5)]
    return cases, GrammarWriter().write(cases, seeds), seeds


def maker(name: str, directories: dict[str, Path], **kwargs: Any) -> Any:
    extra = DIFFUSION if name == "diffusion" else {}
    return MAKERS[name](directory=directories[name], **{**extra, **kwargs})


@pytest.mark.parametrize("name", MAKERS)
def test_an_image_depends_on_its_seed_and_prompt_but_not_on_its_batch(
    name: str, directories: dict[str, Path], asked: Any
) -> None:
    cases, reports, seeds = asked
    one = maker(name, directories)
    assert isinstance(one, ImageMaker)
    whole = one.make(cases, reports, seeds)
    assert whole.images.shape == (5, 1, 64, 64) and whole.images.dtype == torch.float32
    assert whole.masks is None and whole.cases == tuple(cases)
    assert 0 <= float(whole.images.min()) and float(whole.images.max()) <= 1
    chunks = maker(name, directories, batch_size=2).make(cases, reports, seeds).images
    alone = one.make(cases[3:4], reports[3:4], seeds[3:4]).images
    torch.manual_seed(99)  # no global state
    assert (chunks - whole.images).abs().max() <= TOLERANCE[name]
    assert (alone - whole.images[3:4]).abs().max() <= TOLERANCE[name]
    other_seed = one.make(cases[:1], reports[:1], [seeds[0] + 1]).images
    other_text = one.make(cases[:1], reports[1:2], seeds[:1]).images
    for other in (other_seed, other_text):
        assert (other - whole.images[:1]).abs().max() > 3 * TOLERANCE[name]
    assert one.make([], [], []).images.shape == (0, 1, 64, 64)


@pytest.mark.parametrize("name", MAKERS)
def test_a_maker_goes_to_another_process_without_its_networks(
    name: str, directories: dict[str, Path], asked: Any
) -> None:
    one = maker(name, directories)
    cases, reports, seeds = (part[:1] for part in asked)
    image = one.make(cases, reports, seeds).images
    sent = pickle.dumps(one)
    assert len(sent) < 300_000  # no weights
    assert torch.equal(pickle.loads(sent).make(cases, reports, seeds).images, image)


@pytest.mark.parametrize("name", MAKERS)
def test_the_fingerprint_follows_weights_and_settings(
    name: str, directories: dict[str, Path], tmp_path: Path
) -> None:
    first = maker(name, directories).describe()
    assert json.loads(json.dumps(first)) == first
    assert maker(name, directories, batch_size=3).describe() == first  # no part of an image
    assert maker(name, directories, section="findings").describe() != first
    if name == "diffusion":
        other = {"diffusion": tiny.stable_diffusion(tmp_path / "other", seed=1)}
        assert maker(name, other).describe()["sha256"] != first["sha256"]
        for change in ({"steps": 3}, {"guidance_scale": 7.5}, {"scheduler": "DDIMScheduler"}):
            assert maker(name, directories, **change).describe() != first


@pytest.mark.parametrize(
    "change",
    [
        {"guidance_scale": 9.0},
        {"negative_prompt": "blurred"},
        {"guidance_rescale": 0.7},
        {"native_size": 48},
        {"scheduler": "DDIMScheduler"},
        {"scheduler": "EulerAncestralDiscreteScheduler"},  # draws noise at every step
        {"section": "findings"},
    ],
    ids=str,
)
def test_settings_of_the_diffusion_reach_the_image_and_keep_it_independent_of_its_batch(
    change: dict[str, Any], directories: dict[str, Path], asked: Any
) -> None:
    cases, reports, seeds = (part[:3] for part in asked)
    plain = maker("diffusion", directories).make(cases, reports, seeds).images
    changed = maker("diffusion", directories, **change)
    images = changed.make(cases, reports, seeds).images
    assert (images - plain).abs().max() > 1e-3
    alone = changed.make(cases[1:2], reports[1:2], seeds[1:2]).images
    assert (alone - images[1:2]).abs().max() <= TOLERANCE["diffusion"]


def test_a_latent_consistency_model_is_a_maker_too(tmp_path: Path, asked: Any) -> None:
    cases, reports, seeds = (part[:3] for part in asked)
    directory = tiny.latent_consistency(tmp_path)
    one = DiffusionImageMaker(directory, image_size=32, steps=2, guidance_scale=3.0)
    images = one.make(cases, reports, seeds).images
    assert images.shape == (3, 1, 32, 32) and images.std() > 0
    alone = one.make(cases[2:], reports[2:], seeds[2:]).images
    assert (alone - images[2:]).abs().max() <= TOLERANCE["diffusion"]
    with pytest.raises(ValueError, match="negative_prompt: the LatentConsistencyModelPipeline of"):
        DiffusionImageMaker(directory, negative_prompt="blurred").make(cases, reports, seeds)


def test_truncation_and_temperature_act_on_the_latent(directories: dict[str, Path]) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    truncated = maker("adversarial", directories, truncation=0.5).latent(rng, 2000)
    assert np.abs(truncated).max() <= 0.5 and truncated.std() > 0.2
    cold = maker("variational", directories, temperature=0.5).latent(rng, 2000)
    assert cold.std() == pytest.approx(0.5, rel=0.1)


@torch.no_grad()
def test_latents_come_from_the_prior_of_the_report(
    directories: dict[str, Path], tmp_path: Path, asked: Any
) -> None:
    from safetensors.torch import load_file, save_file

    export = shutil.copytree(directories["prior"], tmp_path / "export")
    weights, settings = export / "prior.safetensors", export / "generator.json"
    one = VariationalImageMaker(directory=export)
    images = one.make(*asked).images
    assert torch.equal(pickle.loads(pickle.dumps(one)).make(*asked).images, images)
    latents, pooled = torch.randn(3, 8), torch.randn(3, 16)
    layers = load_file(weights)
    first, second = ([v for k, v in layers.items() if k.startswith(n)] for n in ("hidden_0", "output"))
    bias, weight = sorted(first, key=torch.Tensor.dim)
    hidden = torch.nn.functional.silu(pooled @ weight.T + bias)
    bias, weight = sorted(second, key=torch.Tensor.dim)
    mean, spread = (hidden @ weight.T + bias).chunk(2, 1)
    torch.testing.assert_close(
        one.placed(latents, pooled), mean + latents * (0.5 * spread.clamp(-6, 6)).exp()
    )

    known = json.loads(settings.read_text())
    settings.write_text(json.dumps({name: value for name, value in known.items() if name != "prior"}))
    plain = VariationalImageMaker(directory=export)  # as exports without a learned prior are
    assert torch.equal(plain.placed(latents, pooled), latents)
    assert not torch.equal(plain.make(*asked).images, images)
    settings.write_text(json.dumps(known))
    save_file({name: torch.zeros_like(value) for name, value in layers.items()}, weights)
    zero = VariationalImageMaker(directory=export).make(*asked).images
    assert torch.equal(zero, plain.make(*asked).images), "a prior of zeros is the standard normal"
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"tells of a prior, but holds no prior\.safetensors; copy"):
        VariationalImageMaker(directory=export)


@pytest.mark.parametrize("name", MAKERS)
def test_what_no_text_encoder_reads_changes_nothing(
    name: str, directories: dict[str, Path], asked: Any
) -> None:
    case, seed, one = asked[0][:1], asked[2][:1], maker(name, directories, section="findings")
    short, long = Report("Clear.", ""), Report("Clear. Abnormality.", "")  # 16 tokens, letter by letter
    assert torch.equal(one.make(case, [short], seed).images, one.make(case, [long], seed).images)
    assert (one.prompt_length.read, one.prompt_length.cut) == (2, 1)


def test_prompts(asked: Any, catalog: ConceptCatalog) -> None:
    cases, reports, _ = asked
    assert prompts("impression", cases, reports, catalog) == [r.impression for r in reports]
    assert prompts("findings", cases, reports, catalog) == [r.findings for r in reports]
    assert prompts("report", cases, reports, catalog) == [r.text for r in reports]
    assert prompts("concepts", [Case(())], None, catalog) == ["no finding"]
    assert prompts("impression", cases[:1], [Report("Clear.", "")], catalog) == ["FINDINGS: Clear."]
    assert prompts("impression", cases[:1], [Report("", "")], catalog) == [""]  # the writer gave it up
    with pytest.raises(ValueError, match=r"report 1 of 2 is blank \(Report\(findings=' '"):
        prompts("impression", cases[:2], [reports[0], Report(" ", "")], catalog)
    with pytest.raises(ValueError, match="needs reports"):
        prompts("impression", cases, None, catalog)


def test_what_cannot_work_is_refused(directories: dict[str, Path], tmp_path: Path, asked: Any) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no directory with a model_index\.json"):
        DiffusionImageMaker(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds no generator\.json"):
        VariationalImageMaker(directory=tmp_path)
    with pytest.raises(ValueError, match="says kind 'adversarial', this image maker draws 'variational'"):
        VariationalImageMaker(directory=directories["adversarial"])
    with pytest.raises(ValueError, match="diffusers has no such class"):
        maker("diffusion", directories, scheduler="NoScheduler").make(*asked)
    with pytest.raises(ValueError, match="guidance_scale=0: give more than 0"):
        maker("diffusion", directories, guidance_scale=0)
    undropped = shutil.copytree(directories["diffusion"], tmp_path / "undropped")
    (undropped / "generator.json").write_text('{"kind": "diffusion", "prompt_dropout": 0.0}')
    with pytest.raises(ValueError, match="does not know the empty prompt: set guidance_scale to 1"):
        DiffusionImageMaker(undropped, guidance_scale=2.0)
    DiffusionImageMaker(undropped, guidance_scale=1.0)
    with pytest.raises(ValueError, match=r"negative_prompt='blurred' acts through guidance, .*=1.0 is none"):
        maker("diffusion", directories, guidance_scale=1.0, negative_prompt="blurred")
    with pytest.raises(ValueError, match="steps=0: give 1 or more"):
        maker("diffusion", directories, steps=0)


@pytest.mark.parametrize("cached", [False, True], ids=["on the fly", "through the cache"])
def test_pairs_with_diffused_images_are_trained_on(
    cached: bool, directories: dict[str, Path], tmp_path: Path
) -> None:
    os.chdir(ROOT)
    where = "--data.init_args.synthesizer.init_args.image_maker.init_args"
    data = {"train_pairs": 8, "val_pairs": 2, "test_pairs": 2}
    data |= {"loader.epoch_size": 8, "loader.batch_size": 4}
    data |= {"artifacts_dir": tmp_path / "artifacts", "cache_dir": tmp_path / "cache" if cached else "null"}
    line = main(
        [
            *("fit", "-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml"),
            *("-c", "configs/data/diffusion.yaml", "--trainer.callbacks=null", "--trainer.logger=false"),
            *("--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"),
            *(f"--data.init_args.{name}={value}" for name, value in data.items()),
            f"{where}.directory={directories['diffusion']}",
            f"{where}.steps=1",
            "--model.init_args.image_encoder.init_args.image_size=64",
            f"--run_dir={tmp_path / 'run'}",
        ]
    )
    assert line.trainer.global_step == 2
    made = line.datamodule.synthesizer.make([1], 0, "train")[0]
    read = line.datamodule.source("train").samples([1])[0]
    assert (made.image.int() - read.image.int()).abs().max() <= 1  # 8 bits, made in another batch
    assert bool(list(tmp_path.glob("cache/*/train/manifest.json"))) == cached
