"""`synvlp predict`: what stands in its files, for good and bad images, one process and several."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from callbacks.evaluations.zero_shot import prompt_directions
from datamodules.tables.image_file import read_radiograph
from lightning_modules.trained_encoder import trained_encoder
from scripts.command_line.words import run_word
from synthesis.concepts import ConceptCatalog
from synthesis.configuration import shipped
from tests.ddp import launch
from tests.radiograph_files import save, save_dicom

ENCODER = str(shipped("results/encoders/short"))
GOOD = ["a.png", "b.dcm", "deep/c.tif", "d.jpg", "no_suffix"]
BAD = {
    "blank.png": "blank",
    "empty.dcm": "empty file",
    "nan.tif": "not finite",
    "notes.txt": "unreadable",
    "truncated.png": "unreadable",
}
SINGLE = ["--trainer.accelerator=cpu", "--data.init_args.loader.num_workers=0"]


def noise(seed: int, kind: Any = np.uint8, top: int = 255) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, (40, 36)).astype(kind)


def write_images(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    save(folder / "a.png", noise(0))
    save_dicom(folder / "b.dcm", noise(1, np.uint16, 4000))
    save(folder / "deep" / "c.tif", noise(2).astype(np.float32))
    save(folder / "d.jpg", noise(3))
    save_dicom(folder / "no_suffix", noise(4, np.uint16, 4000))
    save(folder / "blank.png", np.full((40, 40), 9, np.uint8))
    (folder / "empty.dcm").write_bytes(b"")
    holed = noise(5).astype(np.float32)
    holed[3, 4] = np.nan
    save(folder / "nan.tif", holed)
    (folder / "notes.txt").write_text("no image")
    (folder / "truncated.png").write_bytes((folder / "a.png").read_bytes()[:300])
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images") / "scans")


@pytest.fixture(scope="module")
def predicted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run that asks for everything, over batches of two."""
    to = tmp_path_factory.mktemp("predicted")
    reports = to / "reports.csv"
    reports.write_text(
        "id,report\n1,Large left pleural effusion.\n2,The lungs are clear.\n3,No pneumothorax.\n"
    )
    words = [str(folder), "--to", str(to), "--concepts", "pneumothorax", "pleural effusion"]
    words += ["--prompts", "rib fracture; large heart | normal heart", "--maps", "Pleural_Effusion"]
    words += ["--embeddings", "npz", "parquet", "--reports", str(reports)]
    run_word("predict", [*words, *SINGLE, "--data.init_args.loader.batch_size=2"])
    return to / "predict"


NAMES = sorted(GOOD, key=lambda name: (name.startswith("deep"), name))


def test_every_good_image_has_a_row_in_order_and_every_bad_one_a_reason(predicted: Path) -> None:
    assert [row["image"] for row in rows(predicted / "scores.csv")] == NAMES
    bad = rows(predicted / "bad_files.csv")
    assert {row["image"]: row["kind"] for row in bad} == BAD
    assert all(row["image"] in row["reason"] for row in bad)
    assert not (predicted / "parts").exists()


def test_scores_are_those_of_the_zero_shot_evaluation(predicted: Path, folder: Path) -> None:
    model, catalog = trained_encoder(ENCODER), ConceptCatalog.load()
    sides = ("present", "absent")
    prompts = {
        name: dict(zip(sides, (list(c.prompts_present), list(c.prompts_absent)), strict=True))
        for name, c in ((name, catalog[name]) for name in ("pneumothorax", "pleural_effusion"))
    }
    prompts["rib fracture"] = {"present": ["rib fracture"], "absent": ["no rib fracture"]}
    prompts["large heart"] = {"present": ["large heart"], "absent": ["normal heart"]}
    pixels = torch.stack([read_radiograph(folder / name, 128) for name in NAMES]).float() / 255
    vectors = model.encode_image(pixels)
    scores = vectors.double() @ prompt_directions(model, prompts).T
    found = rows(predicted / "scores.csv")
    assert list(found[0]) == ["image", *prompts]
    read = np.array([[float(row[name]) for name in prompts] for row in found])
    np.testing.assert_allclose(read, scores.numpy(), atol=1e-5)
    likely = [[float(row[name]) for name in prompts] for row in rows(predicted / "probabilities.csv")]
    np.testing.assert_allclose(likely, 1 / (1 + np.exp(-read / model.temperature)), atol=1e-4)
    with np.load(predicted / "embeddings.npz") as arrays:
        assert arrays["image"].tolist() == NAMES
        np.testing.assert_allclose(arrays["embedding"], vectors.numpy(), atol=1e-5)
        embedded = arrays["embedding"]
    table = pyarrow.parquet.read_table(predicted / "embeddings.parquet")
    assert np.array_equal(np.array(table["embedding"].to_pylist(), np.float32), embedded)
    scored = pyarrow.parquet.read_table(predicted / "scores.parquet")
    np.testing.assert_allclose(scored["rib fracture"].to_numpy(), read[:, 2], atol=1e-6)


