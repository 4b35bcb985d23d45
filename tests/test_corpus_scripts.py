"""`make corpus` and `make check-pairs`, from the YAML that is shipped, at sizes where they take no time."""

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
from scripts import check_pairs, make_corpus
from synthesis.cache import PairCache
from synthesis.corruption import KINDS
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.reports.grammar import GrammarWriter
from tests.datamodules import fake_data_sets

TINY = ("--pairs=12", "--workers=0", "--model.init_args.image_encoder.init_args.image_size=64")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer of corrupted pairs that the standard filters see."""
    standard = yaml.safe_load(Path("configs/filters/standard.yaml").read_text())
    synthesizer = standard["data"]["init_args"]["synthesizer"]
    synthesizer["class_path"] = "synthesis.corruption.ClinicSynthesizer"
    maker = {"class_path": "synthesis.images.simulator.Simulator", "init_args": {"image_size": 64}}
    synthesizer["init_args"] |= {"mispaired": 0.3, "corrupted": 0.5, "image_maker": maker}
    path = tmp_path_factory.mktemp("layer") / "clinic.yaml"
    path.write_text(yaml.safe_dump(standard))
    return path


@pytest.fixture(scope="module")
def corpus(clinic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus made in two parts."""
    out = tmp_path_factory.mktemp("corpora") / "clinic"
    options = out.parent / "options.yaml"
    content = yaml.safe_load(Path("configs/corpus/default.yaml").read_text()) | {
        "shard_pairs": 5,
        "examples": 2,
    }
    options.write_text(yaml.safe_dump(content))
    for shard in ("0/2", "1/2"):
        make_corpus.main([str(clinic), *TINY, f"--out={out}", f"--corpus={options}", f"--shard={shard}"])
    return out


def test_the_corpus_holds_filtered_pairs_of_the_training_configuration(corpus: Path) -> None:
    cache = PairCache(corpus / "train")
    pairs = cache.pairs(range(len(cache)))
    assert 8 <= len(pairs) <= 12
    assert [pair.index for pair in pairs] == sorted({pair.index for pair in pairs})
    for pair in pairs:  # after its last redrawing nothing was planted, or the filters would have seen it
        last = max([k for k, note in enumerate(pair.notes) if note.startswith("drawn again")], default=-1)
        assert not [note for note in pair.notes[last + 1 :] if note.startswith(("mispaired", "image: blank"))]
    assert any(pair.notes for pair in pairs)
    assert cache.manifest["recipe"]["synthesizer"]["image_maker"]["image_size"] == 64


def test_the_card_says_what_was_made_and_refused(corpus: Path) -> None:
    card = json.loads((corpus / "card.json").read_text())
    ledgers = [json.loads(path.read_text()) for path in (corpus / "train").glob("*.ledger.json")]
    held = len(PairCache(corpus / "train"))
    refused = sum(len(ledger["refused"]) for ledger in ledgers)
    assert card["counts"]["made"] == 12 and card["counts"]["held"] == held
    assert card["counts"]["drawings refused"] == sum(card["refused"].values()) >= refused > 0
    assert sum(card["missing"].values()) == 12 - held
    noted = [note for ledger in ledgers for note in ledger["notes"]]
    assert card["notes"] and sorted(set(noted)) == list(card["notes"])
    assert "report disagrees with case" in card["refused"]
    shares = card["concepts"]["pleural_effusion"]
    assert set(shares) == {"prevalence", "asked", "held"} and all(
        0 <= share <= 1 for share in shares.values()
    )
    assert any("phrases_sha256" in name for name in card["hashes"])
    assert any("components_sha256" in name for name in card["hashes"])
    assert list(card["licences"]) == ["GrammarWriter", "Simulator"] and card["versions"]["torch"]
    text = (corpus / "README.md").read_text()
    assert text.startswith("---\n") and yaml.safe_load(text.split("---")[1])["configs"]
    for words in (
        "## Refused by the filters",
        "report disagrees with case",
        "pleural_effusion",
        card["fingerprint"],
    ):
        assert words in text


