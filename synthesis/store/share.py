"""Which shards of a store a process makes."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """The shards that one of several processes makes: each ``count``-th, from ``number`` on.

    Attributes:
        number: Of the process, from 0.
        count: Of processes.
    """

    number: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse a share that does not exist."""
        if not 0 <= self.number < self.count:
            raise ValueError(
                f"shard={self.number}/{self.count}: shares are numbered from 0; give i/n with 0 ≤ i < n."
            )

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read "i/n".

        Raises:
            ValueError: If the text is something else.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.strip().isdigit() and count.strip().isdigit()):
            raise ValueError(f"shard={text!r} is no share of the shards; write i/n, e.g. 0/4.")
        return cls(int(number), int(count))

    @classmethod
    def of_environment(cls) -> Share:
        """Return this process's share as torchrun, torch.distributed launchers or SLURM number processes."""
        for number, count in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
            if number in os.environ and count in os.environ:
                return cls(int(os.environ[number]), int(os.environ[count]))
        return cls()