def test_the_nearest_reports_come_in_the_order_of_their_similarity(predicted: Path) -> None:
    found = rows(predicted / "nearest.csv")
    assert [row["image"] for row in found] == [name for name in NAMES for _ in range(3)]
    with np.load(predicted / "embeddings.npz") as arrays:
        vectors = arrays["embedding"]
    texts = ["Large left pleural effusion.", "The lungs are clear.", "No pneumothorax."]
    likeness = vectors @ trained_encoder(ENCODER).encode_text(texts).numpy().T
    for i in range(len(NAMES)):
        mine = found[3 * i : 3 * i + 3]
        assert [row["report"] for row in mine] == [texts[k] for k in np.argsort(-likeness[i])]
        assert [row["rank"] for row in mine] == ["1", "2", "3"]
        np.testing.assert_allclose(float(mine[0]["similarity"]), likeness[i].max(), atol=1e-5)


def test_maps_are_drawn_of_what_was_asked_for_alone(predicted: Path) -> None:
    drawn = {str(path.relative_to(predicted / "maps")) for path in predicted.rglob("maps/**/*.png")}
    assert drawn == {f"pleural_effusion/{name}.png" for name in GOOD}
    with Image.open(predicted / "maps/pleural_effusion/a.png.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), int)
    assert pixels.shape[1] == 512 < pixels.shape[0]  # the caption stands under the image
    spread = np.ptp(pixels[:512], axis=2)
    assert spread.max() > 60 and spread.min() < 12  # coloured where the map speaks, grey elsewhere


def test_the_record_says_what_was_done(predicted: Path) -> None:
    record = json.loads((predicted / "prediction.json").read_text())
    assert record["images"] == 5 and sum(record["bad_files"].values()) == 5
    assert record["prompts"]["large heart"] == {"present": ["large heart"], "absent": ["normal heart"]}
    assert record["images_per_second"] > 0 and math.isclose(
        record["temperature"], trained_encoder(ENCODER).temperature
    )


def two_processes(directory: Path) -> None:
    words = [str(directory / "scans"), "--to", str(directory / "two"), "--concepts", "pneumothorax"]
    run_word(
        "predict",
        [*words, "--embeddings", "npz", *SINGLE, "--trainer.devices=2", "--trainer.strategy=ddp"],
    )


def test_two_processes_write_what_one_writes(predicted: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "scans")
    launch(__file__, "two_processes", tmp_path)
    ours = tmp_path / "two" / "predict"
    found = rows(ours / "scores.csv")
    assert [row["image"] for row in found] == NAMES
    one = [float(row["pneumothorax"]) for row in rows(predicted / "scores.csv")]
    np.testing.assert_allclose([float(row["pneumothorax"]) for row in found], one, atol=1e-5)
    assert {row["image"] for row in rows(ours / "bad_files.csv")} == set(BAD)
    assert np.load(ours / "embeddings.npz")["embedding"].shape == (5, 128)


def test_a_table_is_predicted_in_its_order_with_every_concept(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("Image Index,label\nc.tif,1\nmissing.png,0\na.png,1\nc.tif,0\n")
    to = tmp_path / "out"
    run_word("predict", [str(table), f"--data.init_args.image_root={folder}", "--to", str(to), *SINGLE])
    assert [row["image"] for row in rows(to / "predict/scores.csv")] == ["c.tif", "a.png"]
    assert [row["kind"] for row in rows(to / "predict/bad_files.csv")] == ["missing file"]
    assert list(rows(to / "predict/scores.csv")[0]) == ["image", *ConceptCatalog.load().names]


def test_a_prompt_in_letters_that_the_model_lacks_is_warned_of(folder: Path, tmp_path: Path) -> None:
    words = [str(folder / "a.png"), "--prompts", "肺炎", "mass", "--to", str(tmp_path), *SINGLE]
    with pytest.warns(UserWarning, match="does not know every character of '肺炎':"):
        run_word("predict", words)


def test_weights_are_a_checkpoint_or_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn

    from lightning_modules import trained_encoder as module

    model = trained_encoder(ENCODER)
    monkeypatch.setattr(module, "load_model", lambda path, device: model)
    assert module.trained_encoder("x.ckpt") is model
    monkeypatch.setattr(module, "load_model", lambda path, device: nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"'x.ckpt' holds a Linear"):
        module.trained_encoder("x.ckpt")
    with pytest.raises(ValueError, match="no such directory"):
        module.trained_encoder("no/where")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([".", "--concepts", "pneumothorx"], "did you mean pneumothorax"),
        ([".", "--model", "no/where"], "no such directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_named(
    words: list[str], message: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises((ValueError, SystemExit), match=message):
        run_word("predict", [*words, "--to", str(tmp_path), *SINGLE])
