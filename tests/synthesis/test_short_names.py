from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

import synthesis
from synthesis.reports.report_writer import ReportWriter


def test_what_is_listed_is_what_types_say_and_what_is_imported() -> None:
    tree = ast.parse(Path(str(synthesis.__file__)).read_text())
    typed = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("synthesis.")
        for alias in node.names
    }
    assert sorted(typed) == sorted(synthesis.__all__)
    for name, module in typed.items():
        assert getattr(synthesis, name) is getattr(import_module(str(module)), name)
    with pytest.raises(AttributeError, match="no attribute 'GramarWriter'"):
        _ = synthesis.GramarWriter  # type: ignore[attr-defined]


def test_importing_it_brings_nothing() -> None:
    code = "import sys, synthesis; print(*{'torch', 'numpy', 'yaml'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_yaml_may_use_the_short_name_and_gets_it_back() -> None:
    parser = ArgumentParser()
    parser.add_argument("--writer", type=ReportWriter)
    config = parser.parse_args(["--writer=synthesis.GrammarWriter"])
    assert config.writer.class_path == "synthesis.GrammarWriter"
    assert "class_path: synthesis.GrammarWriter" in parser.dump(config)
    assert type(parser.instantiate_classes(config).writer) is synthesis.GrammarWriter
