"""Files and addresses of an attacker: nothing that they hold is run, and nothing is fetched or told."""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from scripts.torture import payloads
from scripts.torture.bombs import BOMBS
from scripts.torture.campaign import Campaign, Case, Outcome
from scripts.torture.entrances import ARRAYS, CHECKPOINTS, DIRECTORIES, KINDS, RUNS, Words
from scripts.torture.paths import ESCAPES
from scripts.torture.process import Ended, run
from scripts.torture.samples import small_fit

YES = "y\n" * 20
SECRETS = {
    "WANDB_API_KEY": "0123456789abcdefdeadbeef0123456789abcdef",
    "HF_TOKEN": "hf_tortureTortureTortureTorture",
    "OPENAI_API_KEY": "sk-torture-torture-torture",
    "AWS_SECRET_ACCESS_KEY": "tortureSecretAccessKey",
    "SYNVLP_LLM_API_KEY": "torture-served-model-key",
}
NETRC = "torture-netrc-password"
ONLINE = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}  # what a user has: the project has to refuse
LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")
MOST_MEMORY = 4 << 30
MOST_SECONDS = 60.0


class Hostile(Campaign):
    """See the head of this file."""

    name = "hostile"
    title = (
        "pickles, remote code (answering yes), addresses, paths, bombs, secrets, connections: nothing runs"
    )
    survives = frozenset({"refused", "nothing run", "nothing told", "no connection"})

    def prepare(self, directory: Path, short: bool) -> None:
        """Train the run that is tested and exported."""
        if not short:
            ended = run(small_fit(directory), directory / "fit.txt")
            if ended.code:
                raise RuntimeError(ended.output[-2000:])

    def cases(self, directory: Path, short: bool) -> Iterator[Case]:
        """Yield the attempts."""
        for name, words in CHECKPOINTS.items():
            for form in ("zip", "legacy", "plain"):
                if not short or (name, form) == ("test --ckpt_path", "zip"):
                    yield Case(f"pickle in a checkpoint/{name}, {form}", partial(pickled, words, form))
        for name, words in DIRECTORIES.items():
            if not short or name == "text tower":
                yield Case(f"remote code/{name}", partial(remote, words))
                yield Case(f"mistyped directory/{name}", partial(mistyped, words))
            if not short:
                yield Case(
                    f"pickled weights/{name}",
                    partial(pickled_weights, words, KINDS.get(name, KINDS["text tower"])),
                )
        if short:
            return
        for name, words in ARRAYS.items():
            yield Case(f"pickled arrays/{name}", partial(pickled_arrays, words))
        for name, words in CHECKPOINTS.items():
            if name != "export":
                yield Case(f"address/{name}", partial(address, words))
        for name, escape in ESCAPES.items():
            yield Case(f"escaping path/{name}", escape)
        for name, bomb in BOMBS.items():
            yield Case(f"bomb/{name}", partial(exploded, bomb))
        for name, command_of in RUNS.items():
            yield Case(f"secrets/{name}", partial(told, command_of, directory))
            yield Case(f"connections/{name}", partial(connected, command_of, directory))

    def sabotage(self) -> None:
        """Unpickle anything, and say yes to remote code."""
        import torch
        import transformers.dynamic_module_utils as modules

        load = torch.load
        torch.load = lambda *args, **kwargs: load(*args, **{**kwargs, "weights_only": False})
        modules.resolve_trust_remote_code = lambda *args, **kwargs: True


def _judged(ended: Ended, canary: Path, evil: Path) -> Outcome:
    shown = ended.last
    if canary.exists():
        return Outcome("code run", shown)
    if ended.code == 0:
        return Outcome("accepted", shown)
    if evil.name not in ended.output:
        return Outcome("not named", f"nothing run, but the answer does not name {evil.name}: {shown}")
    return Outcome("refused", shown)


def pickled(words: Words, form: str, directory: Path) -> Outcome:
    """Load a checkpoint that runs code when it is unpickled."""
    canary = directory / "canary"
    evil = payloads.checkpoint(directory / "evil.ckpt", canary, form)
    ended = run(words(evil, directory), directory / "answer.txt", stdin=YES)
    return _judged(ended, canary, Path("best.ckpt") if not evil.exists() else evil)


def remote(words: Words, directory: Path) -> Outcome:
    """Load a model directory that brings code, answering every question with yes."""
    canary = directory / "canary"
    evil = payloads.remote_code(directory / "evil_model", canary)
    ended = run(words(evil, directory), directory / "answer.txt", stdin=YES, environment=ONLINE)
    return _judged(ended, canary, evil)


