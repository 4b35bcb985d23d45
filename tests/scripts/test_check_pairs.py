"""`make check-pairs` on tables of real images, and `make filters`, which plants what they look for."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor
from torch.nn import functional

from benchmarks import filters as benchmark
from scripts.corpora import check_pairs
from synthesis.corruption import KINDS
from synthesis.pairs import Pair, PairSynthesizer, Rejection
from tests.datamodules.tables import fake_data_sets


def write_layer(path: Path, kind: str, images: Path, **options: Any) -> None:
    """Write the layer of a user's data, whose table.csv lies beside it."""
    place = {"table": str(path.parent / "table.csv"), "artifacts_dir": str(path.parent / "artifacts")}
    arguments = {"image_root": str(images), "image_size": 64, **place, **options}
    path.write_text(yaml.safe_dump({"data": {"class_path": f"datamodules.{kind}", "init_args": arguments}}))


@pytest.fixture(scope="module")
def archive(synthesizer: PairSynthesizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's table of images and reports, of which some are bad; and the YAML that names it."""
    place = tmp_path_factory.mktemp("archive")
    pairs: list[Pair] = synthesizer.make(range(14), 5, "train")
    rows = []
    for pair in pairs:
        image, report = pair.image, pair.report
        if pair.index in (3, 4, 5):
            kind = {3: "blank", 4: "inverted", 5: "blurred"}[pair.index]
            image = KINDS[kind](image, None, np.random.default_rng(1))[0]
        Image.fromarray(image[0].numpy()).save(place / f"{pair.index}.png")
        rows.append([f"{pair.index}.png", report.findings, report.impression])
    rows[6][1:] = ["", ""]
    rows[7][1:] = ["Clear.", ""]
    Image.open(place / "0.png").convert("L").point(lambda v: int(v * 0.9)).save(place / "8.png")  # a copy
    (place / "9.png").write_bytes(b"no image")
    Image.new("RGB", (64, 64), (200, 10, 10)).save(place / "10.png")
    with (place / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "findings", "impression"], *rows])
    columns = {"image": "image", "findings": "findings", "impression": "impression"}
    write_layer(place / "archive.yaml", "ImageReports", place, columns=columns, loader={"batch_size": 2})
    return place


