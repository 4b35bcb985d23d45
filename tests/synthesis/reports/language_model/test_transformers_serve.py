"""A served model against a real server: `transformers serve` with a model of random weights."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthesis.reports.language_model.local_model import LocalModel
from synthesis.reports.language_model.served_model import ServedModel

CONVERSATIONS = [
    [{"role": "system", "content": "Write one sentence."}, {"role": "user", "content": f"mass, number {i}"}]
    for i in range(6)
]
SEEDS = range(6)


@pytest.fixture(scope="module")
def directory(tiny_language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, told to draw: for this server a temperature alone is no reason to."""
    place = tmp_path_factory.mktemp("served") / "model"
    shutil.copytree(tiny_language_model, place)
    path = place / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_sample": True}))
    return place


@pytest.fixture(scope="module")
def url(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(directory)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        server = subprocess.Popen(command, env=os.environ | quiet, stdout=output, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 150
        while not listens(port):  # it loads the model first
            assert server.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_answers_in_order_what_the_model_answers_here(directory: Path, url: str) -> None:
    served = ServedModel(str(directory), url, max_tokens=12, temperature=0.0)
    answers = served.complete(CONVERSATIONS, SEEDS)
    assert len(set(answers)) == len(answers)
    assert served.complete(CONVERSATIONS, SEEDS) == answers
    here = LocalModel(directory, max_new_tokens=12, temperature=0.0, device="cpu")
    assert here.complete(CONVERSATIONS, SEEDS) == answers


def test_it_ends_an_answer_where_a_model_here_does(directory: Path, url: str) -> None:
    settings = {"temperature": 0.0, "stop": ["e", "l"]}
    answers = ServedModel(str(directory), url, max_tokens=12, **settings).complete(CONVERSATIONS, SEEDS)
    here = LocalModel(directory, max_new_tokens=12, device="cpu", **settings)
    assert here.complete(CONVERSATIONS, SEEDS) == answers
    assert not any(stop in answer for answer in answers for stop in ("e", "l"))


def test_it_draws_as_the_seeds_say(directory: Path, url: str) -> None:
    # One at a time: the random numbers of this server are those of its process.
    served = ServedModel(str(directory), url, max_tokens=12, temperature=1.0, concurrency=1)
    answers = served.complete(CONVERSATIONS[:3], SEEDS[:3])
    assert served.complete(CONVERSATIONS[:3], SEEDS[:3]) == answers
    others = served.complete(CONVERSATIONS[:3], SEEDS[3:])
    assert all(a != b for a, b in zip(others, answers, strict=True))


def test_what_it_refuses_is_quoted(url: str) -> None:
    with pytest.raises(RuntimeError, match=r"'another/model' at http://127.*400.*pinned to"):
        ServedModel("another/model", url).complete(CONVERSATIONS[:1], [0])
