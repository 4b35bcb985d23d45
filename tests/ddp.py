"""Calls a function on several gloo processes.

The environment is the one Lightning's own launcher sets, so ``Trainer(accelerator="cpu", strategy="ddp",
devices=PROCESSES)`` joins them. Processes share with pytest what it has imported, which takes seconds; where
there is an accelerator, whose threads no forked process may use, they begin anew.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def context() -> Any:
    """Return how processes are begun."""
    import torch

    forked = sys.platform == "linux" and not torch.accelerator.is_available()
    return get_context("fork" if forked else "spawn")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(
    file: str | Path, function: str, directory: Path, processes: int = 2, seconds: float = 170
) -> None:
    """Call ``function(directory)`` of a file in several processes; what each finds out it writes there.

    Raises:
        AssertionError: If a process fails, of which pytest shows what it said, or takes too long.
    """
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    shared |= {"NODE_RANK": "0", "OMP_NUM_THREADS": "1"}
    children = [
        context().Process(
            target=_call, args=(str(file), function, directory, shared | {"LOCAL_RANK": str(rank)})
        )
        for rank in range(processes)
    ]
    begun = time.monotonic()
    try:
        for child in children:
            child.start()
        while any(child.is_alive() for child in children):
            if any(child.exitcode for child in children) or time.monotonic() - begun > seconds:
                break  # one failed: the others would wait for it
            time.sleep(0.05)
        codes = [child.exitcode for child in children]
        assert codes == [0] * processes, f"{Path(file).name}: {function} ended with {codes}"
    finally:
        for child in children:
            child.kill()
            child.join()


def _call(file: str, function: str, directory: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    import torch.distributed as dist
    from lightning.pytorch.utilities import rank_zero_only

    rank_zero_only.rank = int(environment["LOCAL_RANK"])  # read from the environment when it was imported
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    getattr(module, function)(directory)
    if dist.is_initialized():
        dist.destroy_process_group()
