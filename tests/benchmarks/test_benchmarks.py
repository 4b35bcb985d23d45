"""The pieces of `make bench`, at sizes where they take no time."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from benchmarks import epoch_speed, objective_speed, throughput, timing, training_speed
from scripts.comparison.reader import FOLDER

TINY = (
    "-c",
    str(throughput.TINY),
    "--model.init_args.image_encoder.init_args.image_size=64",
    "--data.init_args.train_pairs=12",
    "--data.init_args.loader.epoch_size=12",
    "--data.init_args.val_pairs=1",
    "--data.init_args.test_pairs=1",
    "--data.init_args.loader.batch_size=4",
    "--data.init_args.loader.num_workers=0",
)


def test_works_take_turns_and_the_least_counts_but_not_the_first() -> None:
    order: list[str] = []
    waits = {"a": iter([0.0, 0.03, 0.01]), "b": iter([0.0, 0.02, 0.05])}

    def work(name: str) -> None:
        order.append(name)
        time.sleep(next(waits[name]))

    least = timing.best_in_turns(2, {"a": lambda: work("a"), "b": lambda: work("b")})
    assert order == ["a", "b"] * 3
    assert least["a"] >= 0.01 and least["b"] >= 0.02


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with timing.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_flop_of_products_and_attention_are_counted() -> None:
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    assert training_speed.flop(lambda: a @ b) == 2 * 3 * 5 * 7
    q = torch.randn(2, 4, 16, 8)
    attend = torch.nn.functional.scaled_dot_product_attention
    assert training_speed.flop(lambda: attend(q, q, q)) == 2 * (2 * 4 * 2 * 16 * 16 * 8)


def test_the_base_recipe_is_what_is_measured() -> None:
    built = training_speed.configured()
    recipe = yaml.safe_load(training_speed.BASE.read_text())
    data, model = recipe["data"]["init_args"], recipe["model"]["init_args"]
    image, text = (model[tower]["init_args"] for tower in ("image_encoder", "text_encoder"))
    assert built.data.loader.batch_size == data["loader"]["batch_size"]
    assert built.data.synthesizer.image_size == image["image_size"]
    assert built.model.image_encoder.width == image["width"]
    assert built.model.text_encoder.vocab_size == text["vocab_size"]
    assert built.data.tokenizer_options.vocab_size == text["vocab_size"]


def test_training_learns_while_it_is_timed(tmp_path: Path) -> None:
    built = training_speed.configured(*TINY, f"--data.init_args.artifacts_dir={tmp_path}")
    built.data.prepare_data()
    built.data.setup("fit")
    batch = next(iter(built.data.train_dataloader()))
    before = [p.clone() for p in built.model.parameters()]
    found = training_speed.training_rate(built.model, batch, repeats=1, side=32)
    assert any(not torch.equal(a, b) for a, b in zip(before, built.model.parameters(), strict=True))
    per_second = found["flop_per_sample"] * found["samples_per_second"]
    assert found["training_flop_per_second"] == pytest.approx(per_second)
    share = per_second / found["matrix_product_flop_per_second"]
    assert found["share_of_matrix_product"] == pytest.approx(share)
    # Six per weight and token at least for the largest kernels: no pass is left out.
    kernels = sum(p.numel() for p in built.model.image_encoder.parameters() if p.ndim == 2)
    assert found["flop_per_sample"] > 6 * kernels


def test_on_the_fly_and_cached_are_compared(tmp_path: Path) -> None:
    args = (*TINY, f"--data.init_args.artifacts_dir={tmp_path}")
    found = epoch_speed.fly_against_cache(args, tmp_path / "cache", rounds=1, epochs=1)
    ratio = found["cached_pairs_per_second"] / found["on_the_fly_pairs_per_second"]
    assert found["on_the_fly_over_cached"] == pytest.approx(ratio)
    assert list((tmp_path / "cache").rglob("*.safetensors"))


def test_the_clock_leaves_the_first_batch_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 101.0, 103.0])
    monkeypatch.setattr(epoch_speed, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    clock, trainer, model = epoch_speed.BatchClock(), Any, Any
    clock.on_train_epoch_start(trainer, model)
    for k in range(3):
        clock.on_train_batch_end(trainer, model, None, {"image": torch.zeros(4, 1, 2, 2)}, k)
    clock.on_train_epoch_end(trainer, model)
    assert clock.seconds_per_pair == [3.0 / 8]


def test_an_epoch_of_one_batch_is_refused() -> None:
    clock = epoch_speed.BatchClock()
    clock.on_train_batch_end(Any, Any, None, {"image": torch.zeros(4, 1, 2, 2)}, 0)
    with pytest.raises(ValueError, match="2 batches"):
        clock.on_train_epoch_end(Any, Any)


def test_pairs_are_timed_at_every_size() -> None:
    found = throughput.pairs_a_second([64, 96], pairs=2, repeats=1)
    assert list(found) == ["64", "96"] and all(speed > 0 for speed in found.values())


def test_main_writes_and_prints_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(throughput, "pairs_a_second", lambda *_: {"64": 40.0, "128": 10.0})
    rates = {"flop_per_sample": 2e9, "training_flop_per_second": 1.6e11, "samples_per_second": 80.0}
    rates |= {"matrix_product_flop_per_second": 2e11, "share_of_matrix_product": 0.8}
    loader = SimpleNamespace(
        prepare_data=lambda: None, setup=lambda stage: None, train_dataloader=lambda: [{}]
    )
    monkeypatch.setattr(throughput, "configured", lambda *_: SimpleNamespace(model=None, data=loader))
    monkeypatch.setattr(throughput, "training_rate", lambda *_: rates)
    epoch = {"on_the_fly_pairs_per_second": 20.0, "cached_pairs_per_second": 50.0}
    epoch |= {"on_the_fly_over_cached": 2.5}
    monkeypatch.setattr(throughput, "fly_against_cache", lambda *_: epoch)
    monkeypatch.setattr(
        "sys.argv", ["throughput.py", "--quick", "--sizes", "64", "128", f"--results={tmp_path}"]
    )
    throughput.main()
    found = json.loads((tmp_path / "throughput.json").read_text())
    assert found["cost_of_a_pair"] == {"64": 1.0, "128": 4.0}
    assert found["cores_to_feed_training"] == {"64": 2.0, "128": 8.0}
    text = (tmp_path / "throughput.md").read_text()
    assert "| 128 | 10.0 | ×4.00 | 8.00 |" in text and "×2.50" in text and "figures mean nothing" in text
    assert text in capsys.readouterr().out


def test_every_objective_is_timed_beside_plain_info_nce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = yaml.safe_load((FOLDER / "objectives.yaml").read_text())
    content["arms"] = {name: content["arms"][name] for name in ("clip", "siglip")}  # seconds to parse
    content["contrasts"] = []
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(objective_speed, "COMPARISON", str(tmp_path / "two.yaml"))
    table = objective_speed.measure("smoke", 2, "32-true", tmp_path)
    clip, siglip = (line for line in table.splitlines() if line.startswith(("| clip", "| siglip")))
    assert "×1.00" in clip and "×" in siglip
    assert "the quickest of 2 steps of 16 pairs" in table
    assert (tmp_path / "objectives.md").read_text() == table
