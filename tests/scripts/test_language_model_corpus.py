"""Reports by a language model from the command line on, and the benchmark that counts what passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import language_model as benchmark
from main import main
from synthesis.store import PairStore

ROOT = Path(__file__).resolve().parents[2]
MODEL = "--data.init_args.synthesizer.init_args.writer.init_args"


def test_a_corpus_is_made_and_trained_on_from_yaml(
    tiny_language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    layers = ("pretrain", "recipes/smoke", "data/language_model")
    main(
        [
            "fit",
            *(word for layer in layers for word in ("-c", f"configs/{layer}.yaml")),
            f"{MODEL}.model.init_args.weights={tiny_language_model}",
            f"{MODEL}.model.init_args.max_new_tokens=8",
            f"{MODEL}.attempts=1",
            f"--data.init_args.cache_dir={tmp_path / 'cache'}",
            f"--data.init_args.artifacts_dir={tmp_path / 'artifacts'}",
            "--data.init_args.train_pairs=8",
            "--data.init_args.loader.epoch_size=8",
            "--data.init_args.val_pairs=4",
            "--data.init_args.loader.batch_size=4",
            "--data.init_args.tokenizer_reports=50",
            f"--run_dir={tmp_path / 'run'}",
            "--trainer.callbacks=null",
            "--trainer.logger=false",
            "--trainer.limit_val_batches=0",
            "--trainer.max_epochs=1",
            "--trainer.enable_progress_bar=false",
        ]
    )
    (manifest,) = (tmp_path / "cache").glob("*/train/manifest.json")
    recipe = json.loads(manifest.read_text())["recipe"]
    (writer,) = (part for part in _parts(recipe) if part.get("name") == "LanguageModelWriter")
    assert len(writer["prompts_sha256"]) == 64 and len(writer["model"]["weights"]["sha256"]) == 64
    pairs = PairStore(manifest.parent, recipe).pairs(range(8))
    # Random weights say nothing of use: every report was refused, counted, and written by the grammar.
    assert all("handed to GrammarWriter: no findings in 1 attempts" in pair.notes for pair in pairs)
    assert all(any(note.startswith("findings, attempt 1: ") for note in pair.notes) for pair in pairs)
    assert all(pair.report.findings and pair.report.impression for pair in pairs)


def _parts(content: object) -> list[dict]:
    if not isinstance(content, dict):
        return []
    return [content, *(part for value in content.values() for part in _parts(value))]


def test_acceptance_is_counted_of_those_that_were_asked() -> None:
    counted = [
        ("findings", 1, "accepted", 6),
        ("findings", 1, "missing", 3),
        ("findings", 1, "extra", 2),
        ("findings", 3, "accepted", 1),
        ("impression", 1, "accepted", 7),
    ]
    outcomes = [dict(zip(("section", "attempt", "reason", "count"), row, strict=True)) for row in counted]
    assert benchmark.acceptance(outcomes, "findings", 10, 3) == [(6, 10), (0, 4), (1, 4)]
    assert benchmark.acceptance(outcomes, "impression", 7, 1) == [(7, 7)]
    assert benchmark.reasons(outcomes) == "missing 3, extra 2"


def test_the_benchmark_writes_its_table(
    tiny_language_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--weights={tiny_language_model}", "--cases=2", f"--output={tmp_path}"]
    benchmark.main([*arguments, "--arms", "sentences, no examples"])
    benchmark.main([*arguments, "--arms", "section, no examples"])
    table = (tmp_path / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert "| section, no examples | 0/2, 0/2 | – | 0/2 |" in table
    assert "| sentences, no examples | 0/2 | – | 0/2 |" in table
    found = json.loads((tmp_path / "sentences-no_examples.json").read_text())
    assert found["writer"]["examples"] == 0
    assert [report["findings"] for report in found["reports"]] == ["", ""]


def test_the_committed_table_is_that_of_the_committed_results() -> None:
    names = {path.stem: json.loads(path.read_text()) for path in benchmark.RESULTS.glob("*.json")}
    assert names
    ordered = {name: names[benchmark.file_name(name)] for name in benchmark.ARMS}
    assert (benchmark.RESULTS / "table.md").read_text() == "\n".join(benchmark.lines(ordered)) + "\n"
    for name, found in ordered.items():
        assert found["arm"]["prompts"] == benchmark.ARMS[name].prompts
