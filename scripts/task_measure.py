"""A downstream task on the tower of a run as a measure of comparisons: `configs/comparisons/tasks.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from main import main
from scripts.comparison.configuration import words
from scripts.comparison.definition import Layers
from scripts.comparison.fit import one_device
from scripts.comparison.measure import Measure, Measured, fill_layers
from scripts.comparison.run import Run
from scripts.resolved_config import resolved_config


class TaskMeasure(Measure):
    """Trains a task on the tower of a run, and tests it.

    The tower begins as the run left it; that of an arm without training begins at random, which is what
    pre-training has to beat. Both train for the same steps on the same pairs. Figures are those of the task's
    own test: ``test/segmentation/dice_macro``. A task that was killed begins anew.

    Args:
        task: A layer of `configs/tasks/`, by its name.
        fraction: Share of the training labels, shown for as many steps.
        layers: YAML files over the task's.
        overrides: Values over all.

    Raises:
        ValueError: If there is no such task.
    """

    def __init__(
        self,
        task: str,
        fraction: float = 1.0,
        layers: Sequence[str] = (),
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        path = Path("configs/tasks") / f"{task}.yaml"
        if not path.is_file():
            known = sorted(file.stem for file in path.parent.glob("*.yaml"))
            raise ValueError(f"task={task!r}: there is no {path}; give one of {known}")
        self.layers = Layers((str(path), *layers), dict(overrides or {}))
        self.fraction = fraction

    def arguments(self, run: Run) -> tuple[str, ...]:
        """Return what stands after `fit`, but for the directory."""
        own = {
            "seed_everything": run.seed,
            "data.init_args.loader.label_fraction": self.fraction,
            "model.init_args.weights": str(run.last_checkpoint) if run.arm.trained else None,
        }
        return words(fill_layers(run.below + self.layers + Layers((), own) + run.over, run.facts))

    def identity(self, run: Run) -> Any:
        """Return the resolved configuration of the task."""
        return resolved_config("fit", *self.arguments(run))

    def measure(self, run: Run, directory: Path) -> Measured:
        """Train and test, and read what that leaves."""
        task = directory / "task"
        alone = one_device(self.identity(run))
        main(["fit", *self.arguments(run), f"--run_dir={task}", *alone])
        checkpoint = task / "checkpoints" / "best.ckpt"
        main(["test", "-c", str(task / "config.yaml"), f"--ckpt_path={checkpoint}"])
        return Measured.of_test(task / "test")