def mistyped(words: Words, directory: Path) -> Outcome:
    """Load a directory that does not exist: no name of the hub, nothing is fetched."""
    evil = Path("models/no_such_directory")
    log = directory / "connections.txt"
    made = words(evil, directory)

    def work() -> None:
        watch(log)
        assert callable(made)
        made()

    ended = run(work, directory / "answer.txt", stdin=YES, environment=ONLINE)
    if log.exists():
        return Outcome("connected", log.read_text()[:200])
    return _judged(ended, directory / "canary", evil)


def pickled_weights(words: Words, config: dict[str, Any], directory: Path) -> Outcome:
    """Load a model directory whose weights are pickles."""
    canary = directory / "canary"
    evil = payloads.pickled_weights(directory / "evil_model", canary, config)
    return _judged(run(words(evil, directory), directory / "answer.txt", stdin=YES), canary, evil)


def pickled_arrays(words: Words, directory: Path) -> Outcome:
    """Load arrays of objects."""
    canary = directory / "canary"
    evil = payloads.pickled_arrays(directory / "evil.npz", canary)
    return _judged(run(words(evil, directory), directory / "answer.txt", stdin=YES), canary, evil)


def address(words: Words, directory: Path) -> Outcome:
    """Give the address of a checkpoint that runs code, on a server of our own: it is not even asked."""
    canary = directory / "canary"
    content = payloads.checkpoint(directory / "served.ckpt", canary).read_bytes()
    asked: list[str] = []

    class Served(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *args: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Served)
    made = words(Path("evil.ckpt"), directory)
    url = f"http://127.0.0.1:{server.server_port}/evil.ckpt"
    if not callable(made):
        made = [word.replace("=evil.ckpt", f"={url}") if word != "evil.ckpt" else url for word in made]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ended = run(made, directory / "answer.txt", stdin=YES)
    server.shutdown()
    if asked and not canary.exists():
        return Outcome("fetched", f"{asked}: {ended.last}")
    return _judged(ended, canary, Path("evil.ckpt"))


def exploded(bomb: Callable[[Path], list[str]], directory: Path) -> Outcome:
    """Read a small file that becomes a large one."""
    ended = run(bomb(directory), directory / "answer.txt", seconds=MOST_SECONDS + 20)
    if ended.peak > MOST_MEMORY or ended.seconds > MOST_SECONDS:
        return Outcome("exploded", f"{ended.peak / 2**30:.1f} GiB, {ended.seconds:.0f} s: {ended.last}")
    if ended.code < 0:
        return Outcome("died", ended.last)
    return Outcome("accepted" if ended.code == 0 else "refused", ended.last)


def told(words: Callable[[Path, Path], list[str]], shared: Path, directory: Path) -> Outcome:
    """Search all that a run writes, and says, for the keys of its environment."""
    netrc = directory / "home" / ".netrc"
    netrc.parent.mkdir()
    netrc.write_text(f"machine api.wandb.ai login user password {NETRC}\n")
    netrc.chmod(0o600)
    environment = {**SECRETS, "NETRC": str(netrc), "HOME": str(netrc.parent), "WANDB_MODE": "offline"}
    own = directory / "own"
    own.mkdir()
    made = words(own, shared)
    if made[:2] == ["main", "fit"]:  # with Weights & Biases, which notes the environment
        made = [word for word in made if not word.startswith("--trainer.logger")]
    ended = run(made, own / "answer.txt", environment=environment)
    if ended.code:
        return Outcome("did not run", ended.last)
    for path in (*own.rglob("*"), *(shared / "run").rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        for name, secret in {**SECRETS, "netrc": NETRC}.items():
            if secret.encode() in content or base64.b64encode(secret.encode()).rstrip(b"=") in content:
                return Outcome("told", f"{name} stands in {path.name}")
    return Outcome("nothing told")


def connected(words: Callable[[Path, Path], list[str]], shared: Path, directory: Path) -> Outcome:
    """Note every connection and look-up of a name that a run makes."""
    log = directory / "connections.txt"
    made = words(directory, shared)

    def work() -> None:
        watch(log)
        import runpy

        sys.modules.pop(made[0], None)
        sys.argv = [made[0], *made[1:]]
        runpy.run_module(made[0], run_name="__main__", alter_sys=True)

    ended = run(work, directory / "answer.txt", environment=ONLINE)
    if ended.code:
        return Outcome("did not run", ended.last)
    return Outcome("connected", log.read_text()[:300]) if log.exists() else Outcome("no connection")


def watch(log: Path) -> None:
    """Write every connection that leaves this machine into a file, in this process and those it forks."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            host = arguments[1][0] if isinstance(arguments[1], tuple) else "localhost"
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            host = arguments[0] or "localhost"
        else:
            return
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.startswith(LOOPBACK) and name != socket.gethostname():
            with log.open("a") as file:
                file.write(json.dumps([event, name]) + "\n")

    sys.addaudithook(hook)
