"""What is printed when a run fails."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

import main as entry
from scripts.command_line.advice import advised
from scripts.command_line.errors import answered, exit_code, given
from scripts.command_line.layers import LAST


class Broken(Dataset[int]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        raise ValueError(f"row {index}: no such image; correct the table.")


def caught(call: object) -> BaseException:
    with pytest.raises(BaseException) as info:
        call()  # type: ignore[operator]
    return info.value


def refused(how: BaseException) -> BaseException:
    def call() -> None:
        raise how

    return caught(call)


def test_what_this_project_refuses_is_said_without_its_type() -> None:
    error = refused(ValueError("patch_size=0: give 1 or more"))
    first, *more = answered(error).splitlines()
    assert first == "error: patch_size=0: give 1 or more"
    assert more == ["  SYNVLP_DEBUG=1 shows the whole traceback"]


def test_anything_else_comes_with_type_and_place() -> None:
    first, place, _ = answered(caught(lambda: 1 // 0)).splitlines()
    assert first == "error: ZeroDivisionError: integer division or modulo by zero"
    assert place.startswith("  at tests/scripts/command_line/test_errors.py:")


def test_the_cause_is_found_where_jsonargparse_wraps_it() -> None:
    cause = refused(ValueError("layers=0: give 1 or more"))
    wrapped = ValueError("Does not validate against any of the Union subtypes\nGiven value type: x")
    wrapped.__cause__ = cause
    assert answered(wrapped) == answered(cause)


class Width:
    """Hands its arguments on to a library that refuses one of them."""

    def __init__(self, width: int = 33, heads: int = 2) -> None:
        json.loads(f"{{width {width}")


def test_a_library_s_refusal_names_the_argument_that_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    error = caught(lambda: Width(heads=1))  # the message holds "line 1"
    assert "Width: Expecting property name" in answered(error) and "correct heads=1" in answered(error)


@pytest.mark.parametrize(
    ("how", "option", "said"),
    [
        (
            FileExistsError(errno.EEXIST, "File exists", "/tmp/x/a"),
            "run_dir=/tmp/x",
            "/tmp/x/a: is a file; give",
        ),
        (OSError(errno.ELOOP, "Loop", "/tmp/x"), "data.cache_dir=/tmp/x", "leads back to itself; give"),
        (PermissionError(errno.EACCES, "Denied", "/tmp/x/b"), "run_dir=/tmp/x", "give another path"),
        (ValueError("Encoder: width=-3: give 1 or more"), "model.width=-3", "give 1 or more"),
        (
            MemoryError("Unable to allocate 7 PiB, shape (1000000000,)"),
            "data.train_pairs=1000000000",
            "lower it",
        ),
    ],
)
def test_the_option_that_set_it_off_is_named(how: Exception, option: str, said: str) -> None:
    token = LAST.set(("fit", "--model.seed=3", f"--{option}", "--trainer.max_epochs=2"))
    try:
        answer = answered(refused(how))
    finally:
        LAST.reset(token)
    assert said in answer and f"  given: --{option}\n" in answer and "  at " not in answer


def test_what_a_layer_sets_is_named_by_its_line(tmp_path: Path) -> None:
    layer = tmp_path / "layer.yaml"
    layer.write_text("model:\n  init_args:\n    width: -3\n")
    assert given("Encoder: width=-3: give 1 or more", ("-c", str(layer))) == (
        f"{layer}, line 3: model.init_args.width"
    )
    assert given("Encoder: width=-4: give 1 or more", ("-c", str(layer))) is None


@pytest.mark.parametrize(
    ("message", "option", "said"),
    [
        ("`Trainer(devices='0')` value is not a valid input using cpu accelerator.", "devices=0", "from 1"),
        ("No supported gpu backend found!", "accelerator=gpu", "give cpu, gpu"),
        ("configured with `enable_checkpointing=False` but", "enable_checkpointing=false", "set it to true"),
        ("`Timer(duration='abc')` is not valid", "max_time=abc", "give a time such as"),
    ],
)
def test_lightning_s_refusals_come_with_a_remedy(message: str, option: str, said: str) -> None:
    answer = advised(message, (f"--trainer.{option}",))
    assert answer.startswith(f"trainer.{option}: ") and said in answer


def test_a_program_ends_with_an_answer_and_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError("--to=a: is a file; give a directory")

    assert (exit_code(lambda: 3), exit_code(lambda: None), exit_code(fail)) == (3, 0, 1)
    assert capsys.readouterr().err.startswith("error: --to=a: is a file; give a directory\n")


def test_a_full_disk_is_named_with_the_remedy() -> None:
    answer = answered(refused(OSError(errno.ENOSPC, "No space left on device", "runs/fit/metrics.csv")))
    assert "runs/fit/metrics.csv: no space left on the device: free some" in answer


def test_the_cause_is_found_in_a_worker_of_the_loader() -> None:
    error = caught(lambda: list(DataLoader(Broken(), num_workers=1)))
    assert answered(error).splitlines()[0].endswith("row 0: no such image; correct the table.")
    assert "Original Traceback" not in answered(error)


def test_long_messages_are_cut() -> None:
    assert len(answered(RuntimeError("\n".join(map(str, range(100))))).splitlines()) <= 8


def test_the_command_prints_an_answer_and_the_function_raises(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: object = None) -> None:
        raise ValueError("nothing to train on; give data")

    monkeypatch.setattr(entry, "main", fail)
    monkeypatch.setattr("sys.argv", ["synvlp", "fit"])
    monkeypatch.delenv("SYNVLP_DEBUG", raising=False)
    assert entry.command() == 1
    assert capsys.readouterr().err.startswith("error: nothing to train on")
    monkeypatch.setenv("SYNVLP_DEBUG", "1")
    monkeypatch.setenv("JSONARGPARSE_DEBUG", "1")
    with pytest.raises(ValueError, match="nothing to train on"):
        entry.command()
