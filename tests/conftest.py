"""Fixtures that many tests share. No test reaches a network."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from synthesis.cases import BalancedCaseSampler
from synthesis.concepts import ConceptCatalog
from synthesis.images.simulator import Simulator
from synthesis.pairs import PairSynthesizer
from synthesis.reports.grammar import GrammarWriter

IMAGE_SIZE = 64
# Tests of half a minute, or that set up as much for a whole file.
LONG = {f"test_{name}.py" for name in ("tour", "engine", "torture", "installed", "cli", "resume")}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Leave what is imported out of garbage collection, here and in forked processes: it costs minutes."""
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long and end with what does not, or all processes wait for the last test of one.

    Those that have nothing left take over from the end of the list, so no file there should set up much.
    """
    items.sort(key=lambda item: (item.path.name not in LONG, "synthesis" in item.path.parts))


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    patch = pytest.MonkeyPatch()
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "127.0.0.1", "::1", "0.0.0.0", socket.gethostname()):
            raise OSError(f"a test wanted to connect to {address}; tests need no network")
        connect(self, address)

    patch.setattr(socket.socket, "connect", local_only)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests are small; more threads only get in each other's way."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def catalog() -> ConceptCatalog:
    """The catalogue shipped."""
    return ConceptCatalog.load()


@pytest.fixture(scope="session")
def synthesizer() -> PairSynthesizer:
    """The shipped sampler, writer and simulator, with small images."""
    return PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=IMAGE_SIZE))


@pytest.fixture(scope="session")
def tiny_language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a causal language model of random weights."""
    from tests.language_model import save_tiny_language_model

    directory = tmp_path_factory.mktemp("language_model")
    save_tiny_language_model(directory)
    return directory
