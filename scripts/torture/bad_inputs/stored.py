"""Bad corpora, model directories, generators, prompts, comparisons and sweeps."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from scripts.torture.bad_inputs.bad_input import BadInput
from scripts.torture.bad_inputs.cli import small_command
from scripts.torture.bad_inputs.table_data import noise, picture
from scripts.torture.samples import LAYERS, SIZE, command, small_values, write_layer

Write = Callable[[Path], object]
"""Writes into a directory."""
PNG = picture(noise())


# ------------------------------------------------------------------------------------------------- corpora
def _tar(members: dict[str, bytes]) -> Write:
    def write(place: Path) -> None:
        with tarfile.open(place / "00000.tar", "w") as tar:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))

    return write


def _pairs(**last: bytes) -> dict[str, bytes]:
    members = {}
    for k in range(4):
        members[f"{k}.png"], members[f"{k}.txt"] = picture(noise(k)), b"IMPRESSION: Small left effusion."
    return members | {name.replace("_", "."): content for name, content in last.items()}


def _parquet(columns: dict[str, list[Any]]) -> Write:
    def write(place: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), place / "0.parquet")

    return write


def _file(name: str, content: bytes) -> Write:
    return lambda place: (place / name).write_bytes(content)


TEXTS = ["IMPRESSION: Small left effusion."] * 4
IMAGES = [picture(noise(k)) for k in range(4)]
GOOD: dict[str, list[Any]] = {"image": IMAGES, "text": TEXTS}
CORPORA: dict[str, tuple[Write, dict[str, Any], tuple[str, ...]]] = {
    "nothing": (lambda place: None, {}, ("bad",)),
    "no such path": (lambda place: None, {"path": "no/such/corpus"}, ("no/such/corpus",)),
    "other files": (_file("a.csv", b"a,b\n"), {}, ("a.csv",)),
    "empty tar": (_file("00000.tar", b""), {}, ("00000.tar",)),
    "text as tar": (_file("00000.tar", b"hello" * 900), {}, ("00000.tar",)),
    "tar without pictures": (_tar({"0.txt": b"IMPRESSION: Normal."}), {}, ("00000.tar", "0")),
    "tar without texts": (_tar({"0.png": PNG, "1.png": PNG}), {}, ("00000.tar|text",)),
    "tar, broken JSON": (_tar(_pairs(**{"3_json": b"{"})), {}, ("00000.tar",)),
    "tar, JSON list": (_tar(_pairs(**{"3_json": b"[1]"})), {}, ("00000.tar",)),
    "tar, broken picture": (_tar(_pairs(**{"3_png": PNG[:99]})), {}, ("00000.tar", "3")),
    "tar, empty text": (_tar(_pairs(**{"3_txt": b""})), {}, ("row 3", "text")),
    "tar, text in Latin-1": (_tar(_pairs(**{"3_txt": b"Gr\xf6\xdfe"})), {}, ("00000.tar",)),
    "tar, wrong counts": (_file("00000_stats.json", b'{"successes": "many"}'), {}, ("bad",)),
    "Parquet, empty": (_file("0.parquet", b""), {}, ("0.parquet",)),
    "Parquet, text": (_file("0.parquet", b"hello" * 99), {}, ("0.parquet",)),
    "Parquet, no rows": (_parquet({"image": [], "text": []}), {}, ("0.parquet|pairs|empty|train",)),
    "Parquet, no images": (_parquet({"text": TEXTS}), {}, ("0.parquet", "image")),
    "Parquet, no texts": (_parquet({"image": IMAGES}), {}, ("0.parquet|text",)),
    "Parquet, paths": (_parquet({"image": ["a.png"] * 4, "text": TEXTS}), {}, ("0.parquet", "image")),
    "Parquet, null image": (_parquet({"image": [*IMAGES[:3], None], "text": TEXTS}), {}, ("image",)),
    "Parquet, null text": (_parquet({"image": IMAGES, "text": [*TEXTS[:3], None]}), {}, ("3",)),
    "Parquet, text nan": (_parquet({"image": IMAGES, "text": [*TEXTS[:3], "nan"]}), {}, ("row 3", "text")),
    "Parquet, unknown concept": (
        _parquet({"image": IMAGES, "text": TEXTS, "concepts": [["edemaa"]] * 4}), {}, ("edemaa",)),
    "Parquet, broken case": (_parquet({"image": IMAGES, "text": TEXTS, "case": ["{"] * 4}), {}, ("case",)),
    "columns unknown": (_parquet(GOOD), {"columns": "{picture: image}"}, ("picture",)),
    "splits unknown": (_parquet(GOOD), {"splits": "{most: 1.0}"}, ("most",)),
    "splits above one": (_parquet(GOOD), {"splits": "{train: 2.0}"}, ("splits", "2.0")),
    "image size 0": (_parquet(GOOD), {"image_size": 0}, ("image_size", "0")),
    "broken manifest": (_file("manifest.json", b"{"), {}, ("manifest.json",)),
    "empty manifest": (_file("manifest.json", b"{}"), {}, ("manifest.json",)),
    "manifest of a list": (_file("manifest.json", b"[]"), {}, ("manifest.json",)),
}  # fmt: skip


def _corpus(write: Write, changes: dict[str, Any]) -> Callable[[Path, Path], list[str]]:
    def words(own: Path, shared: Path) -> list[str]:
        place = own / "bad"
        place.mkdir()
        write(place)
        data = {
            "path": str(place),
            "image_size": SIZE,
            "splits": {"train": 1.0},
            "artifacts_dir": str(own / "a"),
        }
        data |= {"tokenizer": {"vocab_size": 512}, "tokenizer_reports": 100, "views": {"augmentation": None}}
        data["loader"] = {
            "batch_size": 2,
            "eval_batch_size": 2,
            "num_workers": 0,
            "epoch_size": None,
            "echo": 1,
        }
        for key, value in changes.items():
            data[key] = yaml.safe_load(value) if isinstance(value, str) else value
        layer = {
            "data.class_path": "datamodules.CorpusPairs",
            **{f"data.init_args.{k}": v for k, v in data.items()},
        }
        path = write_layer(own / "data.yaml", layer)
        values = {k: v for k, v in small_values(own).items() if not k.startswith("data.")}
        values |= {"trainer.callbacks": [], "trainer.max_steps": 2, "trainer.limit_val_batches": 0}
        return command("fit", (*LAYERS, str(path)), values)

    return words


# ------------------------------------------------------------------------------------------ model directories
BERT = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 64, "vocab_size": 512, "max_position_embeddings": 192}  # fmt: skip
MODELS: dict[str, Write] = {
    "nothing": lambda place: None,
    "no configuration": _file("model.safetensors", bytes(8)),
    "no weights": _file("config.json", json.dumps(BERT).encode()),
    "broken configuration": _file("config.json", b"{"),
    "empty configuration": _file("config.json", b"{}"),
    "unknown kind": _file("config.json", json.dumps({**BERT, "model_type": "brt"}).encode()),
    "broken weights": lambda place: _files(
        place, {"config.json": json.dumps(BERT).encode(), "model.safetensors": b"x"}
    ),
    "empty weights": lambda place: _files(
        place, {"config.json": json.dumps(BERT).encode(), "model.safetensors": b""}
    ),
    "no tensors": lambda place: _tensors(place, {}),
    "other tensors": lambda place: _tensors(place, {"a": 1.0}),
    "NaN": lambda place: _tensors(place, {"embeddings.LayerNorm.weight": float("nan")}),
    "a pickle": lambda place: _files(
        place, {"config.json": json.dumps(BERT).encode(), "pytorch_model.bin": b"\x80\x04."}
    ),
}
TOKENIZERS: dict[str, Write] = {
    "nothing": lambda place: None,
    "broken": _file("tokenizer.json", b"{"),
    "empty": _file("tokenizer.json", b"{}"),
    "empty file": _file("tokenizer.json", b""),
    "configuration alone": _file("tokenizer_config.json", b'{"tokenizer_class": "BertTokenizer"}'),
    "vocabulary of nothing": _file("vocab.txt", b""),
    "binary vocabulary": _file("vocab.txt", bytes(range(256))),
}  # fmt: skip
GENERATOR = {
    "kind": "variational",
    "section": "impression",
    "image_size": 64,
    "latent_dim": 8,
    "arguments": {},
}
GENERATORS: dict[str, Write] = {
    "nothing": lambda place: None,
    "broken settings": _file("generator.json", b"{"),
    "empty settings": _file("generator.json", b"{}"),
    "list": _file("generator.json", b"[]"),
    "other kind": _file("generator.json", json.dumps({**GENERATOR, "kind": "adversarial"}).encode()),
    "unknown kind": _file("generator.json", json.dumps({**GENERATOR, "kind": "magic"}).encode()),
    "no weights": _file("generator.json", json.dumps(GENERATOR).encode()),
    "broken weights": lambda place: _files(
        place, {"generator.json": json.dumps(GENERATOR).encode(), "generator.safetensors": b"x"}
    ),
    "unknown section": _file("generator.json", json.dumps({**GENERATOR, "section": "history"}).encode()),
}


def _files(place: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (place / name).write_bytes(content)


def _tensors(place: Path, values: dict[str, float]) -> None:
    import torch
    from safetensors.torch import save_file

    (place / "config.json").write_text(json.dumps(BERT))
    save_file({name: torch.full((32,), value) for name, value in values.items()}, place / "model.safetensors")


def _in_directory(write: Write, changes: dict[str, Any]) -> Callable[[Path, Path], list[str]]:
    def words(own: Path, shared: Path) -> list[str]:
        place = own / "bad_directory"
        place.mkdir()
        write(place)
        return small_command(
            own, {key: str(value).replace("{bad}", str(place)) for key, value in changes.items()}
        )

    return words


VARIATIONAL = {
    "data.init_args.synthesizer.init_args.image_maker": "synthesis.VariationalImageMaker",
    "data.init_args.synthesizer.init_args.image_maker.init_args.directory": "{bad}",
    "data.init_args.synthesizer.init_args.image_maker.init_args.image_size": SIZE,
}

# -------------------------------------------------------------------------------------- prompts and tables
PROMPTS: dict[str, str] = {
    "empty": "",
    "list": "- a\n",
    "text": "hello\n",
    "unknown concept": "edemaa: {present: [a], absent: [b]}\n",
    "no absence": "edema: {present: [edema]}\n",
    "empty lists": "edema: {present: [], absent: []}\n",
    "number": "edema: 3\n",
    "broken": "edema: {present: [edema\n",
    "duplicate": "edema: {present: [a], absent: [b]}\nedema: {present: [c], absent: [d]}\n",
    "numbers as prompts": "edema: {present: [1], absent: [2]}\n",
}
COMPARISON = {
    "title": "T", "question": "Q", "base": list(LAYERS), "arms": {"a": {}, "b": {}}, "reference": "b",
    "scales": {"full": {}}, "test": {"overrides": {"trainer.enable_progress_bar": False}},
    "metrics": {"R": "test/retrieval/i2t_hit@10"}, "note": "{seeds}.",
}  # fmt: skip
COMPARISONS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no arms": ({"arms": {}}, ("bad.yaml", "arms")),
    "unknown reference": ({"reference": "c"}, ("bad.yaml", "c")),
    "unknown key": ({"metrix": {}}, ("bad.yaml", "metrix")),
    "no metrics": ({"metrics": {}}, ("bad.yaml", "metrics")),
    "no title": ({"title": None}, ("bad.yaml", "title")),
    "missing layer": ({"base": ["configs/nothing.yaml"]}, ("configs/nothing.yaml",)),
    "arms of a list": ({"arms": ["a"]}, ("bad.yaml", "arms")),
    "unknown override": ({"arms": {"a": {"overrides": {"model.nothing": 1}}, "b": {}}}, ("nothing",)),
    "seed of a word": ({"seeds": ["one"]}, ("bad.yaml", "seeds|one")),
    "unknown placeholder": ({"note": "{nothing}"}, ("nothing",)),
    "budget unknown": ({"budget": "money"}, ("bad.yaml", "budget|money")),
}
SWEEP = {
    "program": "main.py",
    "command": ["${env}", "${interpreter}", "${program}", "fit", "-c", LAYERS[0], "${args}"],
    "method": "grid", "metric": {"name": "val/zero_shot/auroc_macro", "goal": "maximize"},
    "parameters": {"seed_everything": {"values": [1]}},
}  # fmt: skip
SWEEPS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "method unknown": ({"method": "tpe"}, ("bad.yaml", "tpe")),
    "termination unknown": ({"early_terminate": {"type": "median"}}, ("bad.yaml", "median")),
    "no parameters": ({"parameters": None}, ("bad.yaml", "parameters")),
    "no values": ({"parameters": {"seed_everything": {}}}, ("bad.yaml", "seed_everything")),
    "unknown parameter": ({"parameters": {"model.nothing": {"values": [1]}}}, ("nothing",)),
    "no metric": ({"metric": None}, ("bad.yaml", "metric")),
    "command without args": ({"command": ["fit"]}, ("bad.yaml", "command")),
    "goal unknown": ({"metric": {"name": "val/x/y", "goal": "best"}}, ("bad.yaml", "goal|best")),
    "parameters of a list": ({"parameters": ["lr"]}, ("bad.yaml", "parameters")),
}
CORPUS, COMPARE = "scripts.corpora.make_corpus", "scripts.comparison.__main__"
EXPORT = "scripts.exports.export"
SYNTHETIC = "configs/data/synthetic.yaml"
PROGRAMS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "corpus without a layer": (["scripts.corpora.make_corpus"], ("config",)),
    "corpus of no layer": ([CORPUS, "configs/data/nothing.yaml"], ("configs/data/nothing.yaml",)),
    "corpus of real data": ([CORPUS, "configs/data/nih_chestxray14.yaml"], ("LabelledImages",)),
    "corpus of no pairs": ([CORPUS, SYNTHETIC, "--pairs=0", "--out={own}/c"], ("pairs", "0")),
    "corpus share": ([CORPUS, SYNTHETIC, "--shard=3/2", "--out={own}/c"], ("3", "2")),
    "corpus share of words": ([CORPUS, SYNTHETIC, "--shard=a", "--out={own}/c"], ("shard", "a")),
    "corpus options": ([CORPUS, SYNTHETIC, "--corpus=no.yaml", "--out={own}/c"], ("no.yaml",)),
    "corpus unknown flag": ([CORPUS, SYNTHETIC, "--paris=3", "--out={own}/c"], ("paris",)),
    "comparison of no name": ([COMPARE, "nothing"], ("nothing",)),
    "comparison scale": ([COMPARE, "objectives", "--scale=huge"], ("huge",)),
    "comparison arm": ([COMPARE, "objectives", "--arms", "nothing", "--out={own}/o"], ("nothing",)),
    "comparison variable": ([COMPARE, "generators", "--var", "nothing=1", "--out={own}/o"], ("nothing",)),
    "sweep of no file": (["scripts.sweeps.__main__", "configs/sweeps/nothing.yaml"], ("nothing.yaml",)),
    "export of no run": ([EXPORT, "--run={own}/nothing"], ("nothing",)),
    "export of no checkpoint": ([EXPORT, "--run={shared}/run", "--checkpoint=first"], ("first",)),
    "cards of no run": (["scripts.exports.cards", "--run={own}/nothing"], ("nothing",)),
    "check of simulated pairs": (["scripts.corpora.check_pairs", SYNTHETIC], ("SyntheticPairs",)),
    "generator export of nothing": ([f"{EXPORT}_generator", "{own}/no.ckpt", "{own}/out"], ("no.ckpt",)),
}  # fmt: skip


def inputs() -> Iterator[BadInput]:
    """Yield the bad inputs of these kinds."""
    for what, (write, changes, names) in CORPORA.items():
        yield BadInput(f"corpus/{what}", _corpus(write, changes), names)
    for tower in ("text_encoder", "image_encoder"):
        for what, write in MODELS.items():
            words = _in_directory(write, {f"model.init_args.{tower}.init_args.pretrained": "{bad}"})
            yield BadInput(f"model directory/{tower}, {what}", words, ("bad_directory",))
    for what, write in TOKENIZERS.items():
        words = _in_directory(write, {"data.init_args.tokenizer.path": "{bad}"})
        yield BadInput(f"tokenizer/{what}", words, ("bad_directory",))
    for what, write in GENERATORS.items():
        yield BadInput(f"generator/{what}", _in_directory(write, VARIATIONAL), ("bad_directory",))
    for what, text in PROMPTS.items():
        yield BadInput(f"prompts/{what}", _prompts(text), ("bad.yaml",))
    for what, (changed, names) in COMPARISONS.items():
        yield BadInput(
            f"comparison/{what}", _yaml_of("scripts.comparison.__main__", COMPARISON | changed), names
        )
    for what, (changed, names) in SWEEPS.items():
        yield BadInput(f"sweep/{what}", _yaml_of("scripts.sweeps.__main__", SWEEP | changed), names)
    for what, (program, names) in PROGRAMS.items():
        yield BadInput(f"program/{what}", _program(program), names)


def _program(program: list[str]) -> Callable[[Path, Path], list[str]]:
    return lambda own, shared: [
        word.replace("{own}", str(own)).replace("{shared}", str(shared)) for word in program
    ]


def _prompts(text: str) -> Callable[[Path, Path], list[str]]:
    def words(own: Path, shared: Path) -> list[str]:
        (own / "bad.yaml").write_text(text)
        zero_shot = f"{{class_path: callbacks.ZeroShot, init_args: {{prompts: {own / 'bad.yaml'}}}}}"
        return small_command(
            own, {"trainer.callbacks": f"[{{class_path: callbacks.FeatureCollector}}, {zero_shot}]"}
        )

    return words


def _yaml_of(module: str, content: dict[str, Any]) -> Callable[[Path, Path], list[str]]:
    def words(own: Path, shared: Path) -> list[str]:
        kept = {key: value for key, value in content.items() if value is not None}
        (own / "bad.yaml").write_text(yaml.safe_dump(kept, sort_keys=False))
        return [module, str(own / "bad.yaml"), f"--out={own / 'out'}"]

    return words
