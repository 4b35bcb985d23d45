"""What a user reads after a mistake: driven through the real parser, one row of `bad_inputs.yaml` each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch.cli import LightningArgumentParser

from main import main
from scripts.command_line.command_line import CommandLine
from scripts.command_line.suggestions import near

ROWS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("bad_inputs.yaml").read_text())
# Small parts of a configuration: a mistake is refused before what is missing is missed.
BASES = {
    "model": """
model:
  class_path: lightning_modules.DualEncoder
  init_args:
    image_encoder: {class_path: lightning_modules.ViTEncoder, init_args: {width: 16, layers: 1}}
    text_encoder: {class_path: lightning_modules.BertEncoder, init_args: {width: 16, layers: 1}}
    objective: {class_path: lightning_modules.InfoNCE}
    learning_rate: 1.0e-3
""",
    "data": """
data:
  class_path: datamodules.SyntheticPairs
  init_args:
    synthesizer:
      class_path: synthesis.PairSynthesizer
      init_args:
        sampler: {class_path: synthesis.BalancedCaseSampler}
        writer: {class_path: synthesis.GrammarWriter}
        image_maker: {class_path: synthesis.Simulator, init_args: {image_size: 64}}
    train_pairs: 8
    loader: {batch_size: 4}
""",
}


@pytest.fixture(scope="module")
def parser() -> Iterator[LightningArgumentParser]:
    """The parser of the command line, built once."""
    os.chdir(Path(__file__).resolve().parents[3])
    built: list[LightningArgumentParser] = []

    def keep(self: CommandLine, parser: LightningArgumentParser, args: Any) -> None:
        built.append(parser)
        raise InterruptedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CommandLine, "parse_arguments", keep)
        with pytest.raises(InterruptedError):
            main(["fit"])
    yield built[0]


def words(row: dict[str, Any], folder: Path) -> list[str]:
    """The command line of a row: its base, its own layer, its arguments."""
    layers = {"base": BASES.get(row.get("base", "none")), "own": row.get("yaml")}
    for name, text in layers.items():
        if text is not None:
            (folder / f"{name}.yaml").write_text(text)
    return [
        "fit",
        *(
            word
            for name, text in layers.items()
            if text is not None
            for word in ("-c", f"{folder}/{name}.yaml")
        ),
        *row.get("args", []),
    ]


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: " ".join(row.get("args", [])) or repr(row.get("yaml", ""))
)
def test_a_mistake_is_answered_in_a_few_lines(
    row: dict[str, Any], parser: LightningArgumentParser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args(words(row, tmp_path))
    answer = capsys.readouterr().err
    assert exit_.value.code == 2
    lines = answer.splitlines()
    assert lines[0].startswith("error: ") and len(lines) <= 8, answer
    assert not re.search(r"Union subtypes|NestedArg|<class|Traceback", answer), answer
    if "yaml" in row:
        assert f"{tmp_path}/own.yaml" in answer, answer
    for text in row["says"]:
        assert text in answer, answer
    assert answer.count("did you mean") == any("did you mean" in text for text in row["says"]), answer


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        ("lr", ["weight_decay", "learning_rate", "layers"], "learning_rate"),
        ("epochs", ["max_steps", "max_epochs"], "max_epochs"),
        ("siglip", ["lightning_modules.InfoNCE", "lightning_modules.SigLIP"], "lightning_modules.SigLIP"),
        ("temp", ["temperature", "text"], "temperature"),
        ("batchsize", ["a.batch_size", "a.eval_batch_size"], "a.batch_size"),
    ],
)
def test_what_was_meant_comes_first(typed: str, known: list[str], meant: str) -> None:
    assert near(typed, known)[0] == meant


def test_nothing_is_suggested_for_what_is_like_nothing() -> None:
    assert near("qqqq", ["learning_rate", "weight_decay"]) == []
