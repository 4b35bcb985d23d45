from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Timer
from torch import nn

from lightning_modules.optimization import warmup_cosine
from lightning_modules.timed_cosine import TimedCosine, spent_share

Make = Callable[..., Any]


def rates(shares: Sequence[float] | None, steps: int = 100, taken: int | None = None) -> list[float]:
    """Rates of the first steps, where after each step that share of the time is spent."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    spent = iter(shares or ())
    schedule = warmup_cosine(optimizer, 0.1, steps, None if shares is None else lambda: next(spent))
    found = []
    for _ in range(taken or steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_a_run_that_fits_into_its_time_has_the_rates_of_one_without_limit() -> None:
    plain = rates(None)
    for pace in (0.2, 0.9, 1.0, 1.04):
        assert rates([pace * i / 100 for i in range(101)]) == plain  # to the last bit
    start = [0.09 * (i > 0) if i < 9 else 0.95 * i / 100 for i in range(101)]  # slow to begin with
    assert rates(start) == plain


def test_a_run_that_time_will_cut_comes_down_in_time() -> None:
    cut = rates([i / 40 for i in range(41)], taken=40)  # 40 of 100 steps
    plain = rates(None)
    assert cut[:4] == plain[:4], "too early to tell"
    assert max(cut) == pytest.approx(2.0, abs=0.1) and cut[-1] < 0.01 * 2 < plain[39]
    assert np.allclose(cut[5:], [rates(None, steps=400)[10 * i] for i in range(5, 40)])
    falling = cut[cut.index(max(cut)) :]
    assert falling == sorted(falling, reverse=True)


def test_progress_never_goes_back_and_stops_at_the_end() -> None:
    shares = [min(0.5, i / 40) for i in range(101)]  # fast again after 20 steps
    found = rates(shares)
    peak = found.index(max(found))
    assert found[peak:] == sorted(found[peak:], reverse=True) and found[60:] == rates(None)[60:]
    assert rates([i / 10 for i in range(101)])[20:] == [0.0] * 80


def test_the_state_goes_through_a_checkpoint(tmp_path: Any) -> None:
    def made(share: float) -> tuple[torch.optim.Optimizer, TimedCosine]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
        return optimizer, TimedCosine(optimizer, 10, 100, lambda: share)

    optimizer, schedule = made(0.5)
    for _ in range(10):
        optimizer.step()
        schedule.step()
    torch.save({"schedule": schedule.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    again, resumed = made(0.0)  # time is counted anew, but the rate does not rise again
    again.load_state_dict(saved["optimizer"])
    resumed.load_state_dict(saved["schedule"])
    assert resumed.reached == 50
    again.step()
    resumed.step()
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] > 0


class Clock(Timer):
    """A limit of 100 seconds on a machine on which every step takes as long as said."""

    def __init__(self, seconds: float) -> None:
        super().__init__(duration={"seconds": 100})
        self.seconds = seconds
        self.steps = 0

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        self.steps = trainer.global_step
        super().on_train_batch_end(trainer, *args, **kwargs)

    def time_elapsed(self, stage: str = "train") -> float:
        return self.seconds * self.steps


@pytest.mark.parametrize(("seconds", "steps"), [(10.0, 10), (4.0, 24)], ids=["cut", "fits"])
def test_the_trainer_s_time_limit_is_what_counts(
    seconds: float, steps: int, model: Make, data: Make, trainer: Make
) -> None:
    found = []

    class Rates(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            found.append(trainer.optimizers[0].param_groups[0]["lr"])

    fit, plain = trainer(max_epochs=8, callbacks=[Clock(seconds), Rates()]), trainer(max_epochs=8)
    fit.fit(model(warmup=2), data())  # three steps an epoch
    assert fit.global_step == steps and isinstance(fit.lr_scheduler_configs[0].scheduler, TimedCosine)
    assert found[-1] < 0.05 * max(found), "it has come down"
    assert spent_share(plain) is None
    if seconds == 4.0:
        timed, found = found, []
        trainer(max_epochs=8, callbacks=[Rates()]).fit(model(warmup=2), data())
        assert timed == found
