"""What the shell offers after a part of a command."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from scripts.command_line.completion import completion_script, main

CASES = [
    (["synvlp", "va"], ["validate"]),
    (["synvlp", "init"], ["init-data"]),
    (["synvlp", "fit", "-c", "configs/recipes/sho"], ["configs/recipes/short.yaml"]),
    (["synvlp", "fit", "-c", "configs/pretrain.yaml", "--trainer.max_ep"], ["--trainer.max_epochs"]),
    (["synvlp", "fit", "--run_d"], ["--run_dir"]),
]


@pytest.fixture(scope="module")
def script() -> str:
    return completion_script()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(("words", "expected"), CASES, ids=lambda case: case[-1])
def test_bash_completes(script: str, words: list[str], expected: list[str]) -> None:
    typed = " ".join(f"'{word}'" for word in words)
    state = f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}"
    asked = "\n".join([script, state, "_synvlp", 'printf "%s\\n" "${COMPREPLY[@]}"'])
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(set(done.stdout.split())) == expected


def test_another_shell_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["csh"])
    assert "invalid choice: 'csh' (choose from" in capsys.readouterr().err
