"""Generators on a user's own radiographs: configs/generator/data over the presets of configs/data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_modules import ConditionalVAE
from main import main
from scripts.resolved_config import resolved_config
from synthesis.cases import BalancedCaseSampler
from synthesis.images.adversarial import AdversarialImageMaker
from synthesis.images.diffusion import DiffusionImageMaker
from synthesis.images.variational import VariationalImageMaker
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.report import Report
from tests.datamodules.tables import fake_data_sets
from tests.nih_table import nih_rows, write_image, write_table

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = ("variational", "adversarial", "autoencoder", "latent_diffusion", "stable_diffusion")
REPORTS = ("chexpert_plus", "mimic_cxr", "open_i")
LABELS = (
    "chexpert", "covidx", "nih_chestxray14", "nih_chestxray14_official", "padchest", "rsna_pneumonia",
    "siim_pneumothorax", "vindr_cxr",
)  # fmt: skip
OF_TASKS = ("chestx_det10", "ms_cxr", "rad_restruct", "vqa_rad")  # questions, and boxes of what is drawn on
# Every preset with a generator that reads prompts and with one that does not; the others with one of each.
PAIRS = sorted(
    {(generator, preset) for generator in GENERATORS[1:3] for preset in REPORTS + LABELS}
    | {(generator, preset) for generator in GENERATORS for preset in ("nih_chestxray14", "open_i")}
)
TINY = ["trainer.max_steps=2", "trainer.accelerator=cpu", "trainer.logger=false"]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    os.chdir(ROOT)


@pytest.fixture(scope="module")
def nih(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels alone: two images each of 100 patients."""
    root, rows = tmp_path_factory.mktemp("nih"), nih_rows(200)
    write_table(root / "Data_Entry_2017_v2020.csv", rows)
    for i, row in enumerate(rows):
        write_image(root / "images" / row[0], i)
    return root


def layers(generator: str, preset: str) -> list[str]:
    over = "reports" if preset in REPORTS else "images" if generator == "autoencoder" else "labels"
    names = ("generator/base", f"generator/{generator}", f"data/{preset}", f"generator/data/{over}")
    return [word for name in names for word in ("-c", f"configs/{name}.yaml")]


def fit(generator: str, preset: str, root: Path, out: Path, *more: str) -> Any:
    """Two steps at 16 px by the shipped YAML; returns the command line after the run."""
    sizes = [
        "model.init_args.image_size=16",
        "data.init_args.loader.batch_size=4",
        "data.init_args.loader.num_workers=0",
    ]
    if generator != "autoencoder":
        sizes += [f"model.init_args.report_encoder.init_args.{size}" for size in ("width=16", "layers=1")]
    where = [f"data.init_args.image_root={root}", f"data.init_args.artifacts_dir={out / 'artifacts'}"]
    where.append(f"run_dir={out / generator}")
    values = (*TINY, *sizes, *where, *more)
    return main(["fit", *layers(generator, preset), *(f"--{value}" for value in values)])


def drawn(maker: Any) -> torch.Tensor:
    """What an image maker draws of one case with two seeds."""
    cases = [BalancedCaseSampler().sample(0, "test", 0)] * 2
    images: torch.Tensor = maker.make(cases, GrammarWriter().write(cases, [0, 1]), [0, 1]).images
    return images


@pytest.mark.parametrize("layer", ["images", "labels", "reports"])
def test_a_layer_says_how_to_use_it(layer: str) -> None:
    assert (ROOT / f"configs/generator/data/{layer}.yaml").read_text().startswith("# ")


def test_every_real_preset_is_tried() -> None:
    presets = {
        path.stem for path in (ROOT / "configs/data").glob("*.yaml") if "\n    origin:" in path.read_text()
    }
    assert presets == {*REPORTS, *LABELS, *OF_TASKS}


@pytest.mark.parametrize(("generator", "preset"), PAIRS)
def test_a_layer_fits_the_preset_and_the_generator(generator: str, preset: str) -> None:
    config = resolved_config(
        "fit", *layers(generator, preset), "--model.init_args.image_size=32", "--seed_everything=3"
    )
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    assert data["image_size"] == model["image_size"] == 32 and data["loader"]["seed"] == model["seed"] == 3
    assert data["views"]["augmentation"] is data["views"]["texts"] is None
    reads = preset in REPORTS
    if generator != "autoencoder":
        assert model["section"] == ("impression" if reads else "concepts")
        assert (
            not reads or data["tokenizer"]["vocab_size"] <= model["report_encoder"]["init_args"]["vocab_size"]
        )
    official = data["official"] or {split: True for split, share in data["splits"].items() if share}
    assert official["train"] and official["val"]


