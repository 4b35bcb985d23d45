"""Values that are no text, given on the command line to a class within a class."""

from __future__ import annotations

import contextlib
import io

import pytest
import yaml

from main import main

BASE = ["fit", "-c", "configs/generator/base.yaml", "-c", "configs/generator/variational.yaml"]
ENCODER = "model.init_args.report_encoder.init_args"


@pytest.mark.parametrize(
    ("given", "expected"), [("null", None), ("true", True), ("some/directory", "some/directory")]
)
def test_a_value_reaches_an_inner_class_as_what_it_is(given: str, expected: object) -> None:
    name = "frozen" if expected is True else "pretrained"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        main([*BASE, f"--{ENCODER}.{name}={given}", "--print_config"])
    config = yaml.safe_load(printed.getvalue())
    assert config["model"]["init_args"]["report_encoder"]["init_args"][name] == expected
