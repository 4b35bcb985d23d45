"""`make corpus`, from the YAML that is shipped, at sizes where it takes no time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from scripts.corpora import make_corpus
from synthesis.cases import BalancedCaseSampler
from synthesis.corruption import ClinicSynthesizer
from synthesis.images.simulator import Simulator
from synthesis.reports.grammar import GrammarWriter
from synthesis.store import PairStore

TINY = ("--pairs=12", "--workers=0", "--model.init_args.image_encoder.init_args.image_size=64")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer of corrupted pairs that the standard filters see."""
    standard = yaml.safe_load(Path("configs/filters/standard.yaml").read_text())
    synthesizer = standard["data"]["init_args"]["synthesizer"]
    synthesizer["class_path"] = "synthesis.ClinicSynthesizer"
    maker = {"class_path": "synthesis.Simulator", "init_args": {"image_size": 64}}
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
    cache = PairStore(corpus / "train")
    pairs = cache.pairs(range(len(cache)))
    assert 8 <= len(pairs) <= 12
    assert [pair.index for pair in pairs] == sorted({pair.index for pair in pairs})
    parts = (BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=64))
    damage = ClinicSynthesizer(*parts, mispaired=0.3, corrupted=0.5).damage
    for pair in pairs:  # in its last drawing nothing was planted, or the filters would have seen it
        planted = damage(pair.index, 0, "train", pair.attempt)
        assert planted.report_of is None and planted.kind != "blank"
    assert any(pair.rejections for pair in pairs)
    assert cache.manifest.recipe["synthesizer"]["image_maker"]["image_size"] == 64


def test_the_card_says_what_was_made_and_refused(corpus: Path) -> None:
    card = json.loads((corpus / "card.json").read_text())
    ledgers = [json.loads(path.read_text()) for path in (corpus / "train").glob("*.ledger.json")]
    held = len(PairStore(corpus / "train"))
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
    assert len(read["train"]) == len(PairStore(corpus / "train"))
    assert list((corpus / "webdataset").glob("*.tar"))


def test_a_corpus_is_made_of_synthetic_pairs_only() -> None:
    with pytest.raises(SystemExit, match="data is a LabelledImages; give a layer with SyntheticPairs"):
        make_corpus.read_data(["configs/data/nih_chestxray14.yaml"])


class OtherWriter(GrammarWriter):
    """A writer of whose licence nobody has said anything."""


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
