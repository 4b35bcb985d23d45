"""Against a real HTTP server on this machine that speaks the chat-completions protocol."""

from __future__ import annotations

import json
import logging
import pickle
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import pytest
import torch

from synthesis.cases import BalancedCaseSampler
from synthesis.reports.language_model import LanguageModelWriter
from synthesis.reports.language_model.rate_limit import RateLimit
from synthesis.reports.language_model.served_model import ServedModel
from tests.synthesis.reports.conftest import told

pytest.importorskip("openai")
KEY = "sk-this-must-stay-secret"


class Server(ThreadingHTTPServer):
    """Answers as a model would that says what it is told; the first requests may be refused."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.refusals: list[int] = []  # statuses of the next answers
        self.pause = 0.0
        self.busy = self.most_busy = 0
        self.lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.keys.append(self.headers["Authorization"])
            refusal = self.server.refusals.pop(0) if self.server.refusals else None
            self.server.busy += 1
            self.server.most_busy = max(self.server.most_busy, self.server.busy)
        time.sleep(self.server.pause)
        with self.server.lock:
            self.server.busy -= 1
        if self.path != "/v1/chat/completions":
            self.reply(404, {"error": {"message": f"no {self.path} here"}})
        elif refusal:
            self.reply(refusal, {"error": {"message": f"refused with {refusal}"}})
        else:
            message = {"role": "assistant", "content": told(body["messages"][-1]["content"])}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            self.reply(
                200,
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [choice],
                },
            )

    def reply(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After-Ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def questions(number: int) -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": f"Finding: number {i}"}] for i in range(number)]


def test_answers_come_in_the_order_asked_with_seed_and_settings(server: Server) -> None:
    model = ServedModel("some/model", server.url, temperature=0.3, top_p=0.9, max_tokens=55, stop=["\n"])
    assert model.complete(questions(9), range(2**40, 2**40 + 9)) == [
        f"There is number {i}." for i in range(9)
    ]
    bodies = {body["messages"][0]["content"]: body for body in server.bodies}
    assert len(bodies) == 9
    for i in range(9):
        body = bodies[f"Finding: number {i}"]
        assert body["seed"] == (2**40 + i) % 2**31
        expected = {"model": "some/model", "temperature": 0.3, "top_p": 0.9, "max_tokens": 55, "stop": ["\n"]}
        assert body.items() >= expected.items()


@pytest.mark.parametrize("concurrency", [1, 4])
def test_as_many_requests_at_a_time_as_are_allowed(server: Server, concurrency: int) -> None:
    server.pause = 0.05
    ServedModel("m", server.url, concurrency=concurrency).complete(questions(8), range(8))
    assert server.most_busy == concurrency


def test_what_fails_in_passing_is_repeated(server: Server) -> None:
    server.refusals = [429, 503, 500]
    model = ServedModel("m", server.url, concurrency=2)
    assert model.complete(questions(4), range(4)) == [f"There is number {i}." for i in range(4)]
    assert len(server.bodies) == 4 + 3


def test_what_fails_for_good_says_what_to_do_and_not_the_key(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.refusals = [401]
    with pytest.raises(RuntimeError, match=r"'m' at http://127.*refused with 401.*OPENAI_API_KEY") as error:
        ServedModel("m", server.url, concurrency=1).complete(questions(3), range(3))
    assert KEY not in str(error.value) + repr(error.value.__cause__)
    server.refusals = [500] * 9
    with pytest.raises(RuntimeError, match="refused with 500"):
        ServedModel("m", server.url, concurrency=1, retries=1).complete(questions(1), [0])


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"at http://127\.0\.0\.1:9/v1 did not answer"):
        ServedModel("m", "http://127.0.0.1:9/v1", retries=0).complete(questions(1), [0])


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LAB_KEY", KEY)
    model = ServedModel("m", server.url, api_key_variable="LAB_KEY")
    with caplog.at_level(logging.DEBUG):
        model.complete(questions(2), range(2))
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert caplog.records  # something was logged, at its most talkative
    assert not any(KEY in record.getMessage() or KEY in str(record.args) for record in caplog.records)
    assert KEY.encode() not in pickle.dumps(model)
    assert KEY not in json.dumps(model.describe())
    copy = pickle.loads(pickle.dumps(model))
    assert copy.complete(questions(1), [0]) == ["There is number 0."]


def test_the_fingerprint_follows_the_model_and_not_its_address() -> None:
    def described(model: str = "m", address: str = "http://localhost:8000/v1", **settings: Any) -> Any:
        return ServedModel(model, address, **settings).describe()

    assert described(address="http://node7:9000/v1") == described()
    for other in ({"model": "n"}, {"temperature": 0.5}, {"top_p": 0.5}, {"max_tokens": 9}, {"stop": ["."]}):
        assert described(**other) != described()


def test_no_key_is_needed_for_a_server_of_ones_own(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert ServedModel("m", server.url).complete(questions(1), [0]) == ["There is number 0."]


def test_requests_and_their_repetitions_are_spaced(server: Server) -> None:
    server.refusals = [429]
    model = ServedModel("m", server.url, requests_per_minute=60 / 0.1)
    start = time.monotonic()
    model.complete(questions(4), range(4))
    assert time.monotonic() - start >= 4 * 0.1  # measured here: what arrives may have been held up
    assert len(server.bodies) == 4 + 1


class Asking(torch.utils.data.Dataset):
    """A data set of two items, each of them so many answers and the seconds that they took."""

    def __init__(self, model: ServedModel, number: int) -> None:
        self.model, self.number = model, number

    def __len__(self) -> int:
        return 2

    def __getitem__(self, item: int) -> tuple[list[str], float]:
        asked = [[{"role": "user", "content": f"Finding: {item}-{i}"}] for i in range(self.number)]
        start = time.monotonic()
        return self.model.complete(asked, range(self.number)), time.monotonic() - start


def from_two_workers(model: ServedModel, number: int) -> list[tuple[list[str], float]]:
    """Ask so many questions from each of two data workers, after the main process has asked one."""
    model.complete(questions(1), [0])
    return list(torch.utils.data.DataLoader(Asking(model, number), batch_size=None, num_workers=2))


def test_a_limit_is_one_over_all_processes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    asked = from_two_workers(ServedModel("m", server.url, requests_per_minute=60 / 0.1), 3)
    assert [texts for texts, _ in asked] == [[f"There is {item}-{i}." for i in range(3)] for item in (0, 1)]
    assert all(seconds >= 2 * 4 * 0.1 for _, seconds in asked)  # of two ranks with two workers each


def test_so_are_the_requests_at_a_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    server.pause = 0.5
    from_two_workers(ServedModel("m", server.url, concurrency=8), 4)
    assert server.most_busy in (2, 3, 4)  # 2 of each worker


def test_an_impossible_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="requests_per_minute=0"):
        RateLimit(0)
    with pytest.raises(ValueError, match="concurrency=0"):
        ServedModel("m", "http://localhost/v1", concurrency=0)


def test_the_writer_writes_through_it_what_it_writes_without(server: Server) -> None:
    sampler = BalancedCaseSampler()
    cases = [sampler.sample(0, "served", i) for i in range(6)]
    writer = LanguageModelWriter(ServedModel("m", server.url))
    reports = writer.write(cases, range(6))
    assert all(report.notes[-1] == "written by the language model" for report in reports)
    assert writer.write(cases[2:3], [2]) == reports[2:3]
