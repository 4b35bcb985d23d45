"""Every program answers what ends it in a few lines, however it is started."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest

from scripts.command_line.errors import DEBUG, exit_code

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = sorted(
    path
    for path in (ROOT / "main.py", *(ROOT / "scripts").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"))
    if '\nif __name__ == "__main__":\n' in path.read_text()
)
# What is asked of a program, and what its answer names.
WRONG = {
    "scripts.sweeps.__main__": (["configs/sweeps/temprature.yaml"], "temprature.yaml: no such file"),
    "scripts.comparison.__main__": (["objectives", "--scale=tiny"], "no scale 'tiny'; there are "),
    "scripts.exports.cards": (["--run=nowhere"], "nowhere"),
    "scripts.tables.init_data": ([".", "nowhere.csv"], "nowhere.csv"),
    "scripts.pages.figures": (["--wrong"], "--wrong"),
}


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_program_ends_with_an_answer(path: Path) -> None:
    *_, last = ast.parse(path.read_text()).body
    assert isinstance(last, ast.If)
    assert ast.unparse(last.body[-1]) in ("sys.exit(exit_code(main))", "sys.exit(command())")


@pytest.mark.parametrize("module", WRONG)
def test_wrong_input_is_answered_without_a_traceback(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    words, named = WRONG[module]
    monkeypatch.setattr("sys.argv", [module, *words])
    monkeypatch.delenv(DEBUG, raising=False)
    monkeypatch.delitem(__import__("sys").modules, module, raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__")
    said = capsys.readouterr().err + (ended.value.code if isinstance(ended.value.code, str) else "")
    assert ended.value.code not in (0, None)
    assert named in said and "Traceback" not in said and len(said.splitlines()) <= 12


def test_a_traceback_is_shown_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ValueError("epochs=0: give 1 or more")

    monkeypatch.delenv(DEBUG, raising=False)
    assert exit_code(broken) == 1
    assert capsys.readouterr().err.startswith("error: epochs=0: give 1 or more\n")
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(ValueError, match="epochs=0"):
        exit_code(broken)


def test_numbers_are_exit_codes_and_other_results_are_none() -> None:
    assert [exit_code(lambda result=result: result) for result in (3, 0, None, Path("out"))] == [3, 0, 0, 0]
