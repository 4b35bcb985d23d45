"""The classical check of a pipeline that learns: a few simulated pairs, learnt by heart, score nearly 1.

What is trained are the real tasks on real batches; what judges them are the real evaluations, on the same
pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from callbacks import (
    ChangeAccuracy,
    DetectionPrecision,
    Features,
    Occasion,
    QuestionAnswering,
    ReportScores,
    SegmentationDice,
)
from datamodules import LoaderOptions, SyntheticPairs, TokenizerOptions, Views
from lightning_modules import (
    BertEncoder,
    Detection,
    FineTune,
    ReportGeneration,
    Segmentation,
    TemporalComparison,
    VisualQuestionAnswering,
    ViTEncoder,
)
from synthesis.pairs import PairSynthesizer

FINDINGS = ("pleural_effusion", "pneumothorax", "mass", "nodule")
KEYS = frozenset({"masks", "prior", "change", "question", "answer"})
PAIRS = 12


@pytest.fixture(scope="module")
def data(synthesizer: PairSynthesizer, tmp_path_factory: pytest.TempPathFactory) -> SyntheticPairs:
    data = SyntheticPairs(
        synthesizer,
        PAIRS,
        loader=LoaderOptions(batch_size=PAIRS, seed=1),
        views=Views(augmentation=None, texts=None, max_length=160),
        tokenizer=TokenizerOptions(vocab_size=600),
        tokenizer_reports=200,
        artifacts_dir=tmp_path_factory.mktemp("artifacts"),
    )
    data.prepare_data()
    data.setup("fit")
    return data


@pytest.fixture(scope="module")
def batches(data: SyntheticPairs) -> Callable[..., dict[str, Any]]:
    made: dict[frozenset[str], dict[str, Any]] = {}

    def batch(*keys: str) -> dict[str, Any]:
        wanted = frozenset(keys)
        if wanted not in made:
            data.asked = {"train": wanted}
            made[wanted] = next(iter(data.train_dataloader()))
        return made[wanted]

    return batch


def image_tower() -> ViTEncoder:
    torch.manual_seed(0)
    return ViTEncoder(64, 8, 32, 2, 2, stem_channels=[8, 16, 32], pooling="spatial", quiet_start=True)


def text_tower() -> BertEncoder:
    return BertEncoder(vocab_size=600, width=32, layers=2, heads=2, max_length=160)


def learn(model: Any, batch: dict[str, Any], data: SyntheticPairs, steps: int, rate: float = 5e-3) -> None:
    """Train on one batch with the task's own loss."""
    model._trainer = SimpleNamespace(datamodule=data)
    model.setup("fit")
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, rate, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(batch).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def judged(evaluation: Any, model: Any, batch: dict[str, Any], data: SyntheticPairs) -> dict[str, float]:
    """Return the figures of an evaluation on the batch."""
    with torch.no_grad():
        outputs = model.outputs(batch)
    rows = evaluation.measure(model, batch, outputs) if hasattr(evaluation, "measure") else None
    n = len(batch["image"])
    features = Features(
        outputs.image, outputs.pooled, torch.arange(n), None, batch["labels"], batch["group"], batch["view"],
        extra={} if outputs.scores is None else {"scores": outputs.scores},
        measured={} if rows is None else {evaluation.name: list(rows)},
    )  # fmt: skip
    return evaluation.evaluate(features, Occasion("test", data.concept_names, True)).metrics


@pytest.mark.parametrize("frozen", [True, False])
def test_segmentation(frozen: bool, data: SyntheticPairs, batches: Callable[..., Any]) -> None:
    batch = batches("masks")
    model = Segmentation(image_tower(), FINDINGS, channels=8, frozen=frozen)
    learn(model, batch, data, 60, 1e-2)
    figures = judged(SegmentationDice(min_count=1, resamples=0), model, batch, data)
    assert figures["dice_macro"] > 0.9


def test_detection(data: SyntheticPairs, batches: Callable[..., Any]) -> None:
    batch = batches("masks")
    model = Detection(image_tower(), FINDINGS, channels=32)
    learn(model, batch, data, 100, 1e-2)
    figures = judged(DetectionPrecision(min_count=1, resamples=0), model, batch, data)
    assert figures["map50"] > 0.9 and figures["map"] > 0.8


def test_report_generation(data: SyntheticPairs, batches: Callable[..., Any]) -> None:
    batch = {key: value[:6] for key, value in batches("input_ids").items()}
    model = ReportGeneration(image_tower(), text_tower(), max_length=160, dropout=0.0)
    learn(model, batch, data, 100, 1e-2)
    scores = ReportScores(min_count=1, resamples=0)
    scores.claims = data.claims
    figures = judged(scores, model, batch, data)
    assert figures["entity_f1"] > 0.9, figures


def test_visual_question_answering(data: SyntheticPairs, batches: Callable[..., Any]) -> None:
    batch = batches("question", "question_kind", "answer")
    model = VisualQuestionAnswering(image_tower(), text_tower(), fusion_layers=1, dropout=0.0)
    learn(model, batch, data, 40)
    figures = judged(QuestionAnswering(resamples=0), model, batch, data)
    assert figures["accuracy"] == 1


def test_fine_tuning(data: SyntheticPairs, batches: Callable[..., Any]) -> None:
    batch = batches("labels")
    model = FineTune(image_encoder=image_tower())
    learn(model, batch, data, 60)
    with torch.no_grad():
        scores = model.outputs(batch).scores
    known = ~batch["labels"].isnan()
    assert ((scores > 0) == (batch["labels"] == 1))[known].float().mean() > 0.99


def test_temporal_comparison(data: SyntheticPairs, batches: Callable[..., Any]) -> None:
    batch = batches("prior", "change")
    model = TemporalComparison(hidden=32, image_encoder=image_tower())
    learn(model, batch, data, 40)
    figures = judged(ChangeAccuracy(resamples=0), model, batch, data)
    assert figures["accuracy"] == 1
