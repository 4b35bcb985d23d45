"""Where something from outside comes in: every command and constructor that loads a file by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.torture.samples import LAYERS, command, small_fit, small_values

Words = Callable[[Path, Path], "list[str] | Callable[[], None]"]
"""(What is loaded, own directory) → a command, or something to call."""


def _with(subcommand: str, **values: Any) -> Words:
    """Return a command in which ``{evil}`` stands for what is loaded."""

    def words(evil: Path, own: Path) -> list[str]:
        given = {
            key.replace("__", "."): str(value).replace("{evil}", str(evil)) for key, value in values.items()
        }
        small = small_values(own) | {"trainer.max_steps": 1, "trainer.callbacks": []}
        return command(subcommand, LAYERS, small | given)

    return words


def _fine_tune(evil: Path, own: Path) -> list[str]:
    layers = (*LAYERS, "configs/tasks/fine_tune.yaml")
    values = {"run_dir": own / "run", "model.init_args.weights": evil, "trainer.enable_progress_bar": False}
    values |= {
        "trainer.callbacks": "[]",
        "data.init_args.artifacts_dir": own / "artifacts",
        "trainer.max_steps": 1,
    }
    return command("fit", layers, {key: str(value) for key, value in values.items()})


def _export(evil: Path, own: Path) -> list[str]:
    (own / "run" / "checkpoints").mkdir(parents=True)
    evil.rename(own / "run" / "checkpoints" / "best.ckpt")
    return ["scripts.exports.export", f"--run={own / 'run'}"]


def _export_generator(evil: Path, own: Path) -> list[str]:
    return ["scripts.exports.export_generator", str(evil), str(own / "exported")]


def _called(build: Callable[[Path], Any]) -> Words:
    return lambda evil, own: lambda: build(evil)


def _tower(evil: Path) -> None:
    from lightning_modules import ViTEncoder

    ViTEncoder(image_size=64, patch_size=16, width=32, layers=1, heads=2, pretrained=str(evil))


def _text_tower(evil: Path) -> None:
    from lightning_modules import BertEncoder

    BertEncoder(vocab_size=100, width=32, layers=1, heads=2, pretrained=str(evil))


def _report_encoder(evil: Path) -> None:
    from lightning_modules import ReportEncoder

    ReportEncoder(pretrained=str(evil))


def _tokenizer(evil: Path) -> None:
    from datamodules.texts.tokenizer import load_tokenizer

    load_tokenizer(str(evil))


def _diffusion(evil: Path) -> None:
    from synthesis import DiffusionImageMaker

    _ = DiffusionImageMaker(evil, image_size=64).pipeline


def _fine_tuned_diffusion(evil: Path) -> None:
    from lightning_modules import LatentDiffusion, ReportEncoder

    LatentDiffusion(report_encoder=ReportEncoder(), pretrained=str(evil), image_size=64)


def _language_model(evil: Path) -> None:
    from synthesis import LocalModel

    LocalModel(weights=str(evil))._load()


def _token_classifier(evil: Path) -> None:
    from synthesis.reports.reading.token_classifier import TokenClassifier

    TokenClassifier(str(evil))._load()


def _judge(evil: Path) -> None:
    from synthesis.filters import VisionLanguageJudge

    _ = VisionLanguageJudge(directory=str(evil))._loaded


def _pretrained_filter(evil: Path) -> None:
    from synthesis.filters import PretrainedEncoder

    _ = PretrainedEncoder(str(evil))._loaded


def _embedder(evil: Path) -> None:
    from lightning_modules import CheckpointEmbedder

    _ = CheckpointEmbedder(str(evil))._model


def _atlas(evil: Path) -> None:
    from synthesis import Simulator

    Simulator(image_size=64, atlas=str(evil)).describe()


def _draws(evil: Path) -> None:
    from scripts.comparison.draws import Draws

    Draws.read(evil)


CHECKPOINTS: dict[str, Words] = {
    "fit --ckpt_path": _with("fit", ckpt_path="{evil}"),
    "test --ckpt_path": _with("test", ckpt_path="{evil}"),
    "validate --ckpt_path": _with("validate", ckpt_path="{evil}"),
    "predict --ckpt_path": _with("predict", ckpt_path="{evil}"),
    "weights of a task": _fine_tune,
    "export": _export,
    "export of a generator": _export_generator,
    "agreement filter": _called(_embedder),
    "report encoder": _called(_report_encoder),
}
DIRECTORIES: dict[str, Words] = {
    "image tower": _called(_tower),
    "text tower": _called(_text_tower),
    "tokenizer": _called(_tokenizer),
    "report encoder": _called(_report_encoder),
    "diffusion": _called(_diffusion),
    "fine-tuned diffusion": _called(_fine_tuned_diffusion),
    "language model": _called(_language_model),
    "token classifier": _called(_token_classifier),
    "judge": _called(_judge),
    "similarity filter": _called(_pretrained_filter),
}
ARRAYS: dict[str, Words] = {"atlas": _called(_atlas), "draws of a comparison": _called(_draws)}
KINDS = {
    "image tower": {"model_type": "vit", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                    "intermediate_size": 128, "image_size": 64, "patch_size": 16, "num_channels": 3},
    "text tower": {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                   "intermediate_size": 128, "vocab_size": 100},
}  # fmt: skip
RUNS: dict[str, Callable[[Path, Path], list[str]]] = {
    "fit": lambda own, shared: small_fit(own),
    "test": lambda own, shared: command(
        "test", [f"{shared}/run/config.yaml"], {"ckpt_path": f"{shared}/run/checkpoints/best.ckpt"}
    ),
    "corpus": lambda own, shared: [
        "scripts.corpora.make_corpus", "configs/filters/standard.yaml", "--pairs=16", "--workers=0",
        f"--out={own / 'corpus'}", "--model.init_args.image_encoder.init_args.image_size=64",
    ],
    "export": lambda own, shared: ["scripts.exports.export", f"--run={shared}/run", f"--to={own}/exported"],
    "cards": lambda own, shared: ["scripts.exports.cards", f"--run={shared / 'run'}"],
}  # fmt: skip
