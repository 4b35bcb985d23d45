"""Programs beside Lightning's subcommands: `synvlp <word> …`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Word:
    """One program.

    Attributes:
        module: Where its `main(args)` is; imported when it is called.
        help: What it does, in one line of `synvlp --help`.
    """

    module: str
    help: str


WORDS = {
    "options": Word("scripts.command_line.options", "list the classes for YAML, or the options of one"),
    "completion": Word("scripts.command_line.completion", "print the completion for bash and zsh"),
    "predict": Word("scripts.prediction.predict", "scores, vectors and maps of a folder of radiographs"),
    "init-data": Word("scripts.tables.init_data", "write the YAML for a folder of images and a table"),
    "export": Word("scripts.exports.export", "write a trained model as a transformers directory"),
    "release": Word("scripts.exports.release", "build the model directory of an encoder for others"),
    "cards": Word("scripts.exports.cards", "write the model card and the data card of a run"),
    "corpus": Word("scripts.corpora.make_corpus", "make a filtered corpus of pairs from YAML"),
    "check-pairs": Word("scripts.corpora.check_pairs", "pass real pairs of your own through the filters"),
    "compare": Word("scripts.comparison.__main__", "train and judge arms side by side, over seeds"),
    "demo": Word("scripts.demo.serve", "serve a page to this computer: make pairs, ask an encoder"),
    "replay": Word("scripts.replay", "repeat the step at which a training stopped at NaN"),
    "sweep": Word("scripts.sweeps.__main__", "carry out a sweep file without a network"),
}
"""By what is typed. A new program is one line here; its `main` takes the arguments after the word."""


SUBCOMMANDS = {
    "fit": "train a model on pairs, and evaluate it after every epoch",
    "validate": "evaluate a checkpoint on the validation pairs",
    "test": "evaluate a checkpoint on the test pairs",
    "predict": "score radiographs of your own with a checkpoint",
}
"""Lightning's: what each does."""


def help_text() -> str:
    """Return what `synvlp --help` prints: known without Lightning, which takes seconds to import."""
    programs = {word: program.help for word, program in WORDS.items() if word not in SUBCOMMANDS}
    lines = [
        "usage: synvlp fit|validate|test -c LAYER.yaml [-c LAYER.yaml …] [--key=value …]",
        "       synvlp predict IMAGES …",
        "",
        "Vision-language pre-training on synthetic radiographs and reports. The later layer wins.",
        "",
        *(f"  {word:<14}{does}" for word, does in SUBCOMMANDS.items()),
        "",
        *(f"  {word:<14}{does}" for word, does in programs.items()),
        "",
        "Each has its own --help; `synvlp fit -c … --print_config` prints what a run would be given;",
        "`synvlp options` lists the classes that YAML can name. Without installation: python main.py …",
        "",
    ]
    return "\n".join(lines)


def run_word(word: str, args: list[str]) -> object:
    """Run a program with its arguments and return what it returns: an exit code, if it is a number."""
    return import_module(WORDS[word].module).main(args)
