from __future__ import annotations

from pathlib import Path

import pytest
from jsonargparse import Namespace

from synthesis.configuration import ROOT, located, located_layers, located_values, shipped

BASE = "configs/pretrain.yaml"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own(elsewhere: Path) -> Path:
    """Make the user's own file of the same name."""
    path = elsewhere / BASE
    path.parent.mkdir()
    path.write_text("trainer: {}\n")
    return path


def test_what_is_shipped_lies_in_the_checkout() -> None:
    assert shipped(BASE).is_file() and shipped(BASE).parent.parent == ROOT
    assert (ROOT / "pyproject.toml").is_file()


def test_a_file_of_the_users_own_wins(elsewhere: Path) -> None:
    assert located(BASE) == shipped(BASE)
    mine = own(elsewhere)
    assert located(BASE).samefile(mine) and not located(BASE).samefile(shipped(BASE))
    assert located_layers(["-c", BASE]) == ["-c", BASE]
    assert located_values(BASE) == BASE


def test_a_missing_file_is_named_with_both_places(elsewhere: Path) -> None:
    for look in (located, lambda path: located_layers(["-c", path]), lambda path: located_values([path])):
        with pytest.raises(FileNotFoundError) as raised:
            look("configs/pretain.yaml")
        message = str(raised.value)
        assert all(text in message for text in ("configs/pretain.yaml", str(elsewhere), str(ROOT)))


def test_layers_are_located_however_they_are_given(elsewhere: Path) -> None:
    args = ["fit", "-c", BASE, f"--config={BASE}", "--config", BASE, f"--run_dir={BASE}", "-c", "{}"]
    there = str(shipped(BASE))
    expected = ["fit", "-c", there, f"--config={there}", "--config", there, f"--run_dir={BASE}", "-c", "{}"]
    assert located_layers(args) == expected


def test_values_are_located_at_any_depth_and_others_stay(elsewhere: Path) -> None:
    supervised, outputs = "results/supervised", "results/mine"
    config = Namespace(
        data=Namespace(init_args={"prompts": [BASE, None, 3]}), out=outputs, other="data/x.yaml"
    )
    config.callbacks = [Namespace(class_path="callbacks.RunSummary", supervised=supervised)]
    found = located_values(config)
    assert isinstance(found, Namespace)
    assert found.data.init_args == {"prompts": [str(shipped(BASE)), None, 3]}
    assert found.callbacks[0].supervised == str(shipped(supervised))
    assert (found.out, found.other) == (outputs, "data/x.yaml")
    assert config.callbacks[0].supervised == supervised, "the configuration itself stays as it was written"
