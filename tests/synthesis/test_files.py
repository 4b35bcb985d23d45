"""Files and directories are there whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from synthesis.files import TEMPORARY, locked, replaced, write_atomically, write_json

ROOT = Path(__file__).resolve().parents[2]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_text_bytes_and_json_are_written_with_their_folders(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "text.md", "Größe\n")
    write_atomically(tmp_path / "a" / "bytes", b"\0\1")
    write_json(tmp_path / "a" / "b" / "facts.json", {"größe": [1, None]})
    assert (tmp_path / "a" / "text.md").read_text("utf-8") == "Größe\n"
    assert (tmp_path / "a" / "bytes").read_bytes() == b"\0\1"
    text = (tmp_path / "a" / "b" / "facts.json").read_text("utf-8")
    assert json.loads(text) == {"größe": [1, None]} and "größe" in text
    assert names(tmp_path / "a") == ["b", "bytes", "text.md"]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    write_atomically(path, "old")
    with pytest.raises(OSError, match="full"), replaced(path) as temporary:
        temporary.write_text("half of the n")
        raise OSError("full")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"auroc": float("nan")})
    assert path.read_text() == "old" and names(tmp_path) == ["table.md"]


def test_the_old_file_is_there_until_the_new_one_is(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    write_atomically(path, "old")
    with replaced(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.name.endswith(TEMPORARY)
    assert path.read_text() == "new"


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "models" / "one"
    with replaced(target) as temporary:
        temporary.mkdir()
        (temporary / "weights").write_bytes(b"1")
        assert not target.exists()
    assert names(target) == ["weights"] and names(target.parent) == ["one"]
    with pytest.raises(RuntimeError), replaced(tmp_path / "two") as temporary:
        temporary.mkdir()
        raise RuntimeError
    assert names(tmp_path) == ["models"]


def test_a_lock_keeps_another_process_out_until_it_is_free(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from synthesis.files import locked\n"
        "with locked(Path(sys.argv[1]), sys.argv[2]): print('in', flush=True)"
    )

    def other(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, str(tmp_path), name]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    with locked(tmp_path, "one"):
        assert other("two").wait(60) == 0, "another lock of the directory"
        waiting = other("one")
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1.5)
    assert waiting.wait(60) == 0
    assert waiting.stdout is not None and waiting.stdout.read() == "in\n"


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    import errno

    for error in (
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("io: No space left on device (28)"),
    ):
        with pytest.raises(OSError, match="No space left") as caught, replaced(tmp_path / "weights.bin"):
            raise error
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "weights.bin"))
    assert names(tmp_path) == []


def test_a_directory_that_cannot_be_written_to_says_what_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with (
        pytest.raises(PermissionError, match=r"nothing can be made in .*; give a directory"),
        locked(tmp_path),
    ):
        pass