def test_labels_alone_train_a_generator(nih: Path, tmp_path: Path) -> None:
    sizes = ("model.init_args.width=8", "model.init_args.latent_dim=4")
    line = fit("variational", "nih_chestxray14", nih, tmp_path, *sizes)
    assert line.trainer.global_step == 2
    run = tmp_path / "variational"
    tokenizer = line.model.report_encoder.tokenizer
    words = tokenizer.tokenize("no finding, pleural effusion, ground glass opacity")
    assert words == ["no", "finding", ",", "pleural", "effusion", ",", "ground", "glass", "opacity"]
    stored = ConditionalVAE.load_from_checkpoint(run / "checkpoints" / "last.ckpt").report_encoder.tokenizer
    assert stored is not None and stored.get_vocab() == tokenizer.get_vocab()
    maker = VariationalImageMaker(directory=run / "export")
    assert maker.section == "concepts" and drawn(maker).shape == (2, 1, 16, 16)
    assert maker._loaded()[2].get_vocab() == tokenizer.get_vocab()


def test_labels_alone_train_both_stages_of_latent_diffusion(nih: Path, tmp_path: Path) -> None:
    fit("autoencoder", "nih_chestxray14", nih, tmp_path, "model.init_args.channels=[16, 16]")
    unet = (
        "{block_out_channels: [8, 8], down_block_types: [DownBlock2D, CrossAttnDownBlock2D], "
        "up_block_types: [CrossAttnUpBlock2D, UpBlock2D], layers_per_block: 1, attention_head_dim: 2, "
        "norm_num_groups: 4}"
    )
    first = f"model.init_args.autoencoder={tmp_path / 'autoencoder' / 'export'}"
    fit("latent_diffusion", "nih_chestxray14", nih, tmp_path, first, f"model.init_args.unet={unet}")
    maker = DiffusionImageMaker(tmp_path / "latent_diffusion" / "export", image_size=16, steps=1)
    assert maker.section == "concepts" and drawn(maker).shape == (2, 1, 16, 16)


def test_reports_train_a_generator(tmp_path: Path) -> None:
    fake_data_sets.open_i(tmp_path / "open_i")
    sizes = [f"model.init_args.{size}" for size in ("width=8", "discriminator_width=8", "latent_dim=4")]
    few = "data.init_args.splits={train: 0.5, val: 0.25, test: 0.25}"
    line = fit("adversarial", "open_i", tmp_path / "open_i", tmp_path, *sizes, few)
    assert line.datamodule.tokenizer.get_vocab() == line.model.report_encoder.tokenizer.get_vocab()
    maker = AdversarialImageMaker(directory=tmp_path / "adversarial" / "export")
    assert maker.section == "impression" and drawn(maker).shape == (2, 1, 16, 16)


def test_claims_of_reports_train_a_generator(tmp_path: Path) -> None:
    fake_data_sets.open_i(tmp_path / "open_i")
    sizes = [f"model.init_args.{size}" for size in ("width=8", "discriminator_width=8", "latent_dim=4")]
    few = "data.init_args.splits={train: 0.5, val: 0.25, test: 0.25}"
    over = "config=configs/generator/prompts/claims.yaml"
    line = fit("adversarial", "open_i", tmp_path / "open_i", tmp_path, over, *sizes, few)
    read = line.model.report_encoder.tokenizer.tokenize("left pleural effusion, large left pleural effusion")
    assert read == ["left pleural effusion", "large left pleural effusion"]
    maker = AdversarialImageMaker(directory=tmp_path / "adversarial" / "export")
    texts = (
        "There is a large left effusion.",
        "Large pleural effusion on the left.",
        "Large right effusion.",
    )
    cases = [BalancedCaseSampler().sample(0, "test", 0)] * 3
    left, reworded, right = maker.make(cases, [Report(text, "") for text in texts], [0] * 3).images
    assert maker.section == "claims" and torch.equal(left, reworded) and not torch.equal(left, right)
    rules = maker.describe()["catalog"]
    assert rules["reader"] == EntityExtractor.version and rules["cues_sha256"]
    batch = {"report": ["Clear.", ""], "claims": ["no finding"] * 2, "index": torch.tensor([3, 17])}
    with pytest.raises(ValueError, match="the report at index 17 is empty"):
        line.model.prompts(batch)
    with pytest.raises(ValueError, match="a batch has no 'claims'"):
        line.model.prompts({"report": ["Clear."]})
