from __future__ import annotations

import lightning as L
import pytest
import torch

from callbacks import MatmulPrecision
from scripts.resolved_config import resolved_config


def test_it_holds_while_a_trainer_runs_and_is_set_back(tiny, tmp_path) -> None:
    seen: list[str] = []

    class Look(L.Callback):
        def on_train_batch_start(self, *_: object) -> None:
            seen.append(torch.get_float32_matmul_precision())

    before = torch.get_float32_matmul_precision()
    callbacks = [MatmulPrecision("medium"), Look()]
    tiny.trainer(tmp_path, callbacks=callbacks, logger=False, max_steps=1).fit(tiny.Model(), tiny.Data(n=20))
    assert seen == ["medium"] and torch.get_float32_matmul_precision() == before != "medium"
    with pytest.raises(ValueError, match="give highest, high or medium"):
        MatmulPrecision("low")  # type: ignore[arg-type]


def test_the_layer_of_a_gpu_adds_it_to_the_callbacks_that_there_are() -> None:
    layers = ["configs/pretrain.yaml", "configs/trainer/gpu.yaml"]
    config = resolved_config("fit", *(word for layer in layers for word in ("-c", layer)))
    names = [callback["class_path"] for callback in config["trainer"]["callbacks"]]
    assert names[0] == "callbacks.FeatureCollector" and names[-1] == "callbacks.MatmulPrecision"
    assert "callbacks.RunSummary" in names
