"""Only the subcommand that is called gets its options; the help needs none of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch.cli import LightningCLI

from main import command, main
from scripts.command_line.command_line import CommandLine, called_among
from scripts.command_line.parser import Parser
from scripts.command_line.words import SUBCOMMANDS, WORDS

ROOT = Path(__file__).resolve().parents[3]


def test_every_subcommand_of_lightning_is_described() -> None:
    assert set(SUBCOMMANDS) == set(LightningCLI.subcommands())


@pytest.mark.parametrize(
    ("args", "called"),
    [
        (["fit", "-c", "a.yaml"], {"fit"}),
        (["-c", "a.yaml", "test"], {"test"}),
        ({"subcommand": "fit", "fit": {}}, {"fit"}),
        (["-c", "whole.yaml"], {"fit", "test"}),
        ([], {"fit", "test"}),
        (None, {"fit", "test"}),
    ],
)
def test_those_called_are_found_among_the_words(args: object, called: set[str]) -> None:
    assert called_among(("fit", "test"), args) == called  # type: ignore[arg-type]


def test_only_the_called_one_knows_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    built: dict[str, int] = {}

    def parse(self: CommandLine, parser: Parser, args: object) -> None:
        built.update({name: len(own._option_string_actions) for name, own in parser.subcommands().items()})
        raise KeyboardInterrupt

    monkeypatch.setattr(CommandLine, "parse_arguments", parse)
    with pytest.raises(KeyboardInterrupt):
        main(["validate", "-c", "configs/pretrain.yaml"])
    assert built["validate"] > 30 > max(built[name] for name in ("fit", "test", "predict"))


def test_help_is_printed_without_lightning() -> None:
    code = (
        "import sys, main; sys.argv = ['synvlp', '--help']; code = main.command();"
        "print(sorted({'lightning', 'torch', 'jsonargparse'} & sys.modules.keys())); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    text, brought = done.stdout.rstrip().rsplit("\n", 1)
    assert brought == "[]"
    assert all(f"\n  {word} " in text for word in [*SUBCOMMANDS, *WORDS])


def test_help_within_python_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert capsys.readouterr().out.startswith("usage: synvlp fit|validate|test -c")
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "--help"])
    assert "--trainer.max_epochs" in capsys.readouterr().out


def test_no_word_at_all_is_answered_with_the_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["synvlp"])
    assert command() == 2
    assert capsys.readouterr().err.startswith(
        "error: no subcommand; give one: fit, validate, test, predict, "
    )
