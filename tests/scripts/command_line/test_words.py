"""Programs beside Lightning's subcommands."""

from __future__ import annotations

import importlib

import pytest

import main as entry
from scripts.command_line.words import WORDS, help_text


@pytest.mark.parametrize("word", WORDS)
def test_every_word_has_a_program_and_a_line(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["synvlp", word, "--help"])
    with pytest.raises(SystemExit) as exit_:
        entry.command()
    assert exit_.value.code == 0
    assert "usage: " in capsys.readouterr().out
    assert f"  {word} " in help_text()


def test_a_program_gets_what_follows_its_word_and_gives_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got: list[list[str]] = []

    def program(args: list[str]) -> int:
        got.append(args)
        return 3

    monkeypatch.setattr("sys.argv", ["synvlp", "export", "--run=a", "b"])
    monkeypatch.setattr(importlib.import_module(WORDS["export"].module), "main", program)
    assert entry.command() == 3
    assert got == [["--run=a", "b"]]
