"""The device of torch that makes pairs: refused where it is named wrongly, or not there."""

from __future__ import annotations

import torch


def named_device(owner: object, device: str) -> torch.device:
    """Return a device by its name, whether or not this machine has it: cached pairs are read without it.

    Args:
        owner: What it was given to; the message names its class.
        device: ``cpu``, ``cuda``, ``cuda:1`` and the like.

    Raises:
        ValueError: If torch knows no such device.
    """
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"{type(owner).__name__}: device={device!r}: give cpu, cuda or cuda:1") from error


def require_device(owner: object, device: torch.device) -> None:
    """Refuse a device that this machine lacks, when it is about to be used.

    Raises:
        ValueError: If it does.
    """
    have = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= have:
        there = f"cpu or cuda:0 to cuda:{have - 1}" if have else "cpu"
        raise ValueError(
            f"{type(owner).__name__}: device={str(device)!r}: this machine has no such GPU; give {there}"
        )
