"""The chapters of callbacks stand in an order: each imports from those before it, so there is no circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CALLBACKS = Path(__file__).resolve().parents[2] / "callbacks"
ORDER = ("statistics", "drawing", "base", "evaluations", "prediction", "run")


def imported(path: Path) -> set[str]:
    """The chapters that a file imports from, also in functions and for types alone."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = [node.module.split(".") for node in nodes if node.module and node.module.startswith("callbacks")]
    return {parts[1] if len(parts) > 1 else "" for parts in names}


@pytest.mark.parametrize("chapter", ORDER)
def test_a_chapter_imports_from_those_before_it(chapter: str) -> None:
    allowed = set(ORDER[: ORDER.index(chapter) + 1])
    files = list((CALLBACKS / chapter).glob("*.py"))
    wrong = {path.name: imported(path) - allowed for path in files if imported(path) - allowed}
    assert len(files) > 2 and not wrong


def test_there_is_no_other_chapter() -> None:
    assert {path.name for path in CALLBACKS.iterdir() if (path / "__init__.py").exists()} == set(ORDER)


def test_evaluations_do_not_import_each_other() -> None:
    # What a phrase is, for grounding and zero-shot; the base of the maps that ground it, and the usual ones.
    shared = {"zero_shot_prompts", "phrase_queries", "phrase_maps", "patch_maps"}
    for path in (CALLBACKS / "evaluations").glob("*.py"):
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        others = {
            n.module.split(".")[2]
            for n in nodes
            if n.module and n.module.startswith("callbacks.evaluations.")
        }
        assert others <= shared, path.name
