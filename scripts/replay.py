"""Repeats the step at which a training stopped: `make replay RUN=runs/fit`.

Goes on from the run's last checkpoint, which was written before that step, and looks at everything in it:
see `callbacks.StepReplay`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from callbacks.run.non_finite_guard import FAILURE
from lightning_modules.checkpoints import read_checkpoint
from main import main as fit
from scripts.command_line.errors import exit_code


def main(args: list[str] | None = None) -> None:
    """Read the command line and repeat the step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="directory of the run")
    run: Path = parser.parse_args(args).run
    failure = run / FAILURE
    if not failure.is_file():
        raise SystemExit(
            f"no {failure}: training did not stop there at a number that was not finite; give the --run_dir "
            "of one that did"
        )
    step = int(json.loads(failure.read_text())["step"])
    checkpoint = run / "checkpoints" / "last.ckpt"
    if checkpoint.is_file() and read_checkpoint(checkpoint, mmap=True)["global_step"] <= step:
        start = [f"--ckpt_path={checkpoint}"]
        print(f"training from {checkpoint} to step {step}", flush=True)
    else:
        start = ["--ckpt_path=null"]
        print(f"training from the start to step {step}", flush=True)
    replay = {"class_path": "callbacks.StepReplay", "init_args": {"step": step}}
    quiet = [
        "--trainer.logger=false",
        "--trainer.limit_val_batches=0",
        "--trainer.enable_checkpointing=false",
    ]
    own = [f"--run_dir={run / 'replay'}", f"--trainer.callbacks=[{json.dumps(replay)}]"]
    try:
        fit(["fit", "-c", str(run / "config.yaml"), *quiet, *own, *start])
    except SystemExit as ended:
        if ended.code:
            raise


if __name__ == "__main__":
    sys.exit(exit_code(main))
