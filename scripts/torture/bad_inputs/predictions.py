"""Bad predictions, and bad words of the programs beside the trainer."""

# ruff: noqa: E501  a line an input

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.torture.bad_inputs.bad_input import BadInput
from scripts.torture.bad_inputs.table_data import noise, picture, table, write_images

PREDICT: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "empty folder": (["{own}/empty"], ("empty",)),
    "folder without images": (["{own}/texts"], ("texts",)),
    "no such folder": (["{own}/nothing"], ("nothing",)),
    "no such pattern": (["{own}/images/*.dcm"], ("*.dcm",)),
    "table without rows": (["{own}/header.csv"], ("header.csv",)),
    "table of other columns": (["{own}/other.csv"], ("other.csv",)),
    "unknown column": (["{own}/table.csv", "--column=picture"], ("picture",)),
    "a text": (["{own}/texts/a.txt"], ("a.txt",)),
    "nothing but broken pictures": (["{own}/broken"], ("0.png",)),
    "empty prompt": (["{own}/images", "--prompts="], ("prompts",)),
    "prompts of separators": (["{own}/images", "--prompts", ";;"], ("prompts",)),
    "prompt of a bar": (["{own}/images", "--prompts", "|"], ("prompts",)),
    "unknown concept": (["{own}/images", "--concepts", "edemaa"], ("edemaa", "concepts")),
    "unknown map": (["{own}/images", "--concepts", "edema", "--maps", "edemaa"], ("edemaa", "maps")),
    "unknown embeddings": (["{own}/images", "--embeddings", "xyz"], ("embeddings", "xyz")),
    "no such model": (["{own}/images", "--model={own}/no.ckpt"], ("no.ckpt",)),
    "empty model": (["{own}/images", "--model={own}/empty"], ("empty",)),
    "a picture as model": (["{own}/images", "--model={own}/images/0.png"], ("0.png",)),
    "no such reports": (["{own}/images", "--reports={own}/no.csv"], ("no.csv",)),
    "empty reports": (["{own}/images", "--reports={own}/header.csv"], ("header.csv",)),
    "no such catalogue": (["{own}/images", "--catalogue={own}/no.yaml"], ("no.yaml",)),
    "a table as catalogue": (["{own}/images", "--catalogue={own}/table.csv"], ("table.csv",)),
    "results into a file": (["{own}/images", "--to={own}/table.csv"], ("table.csv",)),
    "no images": ([], ("images",)),
    "misspelt option": (["{own}/images", "--promts=a"], ("promts",)),
    "batches of nothing": (["{own}/images", "--data.init_args.loader.batch_size=0"], ("batch_size", "0")),
    "colour unknown": (["{own}/images", "--data.init_args.colour=maybe"], ("colour", "maybe")),
    "layer missing": (["{own}/images", "-c", "no.yaml"], ("no.yaml",)),
}  # fmt: skip
"""What → words after `predict`, and what a clear answer says."""
CORPUS, COMPARE = "scripts.corpora.make_corpus", "scripts.comparison.__main__"
CHECK, EXPORT = "scripts.corpora.check_pairs", "scripts.exports.export"
SYNTHETIC = "configs/data/synthetic.yaml"
PROGRAMS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "corpus share beyond": ([CORPUS, SYNTHETIC, "--shard=5/4", "--out={own}/c"], ("shard", "5")),
    "corpus share of nothing": ([CORPUS, SYNTHETIC, "--shard=0/0", "--out={own}/c"], ("shard", "0/0")),
    "corpus share negative": ([CORPUS, SYNTHETIC, "--shard=-1/4", "--out={own}/c"], ("shard", "-1")),
    "corpus pairs negative": ([CORPUS, SYNTHETIC, "--pairs=-3", "--out={own}/c"], ("pairs", "-3")),
    "corpus pairs of a word": ([CORPUS, SYNTHETIC, "--pairs=many", "--out={own}/c"], ("pairs", "many")),
    "corpus split unknown": ([CORPUS, SYNTHETIC, "--split=dev", "--pairs=4", "--out={own}/c"], ("split", "dev")),
    "corpus workers negative": ([CORPUS, SYNTHETIC, "--pairs=4", "--workers=-1", "--out={own}/c"], ("workers", "-1")),
    "corpus onto a file": ([CORPUS, SYNTHETIC, "--pairs=4", "--out={own}/table.csv"], ("table.csv",)),
    "corpus options misspelt": ([CORPUS, SYNTHETIC, "--corpus={own}/options.yaml", "--out={own}/c"], ("shard_pair",)),
    "corpus options of nothing": ([CORPUS, SYNTHETIC, "--corpus={own}/zero.yaml", "--pairs=4", "--out={own}/c"], ("shard_pairs", "0")),
    "corpus override unknown": ([CORPUS, SYNTHETIC, "--data.init_args.nothing=1", "--out={own}/c"], ("nothing",)),
    "comparison seeds of words": ([COMPARE, "objectives", "--seeds", "one"], ("seeds", "one")),
    "comparison set without value": ([COMPARE, "objectives", "--set", "a", "--out={own}/o"], ("set", "a")),
    "comparison set unknown": (
        [COMPARE, "objectives", "--scale=smoke", "--set", "trainer.nothing=1", "--out={own}/o", "--cache={own}/cache"],
        ("nothing",)),
    "comparison onto a file": ([COMPARE, "objectives", "--scale=smoke", "--out={own}/table.csv"], ("table.csv",)),
    "comparison precision": (
        [COMPARE, "objectives", "--scale=smoke", "--precision=8", "--out={own}/o", "--cache={own}/cache"], ("precision", "8")),
    "comparison minutes": ([COMPARE, "objectives", "--minutes=-1", "--out={own}/o"], ("minutes", "-1")),
    "comparison of a layer": ([COMPARE, "configs/pretrain.yaml"], ("configs/pretrain.yaml",)),
    "comparison of a folder": ([COMPARE, "configs"], ("configs",)),
    "sweep of a layer": (["scripts.sweeps.__main__", "configs/pretrain.yaml"], ("configs/pretrain.yaml",)),
    "sweep of a folder": (["scripts.sweeps.__main__", "configs"], ("configs",)),
    "sweep scale": (["scripts.sweeps.__main__", "configs/sweeps/temperature.yaml", "--scale=huge"], ("huge",)),
    "check of nothing": ([CHECK, "configs/data/nothing.yaml"], ("nothing.yaml",)),
    "check options missing": ([CHECK, "--corpus={own}/no.yaml"], ("no.yaml",)),
    "replay of nothing": (["scripts.replay", "{own}/nothing"], ("nothing",)),
    "replay of a run without a stop": (["scripts.replay", "{shared}/run"], ("run",)),
    "replay of a file": (["scripts.replay", "{own}/table.csv"], ("table.csv",)),
    "export onto a file": ([EXPORT, "--run={shared}/run", "--to={own}/table.csv"], ("table.csv",)),
    "export of a file": ([EXPORT, "--run={own}/table.csv"], ("table.csv",)),
    "release of no run": (["scripts.exports.release", "--run={own}/nothing", "--to={own}/r"], ("nothing",)),
    "release name": (["scripts.exports.release", "--run={shared}/run", "--push=a b c", "--to={own}/r"], ("push", "a b c")),
    "cards of a file": (["scripts.exports.cards", "--run={own}/table.csv"], ("table.csv",)),
    "generator export of a table": ([f"{EXPORT}_generator", "{own}/table.csv", "{own}/out"], ("table.csv",)),
    "generator export of an encoder": (
        [f"{EXPORT}_generator", "{shared}/run/checkpoints/last.ckpt", "{own}/out"], ("last.ckpt",)),
    "init-data without a folder": (["scripts.tables.init_data", "{own}/nothing", "{own}/table.csv"], ("nothing",)),
    "init-data without a table": (["scripts.tables.init_data", "{own}/images", "{own}/no.csv", "--to={own}/a.yaml"], ("no.csv",)),
    "init-data of an empty table": (
        ["scripts.tables.init_data", "{own}/images", "{own}/empty.csv", "--to={own}/a.yaml"], ("empty.csv",)),
    "init-data without images": (
        ["scripts.tables.init_data", "{own}/empty", "{own}/table.csv", "--to={own}/a.yaml"], ("table.csv|empty",)),
    "init-data onto a file": (
        ["scripts.tables.init_data", "{own}/images", "{own}/table.csv", "--to={own}/options.yaml"], ("options.yaml",)),
    "demo port": (["scripts.demo.serve", "--port=99999999"], ("port", "99999999")),
    "demo image size": (["scripts.demo.serve", "--image-size=0"], ("image-size|image_size", "0")),
    "demo encoder": (["scripts.demo.serve", "--encoder={own}/no.ckpt"], ("no.ckpt",)),
    "demo generator": (["scripts.demo.serve", "--generator={own}/nothing"], ("nothing",)),
    "options of nothing": (["main", "options", "NoSuchClass"], ("NoSuchClass",)),
    "completion of nothing": (["main", "completion", "csh"], ("csh",)),
    "extraction of nothing": (["scripts.corpora.extraction", "--sentences={own}/no.yaml"], ("no.yaml",)),
}  # fmt: skip
"""What → module and words, and what a clear answer says."""


