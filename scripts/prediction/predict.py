"""`synvlp predict FOLDER …`: short words for what one wants of predictions, and the long form behind them.

    synvlp predict scans/                                           every concept of the catalogue
    synvlp predict "scans/**/*.dcm" --prompts "rib fracture; large heart | normal heart"
    synvlp predict table.csv --maps pneumothorax --reports reports.csv --embeddings npz
    synvlp predict a.png b.dcm --model runs/fit/checkpoints/best.ckpt --to out

DICOM and picture files may be mixed. Results go to runs/predict. What cannot be read is listed in
bad_files.csv and ends nothing. Further options of the long form follow as --key=value, layers as -c FILE:
--trainer.devices=2, --data.init_args.colour=convert, -c configs/trainer/gpu.yaml.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

LAYER = "configs/predict.yaml"


def main(args: Sequence[str]) -> None:
    """Predict.

    Args:
        args: Arguments after the word: the short form if images or an option of it are among them, otherwise
            the long form, which LightningCLI reads.
    """
    import main as program

    program.main(["predict", *long_form(args)])


def long_form(args: Sequence[str]) -> list[str]:
    """Return the arguments of LightningCLI that short ones mean; long ones stay as they are.

    Args:
        args: As typed.

    Raises:
        SystemExit: For `--help`, or if an option of the long form is not written as --key=value.
    """
    parser = _parser()
    short, others = parser.parse_known_intermixed_args(list(args))
    # argparse takes an option with a space in its value for no option.
    others += [word for word in short.images if word.startswith("--")]
    short.images = [word for word in short.images if not word.startswith("--")]
    meant = {
        "--data.init_args.images": json.dumps(short.images, ensure_ascii=False) if short.images else None,
        "--model.init_args.weights": short.model,
        "--run_dir": short.to,
        "--data.init_args.column": short.column,
        "--data.init_args.reports.source": short.reports,
        "--trainer.callbacks.catalogue": short.catalogue,
        **{f"--trainer.callbacks.{key}": _listed(getattr(short, key)) for key in _LISTS},
    }
    for key in _LISTS:
        if _listed(getattr(short, key)) == "[]":
            given = " ".join(getattr(short, key))
            parser.error(f"--{key}={given!r} names nothing: give texts, or leave it out")
    chosen = [f"{key}={value}" for key, value in meant.items() if value is not None]
    layers = [f"--config={layer}" for layer in short.config or ()]
    if not chosen and not layers and not any(word.startswith(("--", "-c")) for word in others):
        parser.error("no images: name a folder, a pattern, a table or files after predict")
    if not chosen:
        return [*layers, *others]
    if bare := [word for word in others if not word.startswith("--") or "=" not in word]:
        parser.error(f"{bare[0]}: write options of the long form as --key=value, layers as -c FILE")
    if not short.images and not any(word.startswith("--data.") for word in others) and not layers:
        parser.error("which images? Name a folder, a pattern, a table or files")
    return [f"--config={LAYER}", *layers, *chosen, *others]


_LISTS = {
    "prompts": "texts of your own, with ; between them: 'a' is compared with 'no a', 'a | b' with 'b'",
    "concepts": "concepts of the catalogue to score; all without this and without --prompts",
    "maps": "concepts or prompts of which similarity maps are drawn, a PNG an image",
    "embeddings": "npz, parquet or both: write the images' vectors",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "synvlp predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("images", nargs="*", help="folders, patterns, tables (CSV, Parquet) and files")
    for key, text in _LISTS.items():
        parser.add_argument(f"--{key}", nargs="+", metavar="TEXT", help=text)
    parser.add_argument("--model", help="a checkpoint or an exported directory; without it the shipped one")
    parser.add_argument("--reports", help="a table or text file of reports, or: simulated. Names the nearest")
    parser.add_argument("--catalogue", metavar="FILE", help="YAML with other prompts of its concepts")
    parser.add_argument("--column", help="the column of a table that names the image, if it has an odd name")
    parser.add_argument("--to", metavar="DIR", help="results go to DIR/predict; runs/predict without it")
    parser.add_argument("-c", "--config", action="append", metavar="FILE", help="a layer of the long form")
    return parser


def _listed(texts: Sequence[str] | None) -> str | None:
    """Return texts as a YAML list; each may hold several with ; between them."""
    if texts is None:
        return None
    parts = [part.strip() for text in texts for part in text.split(";")]
    return json.dumps([part for part in parts if part], ensure_ascii=False)