def test_bad_rows_of_real_pairs_are_reported(archive: Path) -> None:
    found = check_pairs.main([str(archive / "archive.yaml"), f"--out={archive / 'check'}"])
    kinds = {entry.row - 1: entry.kind for entry in found}
    assert kinds.pop(3) in ("low contrast", "blank", "saturated", "no whole chest", "truncated", "blurred")
    assert kinds == {
        4: "inverted",
        5: "blurred",
        6: "empty report",
        7: "short report",
        8: "image twice",
        9: "unreadable",
        10: "colour",
    }
    with (archive / "check" / "refused.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert [(row["row"], row["image"]) for row in listed] == [(str(f.row), f.image) for f in found]
    text = (archive / "check" / "README.md").read_text()
    assert "8 of 14 rows (57.1%) were refused." in text and "| image twice | 1 | 7.1% |" in text
    assert (archive / "check" / "refused.local.jpg").exists()


class KnownPairs:
    """Embeds as a perfect model would: an image and its own report alike, any other text the same for all."""

    def __init__(self, folder: str) -> None:
        with (Path(folder) / "table.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.texts = [f"FINDINGS: {row['findings']} IMPRESSION: {row['impression']}" for row in rows]
        files = [np.asarray(Image.open(Path(folder) / row["image"]).convert("L")) for row in rows]
        self.images = torch.stack([torch.tensor(file).float() / 255 for file in files]).flatten(1)

    def embed_images(self, images: Tensor) -> Tensor:
        nearest = torch.cdist(images.flatten(1), self.images).argmin(1)
        return functional.one_hot(nearest, len(self.texts)).float()

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        known = [
            self.texts.index(text) if text in self.texts else len(text) % len(self.texts) for text in texts
        ]
        return functional.one_hot(torch.tensor(known), len(self.texts)).float()

    def describe(self) -> dict[str, Any]:
        return {}


def test_reports_of_other_patients_are_found_by_a_model_that_can_tell(archive: Path, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.mkdir()
    rows = list(csv.reader((archive / "table.csv").open(newline="")))
    header, good = rows[0], [row for row in rows[1:] if row[0] in ("0.png", "1.png", "2.png", "11.png")]
    for name, *_ in good:
        (known / name).write_bytes((archive / name).read_bytes())
    with (known / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *good])
    swapped = [[row[0], *good[1 - k if k < 2 else k][1:]] for k, row in enumerate(good)]
    with (tmp_path / "swapped.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *swapped])
    config = yaml.safe_load((archive / "archive.yaml").read_text())
    config["data"]["init_args"] |= {
        "table": str(tmp_path / "swapped.csv"),
        "image_root": str(known),
        "artifacts_dir": str(tmp_path / "artifacts"),
    }
    (tmp_path / "swapped.yaml").write_text(yaml.safe_dump(config))
    layer = yaml.safe_load(Path("configs/filters/agreement.yaml").read_text())
    agreement = layer["data"]["init_args"]["synthesizer"]["init_args"]["filters+"][0]["init_args"]
    agreement["embedder"] = {"class_path": f"{__name__}.KnownPairs", "init_args": {"folder": str(known)}}
    (tmp_path / "agreement.yaml").write_text(yaml.safe_dump(layer))
    found = check_pairs.main(
        [
            str(tmp_path / "swapped.yaml"),
            "--filters",
            "configs/filters/real.yaml",
            str(tmp_path / "agreement.yaml"),
            f"--out={tmp_path / 'check'}",
        ]
    )
    assert [(f.image, f.kind) for f in found] == [(row[0], "report does not fit image") for row in good[:2]]


def test_images_without_reports_are_no_copies_of_each_other(archive: Path, tmp_path: Path) -> None:
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["image", "label"], *([f"{k}.png", "Mass"] for k in (0, 1, 2, 11, 12, 13))]
        )
    labels = {"columns": "label", "vocabulary": "nih"}
    layer = tmp_path / "labels.yaml"
    write_layer(layer, "LabelledImages", archive, columns={"image": "image"}, labels=labels)
    assert check_pairs.main([str(tmp_path / "labels.yaml"), f"--out={tmp_path / 'check'}"]) == []
    assert "0 of 6 rows" in (tmp_path / "check" / "README.md").read_text()


def test_every_row_is_looked_at_whatever_its_split(tmp_path: Path) -> None:
    """Official test images too, whose share of what is dealt is 0."""
    fake_data_sets.chexpert(tmp_path)
    arguments = ["configs/data/chexpert.yaml", f"--data.init_args.image_root={tmp_path}"]
    sizes = ["--data.init_args.image_size=64", f"--data.init_args.artifacts_dir={tmp_path / 'artifacts'}"]
    found = check_pairs.main([*arguments, *sizes, f"--out={tmp_path / 'check'}"])
    text = (tmp_path / "check" / "README.md").read_text()
    assert " of 43 rows" in text, text
    assert len(found) <= 43


def test_reports_that_are_there_again_are_a_warning(archive: Path, tmp_path: Path) -> None:
    normal = [
        "The lungs are clear and well expanded, and the heart is of normal size.",
        "Normal chest radiograph.",
    ]
    with (tmp_path / "table.csv").open("w", newline="") as file:
        names = ["image", "findings", "impression"]
        csv.writer(file).writerows([names, *([f"{k}.png", *normal] for k in (0, 1, 2, 11, 12, 13))])
    columns = {name: name for name in ("image", "findings", "impression")}
    write_layer(tmp_path / "normal.yaml", "ImageReports", archive, columns=columns)
    found = check_pairs.main([str(tmp_path / "normal.yaml"), f"--out={tmp_path / 'check'}"])
    assert {(entry.kind, entry.refused) for entry in found} == {("report again", False)} and len(found) >= 2
    text = (tmp_path / "check" / "README.md").read_text()
    assert "0 of 6 rows" in text and f"Warning, not refused: report again, {len(found)} rows" in text


def test_without_a_configuration_simulated_pairs_are_checked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(check_pairs, "EXAMPLES", 3)
    monkeypatch.chdir(tmp_path)  # what is shipped is found from anywhere
    check_pairs.main([f"--out={tmp_path}", "--model.init_args.image_encoder.init_args.image_size=64"])
    assert " of 3 rows" in (tmp_path / "README.md").read_text()


def test_synthetic_pairs_are_no_table() -> None:
    with pytest.raises(SystemExit, match="data is a SyntheticPairs, no table"):
        check_pairs.read_table_data(["configs/filters/standard.yaml"])


def test_the_benchmark_prints_what_it_counts(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    for name in ("1.png", "4.png"):  # the second is inverted
        (real / name).write_bytes((archive / name).read_bytes())
    found = benchmark.main(["--pairs=6", "--image-size=64", f"--real={real}", f"--results={tmp_path}"])
    assert set(found["caught"]) == {*KINDS, "mispaired", *benchmark.REPORTS}
    assert found["caught"]["inverted"]["Inversion"] == 1 == found["caught"]["report empty"]["any"]
    assert found["refused"]["any"] == 0 and found["copies"] == {"caught": 1.0, "refused": 0.0}
    assert found["real"]["Inversion"] == 0.5 and "EntityAgreement" not in found["real"]
    text = (tmp_path / "table.md").read_text()
    assert text in capsys.readouterr().out and "| inverted | 100.0% |" in text
    assert json.loads((tmp_path / "rates.json").read_text()) == found


def test_rates_are_shares_of_pairs(synthesizer: PairSynthesizer) -> None:
    class Odd:
        def reject(self, pairs: list[Pair]) -> list[Rejection | None]:
            return [Rejection("odd") if pair.index % 2 else None for pair in pairs]

        def describe(self) -> dict[str, object]:
            return {}

    class Third(Odd):
        def reject(self, pairs: list[Pair]) -> list[Rejection | None]:
            return [Rejection("third") if pair.index % 3 == 0 else None for pair in pairs]

    pairs = synthesizer.make(range(6), 0, "train")
    assert benchmark.rates(benchmark.first_refusals([Odd(), Third()], pairs)) == pytest.approx(
        {"Odd": 1 / 2, "Third": 1 / 3, "any": 4 / 6}
    )
    assert Counter(benchmark.first_refusals([Odd()], pairs)["any"]) == {True: 3, False: 3}