def test_the_gallery_shows_each_reason(corpus: Path) -> None:
    card = json.loads((corpus / "card.json").read_text())
    page = (corpus / "gallery" / "README.md").read_text()
    for kind in ("held", *card["refused"]):
        assert kind in page
    pictures = [word.split(")")[0] for word in page.split("](")[1:]]
    assert len(pictures) == 1 + len(card["refused"])
    assert all((corpus / "gallery" / name).stat().st_size > 1000 for name in pictures)


def test_load_dataset_opens_the_directory(corpus: Path, tmp_path: Path) -> None:
    import datasets

    read = datasets.load_dataset(str(corpus), cache_dir=str(tmp_path))
    assert len(read["train"]) == len(PairCache(corpus / "train"))
    assert list((corpus / "webdataset").glob("*.tar"))


def test_a_corpus_is_made_of_synthetic_pairs_only() -> None:
    with pytest.raises(SystemExit, match="data is a LabelledImages; a corpus is made of SyntheticPairs"):
        make_corpus.read_data(["configs/data/nih_chestxray14.yaml"])


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
    config = {
        "data": {
            "class_path": "datamodules.ImageReports",
            "init_args": {
                "table": str(place / "table.csv"),
                "image_root": str(place),
                "image_size": 64,
                "columns": {"image": "image", "findings": "findings", "impression": "impression"},
                "artifacts_dir": str(place / "artifacts"),
                "batch_size": 2,
            },
        }
    }
    (place / "archive.yaml").write_text(yaml.safe_dump(config))
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


class OtherWriter(GrammarWriter):
    """A writer of whose licence nobody has said anything."""


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
    layer = yaml.safe_load(Path("configs/filters/image_report_agreement.yaml").read_text())
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
    config = {
        "data": {
            "class_path": "datamodules.LabelledImages",
            "init_args": {
                "table": str(tmp_path / "table.csv"),
                "image_root": str(archive),
                "image_size": 64,
                "columns": {"image": "image"},
                "labels": {"columns": "label", "vocabulary": "nih"},
                "artifacts_dir": str(tmp_path / "artifacts"),
            },
        }
    }
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(config))
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


def test_a_corpus_by_other_parts_asks_for_their_licences(tmp_path: Path) -> None:
    other = f"--data.init_args.synthesizer.init_args.writer={__name__}.OtherWriter"
    with pytest.raises(SystemExit, match=r"none for OtherWriter.*\['GrammarWriter', 'Simulator'\]"):
        make_corpus.main(["configs/filters/standard.yaml", *TINY, other, f"--out={tmp_path / 'corpus'}"])
    assert not (tmp_path / "corpus").exists(), "before anything is made"


def test_each_process_of_a_machine_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    make_corpus.take_own_device()
    for variable, rank in (("SLURM_LOCALID", "2"), ("LOCAL_RANK", "5")):
        monkeypatch.setenv(variable, rank)
        make_corpus.take_own_device()
    assert taken == [2, 1]


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
        def reject(self, pairs: list[Pair]) -> list[str | None]:
            return ["odd: yes" if pair.index % 2 else None for pair in pairs]

        def describe(self) -> dict[str, object]:
            return {}

    class Third(Odd):
        def reject(self, pairs: list[Pair]) -> list[str | None]:
            return ["third: yes" if pair.index % 3 == 0 else None for pair in pairs]

    pairs = synthesizer.make(range(6), 0, "train")
    assert benchmark.rates(benchmark.first_refusals([Odd(), Third()], pairs)) == pytest.approx(
        {"Odd": 1 / 2, "Third": 1 / 3, "any": 4 / 6}
    )
    assert Counter(benchmark.first_refusals([Odd()], pairs)["any"]) == {True: 3, False: 3}
