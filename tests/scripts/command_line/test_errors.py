"""What is printed when a run fails."""

from __future__ import annotations

import errno

import pytest
from torch.utils.data import DataLoader, Dataset

import main as entry
from scripts.command_line.errors import answered


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