def inputs() -> Iterator[BadInput]:
    """Yield the bad inputs of this kind."""
    for what, (words, names) in PREDICT.items():
        yield BadInput(f"predict/{what}", filled(["main", "predict", *words], "--to={own}/out"), names)
    for what, (words, names) in PROGRAMS.items():
        yield BadInput(f"program/{what}", filled(words), names)


def filled(words: list[str], default: str = "") -> Callable[[Path, Path], list[str]]:
    """Return the words of a bad input; ``{own}`` and ``{shared}`` stand for its directories."""

    def write(own: Path, shared: Path) -> list[str]:
        write_files(own)
        more = (
            [default] if default and not any(word.startswith("--to") for word in words) and words[2:] else []
        )
        return [w.replace("{own}", str(own)).replace("{shared}", str(shared)) for w in (*words, *more)]

    return write


def write_files(own: Path) -> None:
    """Write what the words name."""
    write_images(own / "images")
    for folder in ("empty", "texts", "broken"):
        (own / folder).mkdir()
    (own / "texts" / "a.txt").write_text("no image\n")
    (own / "broken" / "0.png").write_bytes(picture(noise())[:80])
    (own / "table.csv").write_text(table())
    (own / "empty.csv").write_text("")
    (own / "header.csv").write_text("image,report\n")
    (own / "other.csv").write_text("a,b\n1,2\n")
    (own / "options.yaml").write_text("shard_pair: 3\n")
    (own / "zero.yaml").write_text("shard_pairs: 0\n")
