from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from callbacks import Features, Occasion, ReportScores
from callbacks.base.result import with_intervals
from callbacks.evaluations.report_scores import GeneratedReport
from callbacks.statistics.report_agreement import f1, nearest_patient
from datamodules.texts.claim_reader import ClaimReader
from lightning_modules import BertEncoder, ReportGeneration, ViTEncoder
from lightning_modules.downstream.report_generation import THRESHOLDS, told_counts
from main import main
from synthesis.concepts import ConceptCatalog

TRUE = [
    "findings : there is a large left pleural effusion . impression : pleural effusion .",
    "findings : the heart is enlarged . impression : cardiomegaly .",
    "findings : there is a large right pneumothorax . impression : pneumothorax .",
]


def judge(written: list[str], catalog: ConceptCatalog) -> dict[str, float]:
    rows = [GeneratedReport(*both) for both in zip(written, TRUE, strict=True)]
    index, none = torch.arange(3), torch.zeros(3, 1)
    features = Features(none, none, index, None, none, index, index, measured={"report": rows})
    scores = ReportScores(min_count=1, resamples=20)
    scores.claims = ClaimReader(catalog).read
    result = scores.evaluate(features, Occasion("test", catalog.names, True))
    floors = {"entity_f1_shuffled", "entity_f1_normal", "entity_f1_nearest", "gain_over_nearest"}
    shared = {"entity_f1", "entity_precision", "entity_recall", "rouge_l"} | floors
    intervals = with_intervals(result).details["intervals"]
    assert intervals.keys() == shared | ({"entity_f1_macro"} & result.metrics.keys())
    assert all(low <= result.metrics[name] <= high for name, (low, high) in intervals.items())
    return result.metrics


def test_true_reports_are_perfect_and_those_of_others_are_not(catalog: ConceptCatalog) -> None:
    perfect = judge(TRUE, catalog)
    for name in ("entity_f1", "entity_f1_macro", "bleu4", "rouge_l", "distinct"):
        assert perfect[name] == pytest.approx(1)
    assert perfect["entity_f1/pneumothorax"] == 1 and perfect["entity_f1_shuffled"] < 0.3
    swapped = judge(TRUE[1:] + TRUE[:1], catalog)
    assert swapped["entity_f1"] < 0.3 and swapped["rouge_l"] < 0.9
    denied = judge(["no pleural effusion .", "no cardiomegaly .", "no pneumothorax ."], catalog)
    assert denied["entity_f1"] == denied["entity_recall"] == 0, "to deny is not to assert"
    constant = judge(TRUE[:1] * 3, catalog)
    assert constant["entity_f1_shuffled"] == constant["entity_f1"] and constant["distinct"] == 1 / 3


def test_chexbert_figures_are_those_of_its_labels(catalog: ConceptCatalog) -> None:
    """F1 as the package f1chexbert takes it: scikit-learn's, over 14 and over 5 columns."""
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    held, said = rng.random((2, 3, 14)) < 0.5
    held[0, [1, 4, 5, 7, 9]] = True  # each of the five occurs
    labels = {"true": held, "written": said}

    class Labels:
        def asserted(self, texts: list[str]) -> np.ndarray:
            return labels["true" if texts == TRUE else "written"]

    rows = [GeneratedReport("written", true) for true in TRUE]
    index, none = torch.arange(3), torch.zeros(3, 1)
    features = Features(none, none, index, None, none, index, index, measured={"report": rows})
    scores = ReportScores(min_count=1, resamples=20)
    scores.claims, scores.chexbert = ClaimReader(catalog).read, Labels()  # type: ignore[assignment]
    result = with_intervals(scores.evaluate(features, Occasion("test", catalog.names, True)))
    occurs = held.any(0)
    five = [1, 4, 5, 7, 9]  # Cardiomegaly, Edema, Consolidation, Atelectasis, Pleural Effusion
    expected = {
        "chexbert_f1_14": f1_score(held, said, average="micro"),
        "chexbert_f1_14_macro": f1_score(held[:, occurs], said[:, occurs], average="macro"),
        "chexbert_f1_5": f1_score(held[:, five], said[:, five], average="micro"),
        "chexbert_f1_5_macro": f1_score(held[:, five], said[:, five], average="macro"),
    }
    for name, value in expected.items():
        assert result.metrics[name] == pytest.approx(value)
        low, high = result.details["intervals"][name]
        assert low <= value <= high


