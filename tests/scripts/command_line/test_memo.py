"""What is remembered of parsing changes nothing but its time."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from decimal import localcontext
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import Namespace
from jsonargparse._common import parser_context
from lightning.pytorch.cli import LightningArgumentParser

from main import main
from scripts.command_line import parser
from scripts.command_line.memo import memo_key

ROOT = Path(__file__).resolve().parents[3]
SMOKE = ("-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml")
CALLS = [
    (
        "fit",
        *SMOKE,
        *("-c", "configs/objectives/siglip.yaml", "-c", "configs/filters/standard.yaml"),
        "--model.init_args.image_encoder.init_args.projection_dim=32",
    ),
    ("test", "-c", "configs/pretrain.yaml", "-c", "configs/tasks/detection.yaml", "--trainer.logger=false"),
]


class Tone(Enum):
    low = 1


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def printed(*words: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        main([*words, "--print_config"])
    return out.getvalue()


def test_a_configuration_is_the_same_as_without_and_needs_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Counter[str]()

    def counted(name: str) -> Any:
        plain = getattr(LightningArgumentParser, name)

        def call(self: Any, *args: Any, **options: Any) -> Any:
            calls[name] += 1
            return plain(self, *args, **options)

        return call

    first = [printed(*words) for words in CALLS]
    assert all("init_args" in text for text in first)
    for name in ("parse_object", "dump"):
        monkeypatch.setattr(LightningArgumentParser, name, counted(name))
    assert [printed(*words) for words in CALLS] == first
    few = dict(calls)
    for name in ("parse_object", "dump"):
        monkeypatch.setattr(parser.Parser, name, getattr(LightningArgumentParser, name))
    assert [printed(*words) for words in CALLS] == first
    assert all(calls[name] > 5 * few[name] > 0 for name in ("parse_object", "dump"))


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    layer, value = tmp_path / "layer.yaml", tmp_path / "filter.yaml"
    entry = {"synthesizer": {"init_args": {"filters": [str(value)]}}}
    layer.write_text(yaml.safe_dump({"data": {"init_args": entry}}))
    found = []
    for least in (0.125, 0.25):
        value.write_text(f"{{class_path: synthesis.filters.Contrast, init_args: {{least: {least}}}}}")
        config = yaml.safe_load(printed("fit", *SMOKE, "-c", str(layer)))
        (contrast,) = config["data"]["init_args"]["synthesizer"]["init_args"]["filters"]
        found.append(contrast["init_args"]["least"])
    assert found == [0.125, 0.25]


def test_only_what_is_alike_shares_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alike = [1, True, 1.0, "1", 0.0, -0.0, None, "None", (1,), [1], {"a": 1, "b": 2}, {"b": 2, "a": 1}]
    alike += [Namespace(a=1, b=2), Tone.low, Path("1"), int, {1: "a"}, {"1": "a"}, [[1], 2], [1, [2]]]
    keys = [memo_key(value) for value in alike]
    assert None not in keys
    assert len(set(keys)) == len(alike)
    assert [memo_key(value) for value in alike] == keys
    assert memo_key(object()) is None
    assert memo_key({"a": [object()]}) is None

    monkeypatch.chdir(tmp_path)
    assert memo_key({"a": ["there.yaml"]}) is not None
    Path("there.yaml").touch()
    assert memo_key({"a": ["there.yaml"]}) is None


def test_what_jsonargparse_is_doing_parts_calls_and_what_others_do_does_not() -> None:
    before = memo_key("a")
    with parser_context(lenient_check=True):
        assert memo_key("a") not in (before, None)
    with localcontext(prec=3):  # an object with an identity of its own
        assert memo_key("a") == before


def test_what_is_done_to_a_result_does_not_stay() -> None:
    own = parser.Parser(exit_on_error=False)
    own.add_argument("--a", type=dict[str, int])
    first = own.parse_object({"a": {"b": 1}})
    first.a["b"] = 2
    assert own.parse_object({"a": {"b": 1}}).a == {"b": 1}
