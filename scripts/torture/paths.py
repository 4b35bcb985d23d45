"""Names in files that point out of their directory, or that a library takes for a command."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

from scripts.torture.campaign import Outcome
from scripts.torture.process import run


def small_store(directory: Path, pairs: int = 12) -> Path:
    """Make a small store, and return the directory of its split."""
    from synthesis import BalancedCaseSampler, GrammarWriter, PairSynthesizer, Simulator
    from synthesis.store import StorePlan, fill

    synthesizer = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=64))
    fill(directory, StorePlan(synthesizer, pairs, shard_pairs=4), progress=False)
    return directory


def _manifest(name: str) -> Callable[[Path], Outcome]:
    """Return an attempt in which a manifest, with a checksum that is right, names a file elsewhere."""

    def attempt(directory: Path) -> Outcome:
        from synthesis.store import PairStore, StoreError
        from synthesis.store.manifest import Manifest

        store = small_store(directory / "store" / "train")
        manifest = Manifest.read(store, None)
        entry = manifest.shards[0]
        assert entry.file is not None
        outside = directory / "outside.safetensors"
        (store / entry.file).rename(outside)
        content = json.loads((store / "manifest.json").read_text())
        content["shards"][0]["file"] = name.format(outside=outside)
        content.pop("sha256")
        (store / "manifest.json").write_text(json.dumps({**content, "sha256": _sha256(content)}))
        try:
            PairStore(store).pairs([0])
        except StoreError as error:
            return Outcome("refused", str(error))
        return Outcome("followed", f"the manifest's file {name!r} was read")

    return attempt


def _sha256(content: object) -> str:
    from synthesis.identity import json_sha256

    return json_sha256(content)


def _ledger(directory: Path) -> Outcome:
    """Let a ledger of a last, short file name a victim elsewhere, which growing the store would tidy away."""
    from synthesis import BalancedCaseSampler, GrammarWriter, PairSynthesizer, Simulator
    from synthesis.store import StoreError, StorePlan, fill

    synthesizer = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=64))
    store, victim = directory / "store" / "train", directory / "victim.txt"
    fill(store, StorePlan(synthesizer, 6, shard_pairs=4), progress=False)
    victim.write_text("not ours to delete")
    path = sorted(store.glob("*.ledger.json"))[-1]
    path.write_text(json.dumps({**json.loads(path.read_text()), "file": "../../victim.txt"}))
    try:
        fill(store, StorePlan(synthesizer, 12, shard_pairs=4), progress=False)
    except StoreError as error:
        return Outcome("refused" if victim.exists() else "deleted", str(error))
    return Outcome("nothing run" if victim.exists() else "deleted", "a ledger named ../../victim.txt")


def _tar(name: str, link: str = "") -> Callable[[Path], Outcome]:
    """Return an attempt in which a tar holds a member of that name, or a link."""

    def attempt(directory: Path) -> Outcome:
        from PIL import Image

        tars = directory / "tars"
        tars.mkdir()
        picture = io.BytesIO()
        Image.linear_gradient("L").save(picture, "png")  # a blank one would be refused for that
        with tarfile.open(tars / "00000.tar", "w") as tar:
            for suffix, content in ((".png", picture.getvalue()), (".txt", b"IMPRESSION: Normal.")):
                member = tarfile.TarInfo(name + suffix)
                if link and suffix == ".txt":
                    member.type, member.linkname = tarfile.SYMTYPE, link
                    tar.addfile(member)
                else:
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        before = _outside(directory)
        ended = run(lambda: read_corpus(str(tars)), directory / "answer.txt")
        if new := _outside(directory) - before:
            return Outcome("written outside", str(new))
        if link and "root:" in ended.output:
            return Outcome("followed", ended.last)
        return Outcome("refused" if ended.code else "nothing run", ended.last)

    return attempt


def _outside(directory: Path) -> set[str]:
    return {path.name for place in (directory, directory.parent) for path in place.glob("*escaped*")}


def read_corpus(path: str) -> None:
    """Read the training pairs of a corpus of pictures and texts."""
    from datamodules import CorpusPairs

    data = CorpusPairs(path=path, image_size=64, splits={"train": 1.0}, artifacts_dir=f"{path}-artifacts")
    data.prepare_data()
    data.setup("fit")
    source = data.source("train")  # not in steps: a corpus of one pair fills none
    for index in range(len(source)):
        print(source.samples([index])[0].report)


def _pipe(directory: Path) -> Outcome:
    """Read a tar whose name a library takes for a command to run."""
    canary = directory / "canary"
    place = directory / "tars"
    place.mkdir()
    (place / "pipe:touch ..$(printf '\\057')canary #.tar").touch()

    def work() -> None:
        os.chdir(place)
        read_corpus(".")

    ended = run(work, directory / "answer.txt")
    if canary.exists():
        return Outcome("code run", ended.last)
    return Outcome("refused" if ended.code else "accepted", ended.last)


def _table_image(name: str) -> Callable[[Path], Outcome]:
    """Return an attempt in which a table names an image outside of its folder."""

    def attempt(directory: Path) -> Outcome:
        from PIL import Image

        (directory / "images").mkdir()
        outside = directory / "outside.png"
        rng = __import__("numpy").random.default_rng(0)
        for k in range(3):
            Image.fromarray(rng.integers(0, 256, (64, 64), "uint8")).save(directory / "images" / f"{k}.png")
        (directory / "images" / "0.png").rename(outside)
        if name == "link.png":
            (directory / "images" / "link.png").symlink_to("/etc/hostname")
        rows = [name.format(outside=outside), "1.png", "2.png"]
        text = "image,report\n" + "".join(f"{row},IMPRESSION: Normal.\n" for row in rows)
        (directory / "table.csv").write_text(text)
        ended = run(lambda: read_table(directory), directory / "answer.txt")
        return Outcome("refused" if ended.code else "followed", ended.last)

    return attempt


def read_table(directory: Path) -> None:
    """Read what `_table_image` and its like have written: ``table.csv`` and ``images/``."""
    from datamodules import Columns, ImageReports, Origin
    from datamodules.tables.manifests import TableFile

    data = ImageReports(
        table=TableFile(str(directory / "table.csv")),
        image_root=directory / "images",
        image_size=64,
        origin=Origin("torture", "nowhere", "none"),
        columns=Columns("image", report="report"),
        labels=None,
        splits={"train": 1.0},
        artifacts_dir=directory / "artifacts",
    )
    data.prepare_data()
    data.setup("fit")


ESCAPES: dict[str, Callable[[Path], Outcome]] = {
    "manifest, relative": _manifest("../../outside.safetensors"),
    "manifest, absolute": _manifest("{outside}"),
    "ledger": _ledger,
    "tar, relative": _tar("../../escaped"),
    "tar, absolute": _tar("/tmp/escaped-by-torture"),
    "tar, link": _tar("linked", "/etc/passwd"),
    "tar named as a command": _pipe,
    "table, relative": _table_image("../outside.png"),
    "table, absolute": _table_image("{outside}"),
    "table, link to no image": _table_image("link.png"),
    "table, address": _table_image("http://127.0.0.1:9/x.png"),
    "table, file address": _table_image("file:///etc/hostname"),
}
"""Name → the attempt."""
