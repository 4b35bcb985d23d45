"""One tiny pre-trained run that every downstream task starts from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from main import main

ROOT = Path(__file__).resolve().parents[2]
SMOKE = ["-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml"]
CSV = '--trainer.logger=[{class_path: CSVLogger, init_args: {save_dir: ".", name: "", version: ""}}]'
# The run that tasks start from was not validated.
QUIET = [CSV, "--trainer.enable_model_summary=false", "--trainer.limit_val_batches=1.0"]


@pytest.fixture(scope="session", autouse=True)
def at_the_root() -> None:
    """Paths in YAML are those of a checkout."""
    os.chdir(ROOT)


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"--data.init_args.artifacts_dir={tmp_path_factory.mktemp('artifacts')}"


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory, artifacts: str) -> Path:
    """The directory of a run of the smoke recipe: config.yaml and checkpoints/last.ckpt."""
    directory = tmp_path_factory.mktemp("runs") / "fit"
    checkpoint = "{class_path: ModelCheckpoint, init_args: {save_last: true, save_top_k: 0}}"
    lean = [f"--trainer.callbacks=[{checkpoint}]", "--trainer.limit_val_batches=0", "--trainer.max_epochs=1"]
    main(["fit", *SMOKE, *lean, CSV, artifacts, f"--run_dir={directory}"])
    return directory


@pytest.fixture
def evaluate(pretrained: Path, tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Path]]:
    """Runs `main.py test` on the run with a task's YAML; returns the summary and the run's directory."""

    def run(task: str, *args: str) -> tuple[dict[str, Any], Path]:
        config, checkpoint = pretrained / "config.yaml", pretrained / "checkpoints" / "last.ckpt"
        layers = ["-c", str(config), "-c", f"configs/tasks/{task}.yaml", f"--run_dir={tmp_path}"]
        main(["test", *layers, f"--ckpt_path={checkpoint}", *QUIET, *args])
        directory = tmp_path / "test"
        return json.loads((directory / "summary.json").read_text()), directory

    return run


@pytest.fixture
def train(pretrained: Path, tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Path]]:
    """Runs `main.py fit` of a task on the run's tower; returns the summary and the run's directory."""

    def run(task: str, *args: str, name: str = "task", simulated: bool = True) -> tuple[dict[str, Any], Path]:
        directory = tmp_path / name
        layers = ["-c", str(pretrained / "config.yaml"), "-c", f"configs/tasks/{task}.yaml"]
        sizes = ["--data.init_args.train_pairs=32"] if simulated else []
        sizes += ["--trainer.max_epochs=2", f"--run_dir={directory}"]
        main(["fit", *layers, *QUIET, *sizes, *args])
        return json.loads((directory / "summary.json").read_text()), directory

    return run


@pytest.fixture
def weights(pretrained: Path) -> str:
    """The argument that starts a task from the pre-trained tower."""
    return f"--model.init_args.weights={pretrained / 'checkpoints' / 'last.ckpt'}"


@pytest.fixture
def tokenizer_for_words() -> Any:
    """A tokenizer of a dozen whole words."""
    from transformers import BertTokenizerFast

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "left",
        "right",
        "effusion",
        "nodule",
        "no",
        "large",
    ]
    return BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})


@pytest.fixture(scope="session")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The directory of a tiny random DINOv2 for colour images of 56 px, in patches of 14."""
    from transformers import Dinov2Config, Dinov2Model

    directory = tmp_path_factory.mktemp("dinov2")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**sizes, image_size=56, patch_size=14)).save_pretrained(directory)
    return str(directory)
