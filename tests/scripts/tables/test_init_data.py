"""`synvlp init-data`: what it writes for a folder and a table parses, trains, and says what was assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from main import main
from scripts.command_line.words import run_word
from tests.radiograph_files import save

ROOT = Path(__file__).resolve().parents[3]
BASE = ["-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml"]
LEAN = ["--trainer.callbacks=[]", "--trainer.logger=false", "--trainer.limit_val_batches=0"]
TWO_STEPS = ["--trainer.max_steps=2", "--trainer.max_epochs=-1", "--data.init_args.loader.batch_size=4"]


def images(folder: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save(folder / name, np.random.default_rng(i).integers(0, 256, (20, 24), np.uint8))
    return folder


def written(folder: Path, table: Path, to: Path) -> dict[str, Any]:
    assert run_word("init-data", [str(folder), str(table), "--to", str(to)]) == to
    return yaml.safe_load(to.read_text())["data"]


def trained(monkeypatch: pytest.MonkeyPatch, layer: Path, *more: str) -> Any:
    monkeypatch.chdir(ROOT)
    artifacts = [f"--data.init_args.artifacts_dir={layer.parent}", f"--run_dir={layer.parent / 'run'}"]
    return main(["fit", *BASE, *more, "-c", str(layer), *LEAN, *TWO_STEPS, *artifacts])


def test_reports_with_labels_and_splits_become_pairs_that_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = images(tmp_path / "scans", [f"p{i // 4}/s{i}/{i}.png" for i in range(20)])
    lines = ["dicom_id,subject_id,ViewPosition,split,Findings,Pleural Effusion,Edema,age"]
    for i in range(20):
        split = "validate" if i < 2 else "train"
        marks = f"{i % 2},{'-1' if i % 3 else ''}"
        lines.append(f"{i},{i // 2},PA,{split},Report number {i} of it.,{marks},5{i % 7}")
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    data = written(folder, tmp_path / "mine.csv", tmp_path / "mine.yaml")
    options = data["init_args"]
    assert data["class_path"] == "datamodules.ImageReports"
    assert options["columns"] == {
        "image": "dicom_id", "patient": "subject_id", "view": "ViewPosition", "findings": "Findings",
        "split": "split",
    }  # fmt: skip
    assert options["image_folders"] == ["p*/s*"] and options["image_suffix"] == ".png"
    assert options["labels"] == {"columns": ["Pleural Effusion", "Edema"], "vocabulary": "chexpert"}
    assert options["official"] == {"train": ["train"], "val": ["validate"], "test": ["train"]}
    assert options["splits"] == {"train": 0.9, "test": 0.1}
    said = capsys.readouterr().out
    assert "20 of 20 were found" in said and "a tenth of train becomes test" in said
    line = trained(monkeypatch, tmp_path / "mine.yaml")
    assert line.trainer.global_step == 2 and line.datamodule.made is False
    labels = line.datamodule.source("val").samples([0])[0].labels
    assert labels[line.datamodule.catalog.index("pleural_effusion")] in (0, 1)


def test_a_column_that_lists_labels_is_fine_tuned_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = images(tmp_path / "scans", [f"images_{i % 5}/{i}.png" for i in range(40)])
    rows = [f"{i}.png,{'Effusion|Mass' if i % 2 else 'No Finding'},PA" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["Image Index,Finding Labels,View Position", *rows]) + "\n")
    data = written(folder, tmp_path / "t.csv", tmp_path / "t.yaml")
    assert data["class_path"] == "datamodules.LabelledImages"
    assert data["init_args"]["image_folders"] == ["images_*"]
    assert data["init_args"]["labels"] == {
        "columns": "Finding Labels", "vocabulary": "nih", "separator": "|",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "each image counts as a patient" in said and "configs/tasks/fine_tune.yaml" in said
    line = trained(monkeypatch, tmp_path / "t.yaml", "-c", "configs/tasks/fine_tune.yaml")
    assert line.trainer.global_step == 2


def test_reports_alone_are_trained_on_by_an_objective_without_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = images(tmp_path / "scans", ["a.png", "b.png"])
    (tmp_path / "t.csv").write_text("file,report,cardiac\na.png,Normal.,x\nb.png,Normal too.,y\n")
    data = written(folder, tmp_path / "t.csv", tmp_path / "t.yaml")
    assert data["init_args"]["columns"] == {"image": "file", "report": "report"}
    assert "labels" not in data["init_args"] and "image_folders" not in data["init_args"]
    assert "-c configs/objectives/clip.yaml" in capsys.readouterr().out


def test_columns_called_as_concepts_are_labels(tmp_path: Path) -> None:
    folder = images(tmp_path / "scans", ["a.png", "b.png"])
    (tmp_path / "t.csv").write_text("file,ground-glass opacity,Emphysema,patient\na.png,1,0,7\nb.png,,1,8\n")
    labels = written(folder, tmp_path / "t.csv", tmp_path / "t.yaml")["init_args"]["labels"]
    assert labels["vocabulary"] == {"ground-glass opacity": "ground_glass_opacity", "Emphysema": "emphysema"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,report\nx.png,Normal.\n", "no column names files under"),
        ("file,comment\na.png,Normal.\n", "neither reports nor labels"),
        ("file\n", "no rows"),
    ],
    ids=["files", "texts", "rows"],
)
def test_a_table_that_says_nothing_is_refused(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = images(tmp_path / "scans", ["a.png"])
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(SystemExit):
        run_word("init-data", [str(folder), str(tmp_path / "t.csv"), "--to", str(tmp_path / "t.yaml")])
    assert message in capsys.readouterr().err and not (tmp_path / "t.yaml").exists()


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.yaml").write_text("mine")
    with pytest.raises(SystemExit):
        run_word("init-data", [str(tmp_path), str(tmp_path / "t.csv"), "--to", str(tmp_path / "t.yaml")])
    assert "is there already" in capsys.readouterr().err and (tmp_path / "t.yaml").read_text() == "mine"
