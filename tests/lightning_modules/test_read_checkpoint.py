"""A checkpoint is read whole or refused by name, and nothing in it is executed."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from lightning_modules.checkpoints import CheckpointError, checkpoint_bytes, load_model, read_checkpoint
from lightning_modules.sealed_archive import seal


def content() -> dict[str, Any]:
    tensors = {f"layer.{n}": torch.arange(7.0 + n) / 3 for n in range(20)}
    return {"state_dict": tensors, "global_step": 3, "hyper_parameters": {"width": 8}}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "last.ckpt"
    path.write_bytes(checkpoint_bytes(content()))
    return path


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """As another program, or an earlier version of this one, has written it."""
    torch.save(content(), tmp_path / "foreign.ckpt")
    return tmp_path / "foreign.ckpt"


@pytest.mark.parametrize("name", ["ours", "foreign"])
@pytest.mark.parametrize("mmap", [False, True])
def test_what_was_written_is_read(name: str, mmap: bool, request: pytest.FixtureRequest) -> None:
    found = read_checkpoint(request.getfixturevalue(name), mmap=mmap)
    expected = content()
    tensors = expected.pop("state_dict")
    assert all(torch.equal(value, tensors[key]) for key, value in found.pop("state_dict").items())
    assert found == expected


def test_torch_reads_what_we_write(ours: Path) -> None:
    assert torch.load(ours, weights_only=True).keys() == content().keys()


def test_every_changed_byte_is_noticed(ours: Path) -> None:
    whole, random = ours.read_bytes(), Random(0)
    positions = [*range(len(whole) - 180, len(whole)), *random.sample(range(len(whole)), 400)]
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= random.randrange(1, 256)
        ours.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be read as a checkpoint: .*damaged"):
            read_checkpoint(ours)


def test_every_truncation_and_what_is_appended_is_noticed(ours: Path) -> None:
    whole, random = ours.read_bytes(), Random(0)
    for length in [0, 1, len(whole) - 1, len(whole) - 71, *random.sample(range(len(whole)), 60)]:
        ours.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut short|damaged|empty"):
            read_checkpoint(ours)
    ours.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError):
        read_checkpoint(ours)


def test_no_changed_tensor_of_another_program_is_loaded(foreign: Path) -> None:
    whole, random, tensors = foreign.read_bytes(), Random(0), content()["state_dict"]
    refused = 0
    for position in random.sample(range(len(whole)), 200):
        damaged = bytearray(whole)
        damaged[position] ^= random.randrange(1, 256)
        foreign.write_bytes(damaged)
        try:
            found = read_checkpoint(foreign)["state_dict"]
        except CheckpointError:
            refused += 1
        else:  # a gap between two tensors
            assert all(torch.equal(value, tensors[key]) for key, value in found.items())
    assert refused > 50


class Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "executed")


def test_nothing_is_executed(tmp_path: Path) -> None:
    target, path = tmp_path / "executed", tmp_path / "evil.ckpt"
    evil = content() | {"callbacks": Runs(target)}
    torch.save(evil, path)
    sealed = tmp_path / "sealed.ckpt"
    sealed.write_bytes(checkpoint_bytes(evil))
    legacy = tmp_path / "legacy.ckpt"
    torch.save(evil, legacy, _use_new_zipfile_serialization=False)
    plain = tmp_path / "plain.ckpt"
    plain.write_bytes(pickle.dumps(evil))
    for file, reason in {path: "could run code", sealed: "could run code", legacy: "no checkpoint"}.items():
        for read in (read_checkpoint, load_model):
            with pytest.raises(CheckpointError, match=rf"{file.name} .*{reason}"):
                read(file)
    with pytest.raises(CheckpointError, match=r"plain\.ckpt"):
        read_checkpoint(plain)
    assert not target.exists()
    pickle.loads(plain.read_bytes())
    assert target.exists()  # so the file was one that does it


def test_nothing_is_fetched() -> None:
    for address in ("http://localhost:1/a.ckpt", "https://localhost:1/a.ckpt", "s3://bucket/a.ckpt"):
        with pytest.raises(CheckpointError, match=r"network; download it"):
            read_checkpoint(address)


def test_other_files_are_named_with_the_reason(ours: Path, tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("hello " * 100)
    packed = tmp_path / "packed.ckpt"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1_000_000))
    torch.save([1, 2], tmp_path / "list.ckpt")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.ckpt")
    for name, reason in {
        "gone": "no such file",
        "text": "no checkpoint",
        "packed": "compressed",
        "list": "no state_dict",
        "weights": "no state_dict",
    }.items():
        with pytest.raises(
            CheckpointError,
            match=rf"{name}\.ckpt .*: .*{reason}.*\. Give one that lies beside it: .*last\.ckpt",
        ):
            read_checkpoint(tmp_path / f"{name}.ckpt")
    with pytest.raises(CheckpointError, match="not a file"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="does not say which model"):
        load_model(ours)


def test_the_seal_is_of_zip_archives_only() -> None:
    with pytest.raises(ValueError, match="ZIP"):
        seal(b"no archive")
