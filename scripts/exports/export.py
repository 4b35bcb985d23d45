"""Write a trained model as a `transformers` directory: `python -m scripts.exports.export --run runs/fit`.

The directory holds a `VisionTextDualEncoderModel`, its processor and a model card. It is read back, and its
features are compared with the model's, before this program says that it is done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_modules import DualEncoder
from lightning_modules.checkpoints import load_model
from scripts.command_line.errors import exit_code
from scripts.exports.cards import model_card
from synthesis.checksums import write_checksums
from synthesis.files import write_atomically

_PLAIN = """\
```python
from transformers import pipeline

classify = pipeline("zero-shot-image-classification", model="{directory}")
labels = ["pleural effusion", "no pleural effusion"]
classify("radiograph.png", candidate_labels=labels, hypothesis_template="{{}}")
```
"""
_REGISTERED = "import lightning_modules.exported  # of SynVLP: registers the towers; no remote code is run\n"
_OWN = """\

```python
from lightning_modules.exported import read_directory

model = read_directory("{directory}")  # encode_image, encode_text, encode_patches
```

To train on from it: `--model.init_args.weights={directory}`.
"""


def main(args: Sequence[str] | None = None) -> Path:
    """Export the checkpoint of a run.

    Args:
        args: Arguments as on the command line; the process's own by default.

    Returns:
        The directory.

    Raises:
        SystemExit: If the run has no such checkpoint.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/fit"), help="directory of the training run")
    parser.add_argument("--checkpoint", default="best", help="name of the checkpoint in it: best or last")
    parser.add_argument("--to", type=Path, help="directory to write; <run>/exported by default")
    parser.add_argument("--onnx", action="store_true", help="also write both towers as ONNX, checked")
    parser.add_argument("--half", action="store_true", help="store the weights in 16 bits")
    options = parser.parse_args(args)
    directory: Path = options.to or options.run / "exported"
    needed = export_run(options.run, options.checkpoint, directory, options.half, options.onnx)
    print(
        f"{directory}: written, read back, features equal"
        + (f"; needs this project for {needed}" if needed else "")
    )
    return directory


def export_run(
    run: Path, checkpoint: str, directory: Path, half: bool = False, onnx: bool = False
) -> list[str]:
    """Export a checkpoint of a run, with card and checksums.

    Args:
        run: Directory of the training run.
        checkpoint: Name of the checkpoint in it.
        directory: Where it goes.
        half: Whether to store the weights in 16 bits.
        onnx: Whether to write both towers as ONNX too, see `export_onnx`.

    Returns:
        Kinds of tower for which the reader needs this project.

    Raises:
        SystemExit: If the run has no such checkpoint.
    """
    path = run / "checkpoints" / f"{checkpoint}.ckpt"
    if not path.is_file():
        found = sorted(file.stem for file in path.parent.glob("*.ckpt"))
        raise SystemExit(
            f"{path}: no such checkpoint; there are {found}. Give --run and --checkpoint of a training run."
        )
    model = load(path)
    needed = write(model, directory, half)
    if onnx:
        from lightning_modules.exported.onnx_towers import export_onnx

        export_onnx(model, directory)
    card = model_card(run, directory.name) + "\n## How to load\n\n" + usage(directory.name, needed)
    write_atomically(directory / "README.md", card)
    write_checksums(directory)
    return needed


def load(checkpoint: Path) -> DualEncoder:
    """Build the model that a checkpoint of the command line holds.

    Args:
        checkpoint: The file.

    Raises:
        TypeError: If it holds another kind of model.
    """
    model = load_model(checkpoint)
    if not isinstance(model, DualEncoder):
        raise TypeError(
            f"{checkpoint} holds a {type(model).__name__}; give a run of a DualEncoder: "
            "others are not exported"
        )
    return model


def write(model: DualEncoder, directory: Path, half: bool = False) -> list[str]:
    """Export a model; see `lightning_modules.exported.export`.

    Returns:
        Kinds of tower for which the reader needs this project.
    """
    from lightning_modules.exported.export import export, needs_this_package

    return needs_this_package(export(model, directory, half))


def usage(name: str, needed: Sequence[str]) -> str:
    """Return the lines of Markdown that say how to load a directory.

    Args:
        name: The directory.
        needed: Kinds of tower for which the reader needs this project.
    """
    code = _PLAIN.format(directory=name)
    loading = code.replace("```python\n", f"```python\n{_REGISTERED}") if needed else code
    return loading + _OWN.format(directory=name)


if __name__ == "__main__":
    sys.exit(exit_code(main))
