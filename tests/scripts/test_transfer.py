"""The yardstick on real radiographs: a small tree in NIH's layout, judged twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from main import main as program
from scripts.transfer import main
from scripts.transfer_measure import TransferMeasure
from tests.nih_table import nih_rows, write_image, write_table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "fit"
    checkpoint = "{class_path: RunCheckpoint, init_args: {monitor: {val/loss: min}}}"
    logger = "{class_path: CSVLogger, init_args: {save_dir: x, name: '', version: ''}}"
    program(
        [
            *("fit", "-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml"),
            f"--run_dir={directory}",
            f"--data.init_args.artifacts_dir={directory.parent / 'artifacts'}",
            f"--trainer.callbacks=[{{class_path: FeatureCollector}}, {checkpoint}]",
            f"--trainer.logger=[{logger}]",
            "--trainer.max_epochs=1",
        ]
    )
    return directory


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of sixty patients, two each; a quarter has pneumonia, with or without an effusion."""
    root, rows = tmp_path_factory.mktemp("nih"), nih_rows(120)
    for i, row in enumerate(rows):
        row[1] = ["No Finding", "Effusion", "Pneumonia", "Pneumonia|Effusion"][i // 2 % 4]
        write_image(root / "images" / row[0], i)
    write_table(root / "Data_Entry_2017_v2020.csv", rows)
    return root


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["AUROC"]: row for row in csv.DictReader(file)}


def test_columns_are_strata_and_an_encoder_has_nothing_over_itself(
    run: Path, real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([f"--run={run}", f"--real={real}", f"--against={run}", f"--out={tmp_path}"])
    assert "make transfer" in capsys.readouterr().out
    (first, _) = sorted(tmp_path.glob("*/test*/summary.json"))
    figures, judged = json.loads(first.read_text()), table(tmp_path / "table.csv")
    assert list(judged["probe"]) == ["AUROC", "all films", "PA films", "AP films", "within pneumonia"]
    assert judged["probe"]["PA films"].startswith(f"{figures['test/probe/PA/auroc_macro']:.3f} [")
    within = judged["zero-shot, pleural_effusion (60, 30, 30, 30)"]["within pneumonia"]
    assert within.startswith(f"{figures['test/zero_shot/pneumonia/auroc/pleural_effusion']:.3f} [")
    alone = judged["zero-shot, the same 1 classes"]["within pneumonia"]
    assert alone == within == judged["zero-shot"]["within pneumonia"], "only one class in every column"
    assert judged["zero-shot, pneumonia (60, 30, 30, 60)"]["within pneumonia"] == "–"
    assert judged["… gain over pixels"]["AP films"] != "–"
    differences = table(tmp_path / "differences.csv")
    assert differences.keys() == judged.keys()
    assert differences["probe"]["all films"] == "+0.000 [+0.000, +0.000]"


def test_a_comparison_measures_the_same_columns(run: Path, real: Path, tmp_path: Path) -> None:
    trained: Any = SimpleNamespace(directory=run, arm=SimpleNamespace(trained=False))
    measure = TransferMeasure(str(real), options=["--data.init_args.loader.eval_batch_size=64"])
    found = measure.measure(trained, tmp_path)
    for column in ("", "PA/", "AP/", "pneumonia/"):
        key = f"test/zero_shot/{column}auroc_macro"
        low, high = found.details["test/zero_shot"]["intervals"][f"{column}auroc_macro"]
        assert low <= found.metrics[key] <= high and key in found.draws.values
    assert "test/probe/minus_pixels" in found.metrics
    assert measure.identity(trained) != TransferMeasure().identity(trained)
    assert not TransferMeasure().measure(trained, tmp_path).metrics, "no radiographs, no figures"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"run": "nowhere"}, "nowhere/config.yaml is missing"),
        ({"real": "nowhere"}, "--real=nowhere does not exist"),
        ({"checkpoint": "best"}, "best.ckpt is missing"),
        ({"within": "pneumonie"}, "'pneumonie' is neither a view"),
    ],
)
def test_what_is_missing_is_named(
    run: Path, real: Path, tmp_path: Path, changed: dict[str, str], says: str
) -> None:
    if "checkpoint" in changed:
        (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
        changed |= {"run": str(tmp_path)}
    given = {"run": str(run), "real": str(real), "out": str(tmp_path / "out")} | changed
    with pytest.raises(ValueError, match=says):
        main([f"--{key}={value}" for key, value in given.items()])
