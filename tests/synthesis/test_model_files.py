"""The gate for models by name: what is opened, what is refused, and that nothing is ever run or fetched."""

from __future__ import annotations

import ast
import builtins
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from synthesis.checksums import CHECKSUMS, write_checksums
from synthesis.configuration import ROOT
from synthesis.model_files import ModelFilesError, model_directory, open_pretrained

OPENERS = {"from_pretrained", "from_single_file", "snapshot_download", "hf_hub_download"}
NEEDS = ("config", "weights", "tokenizer")
CODE = "import os\nopen(os.environ['RAN'], 'w').close()\n"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as `save_pretrained` writes it: weights, configuration and tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    directory = tmp_path_factory.mktemp("models") / "bert-tiny"
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=12, max_position_embeddings=8, **sizes)).save_pretrained(directory)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "mass"]
    BertTokenizerFast(vocab={piece: i for i, piece in enumerate(pieces)}).save_pretrained(directory)
    return directory


@pytest.fixture
def copied(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "bert-tiny"))


def test_a_whole_directory_is_opened(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModel, AutoTokenizer

    monkeypatch.chdir(bert.parent)
    directory = model_directory("bert-tiny", NEEDS)
    assert open_pretrained(AutoModel, directory).config.hidden_size == 8
    assert open_pretrained(AutoTokenizer, directory)("mass")["input_ids"] == [2, 5, 3]


def remove(*names: str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        for name in names:
            for path in directory.glob(name):
                path.unlink()

    return change


def poison(directory: Path) -> None:
    state = load_file(directory / "model.safetensors")
    state["encoder.layer.0.output.dense.weight"][1, 2] = torch.nan
    save_file(state, directory / "model.safetensors", {"format": "pt"})


def only_a_pickle(directory: Path) -> None:
    remove("*.safetensors")(directory)

    class Bomb:
        def __reduce__(self) -> Any:
            return exec, (CODE,)

    (directory / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Bomb()}))


def auto_map(name: str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        path = directory / name
        settings = json.loads(path.read_text()) if path.is_file() else {}
        code = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model", "AutoTokenizer": ["evil.T", None]}
        path.write_text(json.dumps({**settings, "model_type": "evil", "auto_map": code}))

    return change


def write(name: str, content: str | bytes) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def cut(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "no configuration": (remove("config.json"), r"holds no config\.json, but holds model\.safetensors"),
    "no tokenizer": (remove("tokenizer.json", "vocab.txt"), "holds no tokenizer .*would make one up"),
    "no weights": (remove("*.safetensors"), r"holds no weights as \*\.safetensors"),
    "an empty tokenizer": (write("tokenizer.json", b""), "holds no tokenizer"),
    "NaN": (poison, r"NaN in 'encoder\.layer\.0\.output\.dense\.weight'"),
    "half a file": (cut, r"model\.safetensors cannot be read"),
    "no JSON": (write("config.json", '{"model_type": '), r"config\.json is no JSON"),
    "a pickle that runs code": (
        only_a_pickle,
        r"pytorch_model\.bin is a pickle that holds more than weights",
    ),
    "code for the model": (auto_map("config.json"), r"config\.json asks for code .*evil\.Config.*never run"),
    "code for the tokenizer": (auto_map("tokenizer_config.json"), r"tokenizer_config\.json asks for code"),
    "code for the processor": (auto_map("processor_config.json"), r"processor_config\.json asks for code"),
    "a file of code": (write("evil.py", CODE), r"holds code \(evil\.py\), which is never run"),
    "a folder of code": (
        write("custom_generate/generate.py", CODE),
        r"holds code \(custom_generate/generate",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_directory_that_lacks_something_or_holds_code_is_refused(
    case: str, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    change, message = REFUSED[case]
    change(copied)
    with pytest.raises(ModelFilesError, match=f"weights='.*bert-tiny'.*{message}"):
        model_directory(copied, NEEDS, argument="weights")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_of_weights_alone_is_opened(copied: Path) -> None:
    from transformers import AutoModel

    state = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    torch.save(state, copied / "pytorch_model.bin")
    weight = open_pretrained(AutoModel, model_directory(copied)).embeddings.word_embeddings.weight
    assert torch.equal(weight.data, state["embeddings.word_embeddings.weight"])
    state["pooler.dense.bias"][0] = torch.nan
    torch.save(state, copied / "pytorch_model.bin")
    with pytest.raises(ModelFilesError, match=r"NaN in 'pooler\.dense\.bias'"):
        model_directory(copied)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bert-tinny", r"no such directory; .*models\d* holds bert-tiny\."),
        ("nowhere/bert", r"no such directory; .*holds bert-tiny\. Correct the path, or hub:nowhere/bert"),
        ("./nothing/here/at/all", r"no such directory; .*holds bert-tiny\. Correct the path$"),
        ("emilyalsentzer/Bio_ClinicalBERT", "or hub:emilyalsentzer/Bio_ClinicalBERT for the model"),
        ("https://example.org/model", "is a URL, from which nothing is loaded"),
        ("bert-tiny/config.json", "is a file; give the directory"),
        ("hub:bert", "give hub:owner/name"),
        ("hub:../../etc", "give hub:owner/name"),
        ("hub:owner/name", r"cannot be fetched .*; download it where there is a network"),
    ],
)
def test_names_of_nothing_are_refused_without_the_network(
    name: str, message: str, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.chdir(bert.parent)
    if not name.startswith("hub:owner"):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail("asked for an address"))
    with pytest.raises(ModelFilesError, match=message):
        model_directory(name)


@pytest.mark.parametrize("place", ["config.json", "model.safetensors", "tokenizer.json"])
def test_any_changed_byte_of_what_we_wrote_is_noticed(place: str, copied: Path) -> None:
    write_checksums(copied)
    assert model_directory(copied, NEEDS) == copied
    content = bytearray((copied / place).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / place).write_bytes(content)
    with pytest.raises(ModelFilesError, match=f"{place} is damaged: its SHA-256 is .*{CHECKSUMS}"):
        model_directory(copied, NEEDS)
    (copied / place).unlink()
    with pytest.raises(ModelFilesError):
        model_directory(copied, NEEDS)


def test_yes_at_the_terminal_runs_nothing(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where transformers would ask whether to run a directory's code, it is not asked."""
    from transformers import AutoModel

    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    monkeypatch.setattr(builtins, "input", lambda *asked: "y")
    auto_map("config.json")(copied)
    write("evil.py", CODE + "class Config: ...\nclass Model: ...\n")(copied)
    with pytest.raises(ModelFilesError, match="never run"):
        model_directory(copied)
    with pytest.raises(ValueError, match="trust_remote_code"):  # nor past the gate
        open_pretrained(AutoModel, copied)
    assert not (tmp_path / "ran").exists()


def test_every_model_is_opened_through_the_gate() -> None:
    folders = ("synthesis", "datamodules", "lightning_modules", "callbacks", "scripts", "benchmarks")
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in OPENERS)
        or (isinstance(node, ast.Name) and node.id in OPENERS)
    ]
    assert {place.partition(":")[0] for place in found} == {"synthesis/model_files.py"}, found
