"""Every objective trains on every kind of data or is refused by name; layers may stand in any order."""

from __future__ import annotations

import os
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules.loading.needs import UnmetNeedError
from main import main
from scripts.resolved_config import resolved_config

ROOT = Path(__file__).resolve().parents[3]
BASE = ("-c", "configs/pretrain.yaml")
OBJECTIVES = sorted(path.stem for path in (ROOT / "configs" / "objectives").glob("*.yaml"))
DATA = ("simulated", "corpus", "table", "mixed")
# No layer of real or stored pairs has twins; a mixture has them where one of its sources does.
REFUSED = {("twins", "corpus"), ("twins", "table")}
SIMULATED = """
        class_path: datamodules.SyntheticPairs
        init_args:
          synthesizer:
            class_path: synthesis.PairSynthesizer
            init_args:
              sampler: {class_path: synthesis.BalancedCaseSampler}
              writer: {class_path: synthesis.GrammarWriter}
              image_maker: {class_path: synthesis.Simulator, init_args: {image_size: 64}}
          train_pairs: 16
          val_pairs: 4
          tokenizer_reports: 200
"""


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    os.chdir(ROOT)


@pytest.fixture(scope="module")
def layers(corpus: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, ...]]:
    """The arguments that choose each kind of data, over the smoke recipe."""
    directory = tmp_path_factory.mktemp("layers")
    real = f"""
        class_path: datamodules.ImageReports
        init_args:
          table: {table}/table.csv
          image_root: {table}
          image_size: 64
          columns: {{image: image, patient: patient, findings: findings, impression: impression}}
          labels: {{columns: [Edema, Cardiomegaly], vocabulary: chexpert}}
          loader: {{epoch_size: null, echo: 1}}
          artifacts_dir: {directory}
"""
    (directory / "table.yaml").write_text("data:\n" + real.replace("\n        ", "\n  "))
    (directory / "mixed.yaml").write_text(
        "data:\n  class_path: datamodules.MixedPairs\n  init_args:\n"
        "    weights: {simulated: 1, hospital: 1}\n    loader: {epoch_size: 32, echo: 1}\n"
        f"    sources:\n      simulated:{SIMULATED}      hospital:{real}"
    )
    return {
        "simulated": (),
        "corpus": ("-c", "configs/data/corpus.yaml", f"--data.init_args.path={corpus}"),
        "table": ("-c", str(directory / "table.yaml")),
        "mixed": ("-c", str(directory / "mixed.yaml")),
    }


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_objective_trains_or_is_refused_by_name(
    objective: str, data: str, layers: dict[str, tuple[str, ...]], tmp_path: Path, tmp_path_factory: Any
) -> None:
    args = [
        *("fit", *BASE, "-c", "configs/recipes/smoke.yaml", "-c", f"configs/objectives/{objective}.yaml"),
        *layers[data],
        *("--model.init_args.image_encoder.init_args.image_size=64", "--data.init_args.loader.batch_size=8"),
        *("--trainer.max_steps=2", "--trainer.limit_val_batches=0", "--trainer.callbacks=null"),
        *("--trainer.logger=false", "--trainer.enable_progress_bar=false", f"--run_dir={tmp_path}"),
        f"--data.init_args.artifacts_dir={tmp_path_factory.getbasetemp() / 'artifacts'}",
    ]
    if (objective, data) in REFUSED:
        with pytest.raises(UnmetNeedError, match="DualEncoder needs 'twins' in the batches of 'train', but"):
            main(args)
        return
    line = main(args)
    assert line.trainer.global_step == 2
    loss = float(line.trainer.callback_metrics["train/loss"])
    assert np.isfinite(loss) and loss > 0


@pytest.mark.parametrize(
    ("objective", "data"),
    [
        ("cxr_clip", "mimic_cxr"),
        ("medclip", "chexpert_plus"),
        ("twins", "clinic"),
        ("gloria", "corpus"),
        ("m_flag", "open_i"),
    ],
)
def test_the_order_of_layers_changes_nothing(objective: str, data: str) -> None:
    """Objective, data and augmentation set different things, so any order over the base is as good."""
    files = [f"configs/objectives/{objective}.yaml", f"configs/data/{data}.yaml"]
    files.append("configs/augmentation/domain_randomisation.yaml")
    orders = list(permutations(files))
    first, *others = (
        resolved_config("fit", *BASE, *(word for file in order for word in ("-c", file)))
        for order in orders[::2]
    )
    assert all(other == first for other in others)
    views = first["data"]["init_args"]["views"]
    assert views["augmentation"]["warp"] > 0
    own = resolved_config("fit", *BASE, "-c", files[0])
    assert views["texts"] == own["data"]["init_args"]["views"]["texts"], "the objective's texts"
    assert first["model"]["init_args"]["objective"] == own["model"]["init_args"]["objective"]
    assert first["data"]["init_args"]["loader"]["seed"] == 0 and views["max_length"] == 192