def test_floors_are_those_of_the_normal_report_and_of_the_nearest_patient(catalog: ConceptCatalog) -> None:
    normal = "findings : the lungs are clear . impression : no acute cardiopulmonary abnormality ."
    true = [TRUE[0], TRUE[0], TRUE[1], normal]
    rows = [GeneratedReport(normal, text) for text in true]
    # 0 and 1 look alike and have the same report; 2 looks most like 3; so does another image of patient 2.
    pooled = torch.tensor([[1.0, 0.1], [2.0, 0.1], [0.1, 1.0], [0.0, 3.0]])
    index = torch.arange(4)
    features = Features(
        pooled, pooled, index, None, torch.zeros(4, 1), index, index, measured={"report": rows}
    )
    scores = ReportScores(min_count=1, resamples=20)
    scores.claims = ClaimReader(catalog).read
    figures = scores.evaluate(features, Occasion("test", catalog.names, True)).metrics
    assert figures["entity_f1_normal"] == figures["entity_f1"] == pytest.approx(2 * 1 / (4 + 4))
    assert figures["entity_f1_nearest"] == pytest.approx(2 * 2 / (4 + 4)), "two of four have their own"
    same_patient = nearest_patient(pooled.numpy(), np.array([0, 0, 1, 1]))
    assert same_patient is not None and same_patient.tolist() == [2, 2, 0, 0]
    assert nearest_patient(pooled.numpy(), np.zeros(4)) is None


def test_f1_equals_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    said, held = rng.random((2, 50, 6)) < 0.3
    assert f1(said & held, said, held) == pytest.approx(f1_score(held, said, average="micro"))
    assert f1(said & held, said, held, axis=0) == pytest.approx(f1_score(held, said, average=None))


def test_it_learns_to_say_what_it_sees(tokenizer_for_words: Any) -> None:
    """Two images, two texts: after some steps each gets its own."""
    torch.manual_seed(0)
    tower = ViTEncoder(32, 8, 16, 1, 2, mean=0.5, std=0.5)
    words = BertEncoder(vocab_size=32, width=16, layers=1, heads=2, max_length=12)
    model = ReportGeneration(tower, words, max_length=12, dropout=0.0)
    tokenizer = tokenizer_for_words
    model.tokenizer = tokenizer
    model.add_concepts(2)
    model.configure_tokens()
    image = torch.zeros(2, 1, 32, 32)
    image[1] = 1
    texts = ["left effusion", "no large right nodule"]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    labels = torch.full((2, 2), float("nan"))  # of nothing known: it has to look
    encoded = {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}
    batch = {"image": image, "labels": labels, **encoded}
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(120):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        assert model.generate(model.image_encoder(batch)) == texts


def test_concepts_are_told_from_where_their_f1_is_best(tokenizer_for_words: Any) -> None:
    tower, words = (
        ViTEncoder(32, 16, 16, 1, 2),
        BertEncoder(len(tokenizer_for_words), 16, 1, 2, max_length=16),
    )
    chances = torch.tensor([[0.9, 0.62, 0.4], [0.55, 0.3, 0.7], [0.1, 0.2, 0.05]])
    labels = torch.tensor([[1.0, 1, 0], [0, 0, float("nan")], [0, 0, 0]])
    both, told, true = told_counts(chances, labels)[:, THRESHOLDS.index(0.5)].tolist()
    assert (both, told, true) == (2, 3, 2), "what is not known does not count"
    for given, expected in ((None, 0.6), (0.45, 0.45)):
        model = ReportGeneration(tower, words, max_length=12, threshold=given)
        model.all_gather = lambda counts: counts  # type: ignore[method-assign]
        model._counts = [told_counts(chances[:1], labels[:1]), told_counts(chances[1:], labels[1:])]
        model.on_validation_epoch_end()
        assert float(model.told_from) == pytest.approx(expected) and not model._counts


