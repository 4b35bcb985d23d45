"""The house rules that can be read from the imports alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any, ForwardRef, Literal, get_args, get_origin

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What of `synthesis` knows nothing of how pairs are made: models and callbacks may import it, too.
NEUTRAL = tuple(
    f"synthesis.{name}"
    for name in (
        "checksums",
        "configuration",
        "files",
        "limits",
        "model_files",
        "organ_names",  # what a segmentation and the masks of a batch call the organs
        "patch_code",  # a generator and the image maker that opens it agree on the code of an image
        "progress",
        "prompt_length",  # and on where a prompt is cut
        "reports.claim_phrases",
        "reports.headings",
        "reports.sentences",
        "reports.sides",
        "strict_yaml",
    )
)
# A folder (or main.py) and what it may import of our own; in the order in which data passes through them.
ALLOWED: dict[str, tuple[str, ...]] = {
    "synthesis": ("synthesis",),
    "datamodules": ("synthesis", "datamodules"),
    "lightning_modules": (*NEUTRAL, "datamodules.batch", "lightning_modules"),
    "callbacks": (*NEUTRAL, "datamodules.batch", "lightning_modules", "callbacks"),
    "scripts/command_line": (
        "synthesis",
        "datamodules",
        "lightning_modules",
        "callbacks",
        "scripts.command_line",
    ),
    "main.py": ("scripts.command_line",),
}
# Cold imports of these cost seconds: only inside the function that uses them, so that `--help` does not pay.
HEAVY = {"transformers", "diffusers", "monai", "wandb", "matplotlib", "sklearn", "pandas", "pydicom"}
LOCAL = {
    "synthesis",
    "datamodules",
    "lightning_modules",
    "callbacks",
    "main",
    "scripts",
    "benchmarks",
    "tests",
}


def sources(name: str) -> list[Path]:
    place = ROOT / name
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def imported(path: Path, nodes: Iterator[ast.AST] | None = None) -> Iterator[tuple[int, str]]:
    """Yield the line and the full dotted name of everything imported, relative imports made absolute."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in nodes or ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def at_import_time(path: Path) -> Iterator[ast.AST]:
    """Yield the nodes that run when the file is imported: no function bodies, no `if TYPE_CHECKING`."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(), str(path))]
    while waiting:
        node = waiting.pop()
        yield node
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not typing_only and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def within(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == a or name.startswith(f"{a}.") for a in allowed)


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_from_folders_above_it(folder: str) -> None:
    files = sources(folder)
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imported(path)
        if name.partition(".")[0] in LOCAL and not within(name, ALLOWED[folder])
    ]
    assert not wrong, f"{folder} may import only {ALLOWED[folder]}:\n" + "\n".join(wrong)


def test_what_is_neutral_imports_nothing_that_is_not() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for module in NEUTRAL
        for path in [ROOT / f"{module.replace('.', '/')}.py"]
        for line, name in imported(path)
        if name.partition(".")[0] in LOCAL and not within(name, NEUTRAL)
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}: move it into the function that uses it"
        for folder in ("synthesis", "datamodules", "callbacks", "scripts/command_line", "main.py")
        for path in sources(folder)
        for line, name in imported(path, at_import_time(path))
        if name.partition(".")[0] in HEAVY
    ]
    assert not wrong, "\n".join(wrong)


def test_the_readers_of_imports_see_what_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "callbacks").mkdir()
    path = tmp_path / "callbacks" / "bad.py"
    path.write_text(
        "from . import features\nfrom ..datamodules.synthetic import X\n"
        "if TYPE_CHECKING:\n    import pandas\ndef f():\n    import wandb\n"
        "class C:\n    import monai.data\n"
    )
    assert {name for _, name in imported(path)} == {
        "callbacks.features", "datamodules.synthetic.X", "pandas", "wandb", "monai.data",
    }  # fmt: skip
    assert {name for _, name in imported(path, at_import_time(path))} == {
        "callbacks.features", "datamodules.synthetic.X", "monai.data",
    }  # fmt: skip
    assert within("datamodules.batch.IMAGE", ("datamodules.batch",))
    assert not within("datamodules.batches", ("datamodules.batch",))


def test_every_imported_package_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(chain(project["dependencies"], *project["optional-dependencies"].values()))
    declared = {re.split(r"[\[<>=!~ ]", line)[0].lower().replace("_", "-") for line in requirements}
    owners = packages_distributions()
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for folder in (*ALLOWED, "scripts", "benchmarks", "tests")
        for path in sources(folder)
        for line, name in imported(path)
        if (top := name.partition(".")[0]) not in LOCAL | sys.stdlib_module_names
        # One that is not installed here, as the peers of an extra may be, goes by its own name.
        and not declared & {owner.lower().replace("_", "-") for owner in owners.get(top, (top,))}
    ]  # fmt: skip
    assert not wrong, "not in pyproject.toml:\n" + "\n".join(wrong)


def quoted(alias: Any) -> Iterator[str]:
    """Yield the expressions that stand as strings in a type alias, at any depth."""
    for part in () if get_origin(alias) is Literal else get_args(alias):
        if isinstance(part, ForwardRef | str):
            yield part.__forward_arg__ if isinstance(part, ForwardRef) else part
        else:
            yield from quoted(part)


def test_what_an_alias_quotes_is_a_name_of_every_module_that_has_the_alias() -> None:
    # For any other, jsonargparse searches all modules of the process at each class it parses: seconds a run.
    wrong = []
    for path in chain.from_iterable(sources(folder) for folder in ALLOWED):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = import_module(".".join(parts).removesuffix(".__init__"))
        wrong += [
            f"{module.__name__}.{name} quotes {text!r}: quote the whole alias, or import what it quotes"
            for name, value in vars(module).items()
            if not name.startswith("__") and not isinstance(value, type)
            for text in quoted(value)
            if text not in vars(module)
        ]
    assert not wrong, "\n".join(wrong)


def test_the_command_line_costs_no_more_to_import_than_lightning_does() -> None:
    # torchmetrics, which lightning imports, brings matplotlib and a part of transformers of its own.
    code = (
        f"import sys, lightning.pytorch.cli; brought = {HEAVY!r} & sys.modules.keys(); import main;"
        f"print(*sorted(({HEAVY!r} & sys.modules.keys()) - brought))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
