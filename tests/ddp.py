"""Runs a function on several gloo processes: `python tests/ddp.py FILE FUNCTION DIRECTORY [PROCESSES]`.

Every process loads FILE and calls ``FUNCTION(directory)``; what it finds out it writes there. The environment
is the one Lightning's own launcher sets, so ``Trainer(accelerator="cpu", strategy="ddp", devices=PROCESSES)``
joins them. A program of its own, rather than a helper to import, so that processes share nothing with pytest.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(arguments: list[str], processes: int) -> int:
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    shared |= {"NODE_RANK": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    children = [
        subprocess.Popen(
            [sys.executable, __file__, *arguments], env=os.environ | shared | {"LOCAL_RANK": str(rank)}
        )
        for rank in range(processes)
    ]
    try:
        while any(child.poll() is None for child in children):
            if any(child.poll() for child in children):  # one failed: the others would wait for it
                return 1
            time.sleep(0.1)
        return max(abs(child.returncode) for child in children)
    finally:
        for child in children:
            child.kill()


def call(file: str, function: str, directory: str) -> None:
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    getattr(module, function)(Path(directory))


if __name__ == "__main__":
    if "LOCAL_RANK" in os.environ:
        call(*sys.argv[1:4])
    else:
        sys.exit(launch(sys.argv[1:4], int(sys.argv[4]) if len(sys.argv) > 4 else 2))