def test_the_decoder_reads_what_is_told_of_each_concept(tokenizer_for_words: Any) -> None:
    torch.manual_seed(0)
    tower = ViTEncoder(32, 8, 16, 1, 2)
    words = BertEncoder(vocab_size=32, width=16, layers=2, heads=2, max_length=12)
    model = ReportGeneration(tower, words, max_length=12, dropout=0.0).eval()
    model.tokenizer = tokenizer_for_words
    model.configure_tokens()
    model.add_concepts(3)
    begun = model.captioner.decoder.bert.state_dict()
    assert all(torch.equal(begun[name], value) for name, value in words.bert.state_dict().items())
    ids = torch.tensor([[2, 5, 6, 3]] * 2)
    labels = torch.tensor([[1.0, 0, float("nan")], [1, 0, float("nan")]])
    batch = {"image": torch.rand(2, 1, 32, 32), "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        losses = [model.loss(batch | {"labels": torch.tensor([[1.0, known, 0]] * 2)}) for known in (0.0, 1.0)]
        assert losses[0] != losses[1], "what is told changes what is written"
    model.loss(batch | {"labels": labels}).backward()
    idle = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert all(name.startswith("image_encoder.projection") for name in idle), idle
    with pytest.raises(ValueError, match="max_length is 13"):
        ReportGeneration(tower, words, max_length=13)
    with pytest.raises(ValueError, match="threshold=1"):
        ReportGeneration(tower, words, max_length=12, threshold=1)


def test_the_command_line_generates_reports(train: Callable[..., Any], weights: str, pretrained: Any) -> None:
    summary, directory = train("report_generation", weights, "--trainer.max_epochs=1")
    assert 0 < summary["val/loss"] < 10
    assert "scored at test" in summary["details"]["val/report"]["note"]
    assert (directory / "pictures" / "val_reports.png").stat().st_size > 10_000
    saved = torch.load(directory / "checkpoints" / "best.ckpt", weights_only=True)
    assert min((saved["state_dict"]["told_from"] - x).abs() for x in THRESHOLDS) < 1e-6
    tower = torch.load(pretrained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    norm = "vit.layernorm.weight"
    own, shared = (
        saved["state_dict"][key] for key in (f"image_encoder.{norm}", "captioner.encoder.layernorm.weight")
    )
    word, begun = (
        saved["state_dict"]["captioner.decoder.bert.embeddings.word_embeddings.weight"],
        tower["text_encoder.bert.embeddings.word_embeddings.weight"],
    )
    assert 0 < (word - begun).abs().max() < 0.02, "the decoder began as the text tower"
    assert torch.equal(own, shared) and 0 < (own - tower[f"image_encoder.{norm}"]).abs().max() < 0.01
    checkpoint = f"--ckpt_path={directory / 'checkpoints' / 'best.ckpt'}"
    few = ["--data.init_args.test_pairs=6", "--data.init_args.loader.eval_batch_size=6"]
    main(["test", "-c", str(directory / "config.yaml"), checkpoint, *few])
    tested = json.loads((directory / "test" / "summary.json").read_text())
    floors = ("entity_f1_shuffled", "entity_f1_normal", "entity_f1_nearest")
    names = ("entity_f1", *floors, "bleu4", "rouge_l", "distinct")
    assert all(0 <= tested[f"test/report/{name}"] <= 1 for name in names)
    gain = tested["test/report/entity_f1"] - tested["test/report/entity_f1_nearest"]
    assert tested["test/report/gain_over_nearest"] == pytest.approx(gain)
    assert tested["details"]["test/report"].keys() >= {"n", "split_sha256", "intervals", "asserted"}
    assert (directory / "test" / "pictures" / "test_reports.png").stat().st_size > 10_000
