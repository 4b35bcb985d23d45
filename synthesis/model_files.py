"""The gate for models by name: a directory, or ``hub:owner/name``, checked before it is opened.

Every pretrained model, tokenizer and pipeline of this project passes here, because a name is an input from
outside: it may be mistyped, and a directory may hold code, pickles, or weights that are broken.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthesis.checksums import CHECKSUMS, ChecksumError, check_all
from synthesis.configuration import shipped

if TYPE_CHECKING:
    from torch import Tensor

HUB = "hub:"
"""How a name begins that may lead to a download."""

Need = Literal["config", "pipeline", "weights", "tokenizer"]

_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+(@[\w./-]+)?")
_PLAIN = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.msgpack", "*.h5")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_SETTINGS: dict[Need, str] = {"config": "config.json", "pipeline": "model_index.json"}


class ModelFilesError(ValueError):
    """A name or a directory that no model is opened from; the message says why, and the remedy."""


def model_directory(
    name: str | Path, needs: Collection[Need] = ("config", "weights"), argument: str = "pretrained"
) -> Path:
    """Return the directory of a model, checked; only a name of the hub may lead to a download.

    Args:
        name: A directory, also one of those shipped (``results/encoders/short``), or ``hub:owner/name`` with
            ``@revision`` after it if it is not to be the newest.
        needs: What it has to hold.
        argument: What the caller calls the name, for messages.

    Raises:
        ModelFilesError: If there is no such directory, or it lacks something, or holds code, pickled objects
            or NaN weights, or is not what was written.
    """
    directory = _fetched(str(name), argument) if str(name).startswith(HUB) else _local(name, argument)
    check_directory(directory, needs, argument)
    return directory


def check_directory(
    directory: Path, needs: Collection[Need] = ("config", "weights"), argument: str = "pretrained"
) -> None:
    """Refuse a directory that no model should be opened from: see `model_directory`."""
    where = f"{argument}={str(directory)!r}"
    for need in needs:
        if need in _SETTINGS and not (directory / _SETTINGS[need]).is_file():
            raise ModelFilesError(
                f"{where} holds no {_SETTINGS[need]}, but {_listed(directory)}; give a directory that "
                "save_pretrained wrote"
            )
    for path in _json_files(directory):
        settings = _settings(path, where)
        if isinstance(settings, dict) and (code := settings.get("auto_map")):
            raise ModelFilesError(
                f"{where}: {path.name} asks for code of its own (auto_map: {_first(code)}), which is never "
                "run; give a model that transformers knows, or take auto_map out if its model_type is one"
            )
    if code := sorted(directory.rglob("*.py")):
        raise ModelFilesError(
            f"{where} holds code ({code[0].relative_to(directory)}), which is never run; give a directory of "
            "weights and configuration alone"
        )
    _check_sums(directory, where)
    if "tokenizer" in needs and not has_tokenizer(directory):
        raise ModelFilesError(
            f"{where} holds no tokenizer ({', '.join(_TOKENIZERS)}), but {_listed(directory)}: transformers "
            "would make one up that knows no word; save the tokenizer there too"
        )
    if "weights" in needs:
        _check_weights(directory, where)


def open_pretrained(kind: Any, directory: Path, **options: Any) -> Any:
    """Open a part of a checked directory: the one place where `from_pretrained` is called.

    Nothing is fetched, and no code of the directory is run, whatever answers a question at the terminal.

    Args:
        kind: A class of `transformers` or `diffusers`.
        directory: What `model_directory` returned, or a folder in it.
        **options: Further arguments of ``kind.from_pretrained``.
    """
    if kind.__module__.startswith(("transformers.", "diffusers.pipelines.")):  # the others cannot run any
        options["trust_remote_code"] = False
    with _no_report():  # what is missing is looked at by whoever opens it
        return kind.from_pretrained(directory, local_files_only=True, **options)


@contextmanager
def _no_report() -> Iterator[None]:
    """Leave out the table of all weights that transformers prints where a directory lacks some."""
    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def has_tokenizer(directory: Path) -> bool:
    """Return whether a directory holds the file of a tokenizer."""
    return any(path.stat().st_size for pattern in _TOKENIZERS for path in directory.glob(pattern))


def _local(name: str | Path, argument: str) -> Path:
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if not path.is_absolute() and shipped(path).is_dir() and len(path.parts) > 1:
        return shipped(path)
    where = f"{argument}={str(name)!r}"
    if "://" in str(name):
        raise ModelFilesError(
            f"{where} is a URL, from which nothing is loaded; give a directory, or {HUB}owner/name"
        )
    if path.is_file():
        raise ModelFilesError(f"{where} is a file; give the directory that holds the model")
    hub = f", or {HUB}{name} for the model of that name at the hub" if _HUB_ID.fullmatch(str(name)) else ""
    raise ModelFilesError(f"{where}: no such directory; {_beside(path)}. Correct the path{hub}")


def _beside(path: Path) -> str:
    """Say what lies where a path was looked for."""
    there = next(parent for parent in path.absolute().parents if parent.is_dir())
    wanted = path.absolute().relative_to(there).parts[0]
    names = sorted(entry.name for entry in there.iterdir() if not entry.name.startswith("."))
    if close := get_close_matches(wanted, names, n=3, cutoff=0.6):
        return f"{there} holds {', '.join(close)}"
    return f"{there} {_listed(there)}"


def _listed(directory: Path, most: int = 8) -> str:
    names = sorted(entry.name for entry in directory.iterdir() if not entry.name.startswith("."))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"holds {', '.join(names[:most])}{more}" if names else "is empty"


def _fetched(name: str, argument: str) -> Path:
    repository = name.removeprefix(HUB)
    if not _HUB_ID.fullmatch(repository):
        raise ModelFilesError(f"{argument}={name!r}: give {HUB}owner/name, or {HUB}owner/name@revision")
    from huggingface_hub import snapshot_download

    repository, _, revision = repository.partition("@")
    options = {"repo_id": repository, "revision": revision or None}
    try:
        directory = Path(snapshot_download(**options, allow_patterns=list(_PLAIN)))
        if not any(directory.rglob("*.safetensors")):  # an older model; its pickles are checked before use
            directory = Path(snapshot_download(**options, allow_patterns=[*_PLAIN, "pytorch_model*.bin"]))
    except Exception as error:  # whatever its client raises: no network, no such model, no permission
        raise ModelFilesError(
            f"{argument}={name!r} cannot be fetched ({str(error).strip().splitlines()[0]}); download it "
            "where there is a network, and give its directory"
        ) from error
    return directory


def _json_files(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.rglob("*.json")) if path.name != CHECKSUMS)


def _settings(path: Path, where: str) -> Any:
    if path.name in ("tokenizer.json", "vocab.json") or path.name.endswith(".index.json"):
        return None  # large, and none of them names code
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ModelFilesError(
            f"{where}: {path.name} is no JSON ({error}); copy the directory again"
        ) from error


def _first(code: Any) -> str:
    return str(next(iter(code.values()))) if isinstance(code, dict) and code else str(code)


def _check_sums(directory: Path, where: str) -> None:
    try:
        check_all(directory)
    except ChecksumError as error:
        raise ModelFilesError(f"{where}: {error}") from error


def _check_weights(directory: Path, where: str) -> None:
    files = sorted(directory.rglob("*.safetensors"))
    pickles = sorted(path for kind in _PICKLES[:1] for path in directory.rglob(kind))
    if not files and not pickles:
        found = sorted(path.name for kind in _PICKLES for path in directory.rglob(kind))
        there = f"only {found[0]}" if found else _listed(directory)
        raise ModelFilesError(
            f"{where} holds no weights as *.safetensors ({there}); save the model with save_pretrained"
        )
    for path in files or pickles:
        stat = path.stat()
        if problem := _problem(path, stat.st_size, stat.st_mtime_ns):
            raise ModelFilesError(f"{where}: {path.relative_to(directory)} {problem}")


@lru_cache(maxsize=64)
def _problem(path: Path, size: int, modified: int) -> str | None:
    """Say what is wrong with a file of weights; looked for once while size and time of change stay."""
    try:
        for name, tensor in _tensors(path):
            if tensor.is_floating_point() and bool(tensor.float().isnan().any()):
                return f"holds NaN in {name!r}: a training that failed; take an earlier checkpoint"
    except Exception as error:  # of safetensors, of pickle, of zip: each has its own
        if path.suffix == ".safetensors":
            return f"cannot be read ({error}); copy the directory again"
        return (
            f"is a pickle that holds more than weights, or is broken ({str(error).splitlines()[0]}), and is "
            "not opened; convert it to safetensors where you trust it"
        )
    return None


def _tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                yield name, file.get_tensor(name)
        return
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    yield from ((name, value) for name, value in state.items() if isinstance(value, torch.Tensor))
