"""CheXbert from a directory: the published names, order and classes, with tiny random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_modules.chexbert_labeler import CONDITIONS, FIVE, CheXbertLabeler
from synthesis.model_files import ModelFilesError

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] edema effusion no small left the lungs are clear".split()


def state_of(hidden: int = 16) -> dict[str, torch.Tensor]:
    """Tensors under the names of the published checkpoint."""
    from transformers import BertModel

    torch.manual_seed(0)
    bert = BertModel(config(hidden))
    state = {f"module.bert.{name}": 3 * torch.randn_like(value) for name, value in bert.state_dict().items()}
    for i in range(14):
        size = 2 if i == 13 else 4
        state[f"module.linear_heads.{i}.weight"] = torch.randn(size, hidden)
        state[f"module.linear_heads.{i}.bias"] = torch.zeros(size)
    return state | {"module.bert.embeddings.position_ids": torch.arange(64)[None]}


def config(hidden: int = 16) -> Any:
    from transformers import BertConfig

    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    return BertConfig(vocab_size=len(WORDS), hidden_size=hidden, max_position_embeddings=512, **sizes)


def directory(path: Path, state: Any, hidden: int = 16) -> Path:
    from transformers import BertTokenizerFast

    path.mkdir()
    config(hidden).save_pretrained(path)
    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(path)
    torch.save({"model_state_dict": state}, path / "chexbert.pth")
    return path


def test_the_heads_are_read_in_the_published_order(tmp_path: Path) -> None:
    # https://github.com/stanfordmlgroup/CheXbert, src/constants.py
    assert ",".join(CONDITIONS) == (
        "Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
        "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices,No Finding"
    )
    assert FIVE == ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
    state = state_of()
    for i in range(14):  # each head says always the same: its number modulo its classes
        state[f"module.linear_heads.{i}.weight"].zero_()
        state[f"module.linear_heads.{i}.bias"][i % (2 if i == 13 else 4)] = 1
    labeler = CheXbertLabeler(directory(tmp_path / "chexbert", state))
    classes = labeler.classes(["no edema", ""])
    assert classes.tolist() == [[*(i % 4 for i in range(13)), 1]] * 2
    # blank, positive, negative, uncertain: the second and the fourth are asserted; No Finding's second too.
    assert labeler.asserted(["edema"])[0].tolist() == [i % 2 == 1 for i in range(14)]


def test_classes_are_the_largest_logit_of_the_first_token(tmp_path: Path) -> None:
    state = state_of()
    labeler = CheXbertLabeler(directory(tmp_path / "chexbert", state))
    texts = ["small left  effusion\n", "the lungs are clear", "edema " * 700]
    found = labeler.classes(texts, batch_size=2)
    assert np.array_equal(found[:1], labeler.classes(["small left effusion"]))
    ids = labeler.tokenizer(texts[1], return_tensors="pt")["input_ids"]
    assert ids.tolist() == [[2, *(WORDS.index(word) for word in texts[1].split()), 3]]
    with torch.no_grad():
        first = labeler.bert(input_ids=ids).last_hidden_state[0, 0]
    heads = [(state[f"module.linear_heads.{i}.weight"] @ first).argmax().item() for i in range(14)]
    assert found[1].tolist() == heads
    assert len({tuple(row) for row in found}) > 1


def test_a_checkpoint_in_safetensors_is_the_same(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = state_of()
    one = directory(tmp_path / "pth", state)
    two = directory(tmp_path / "safe", {})
    (two / "chexbert.pth").unlink()
    save_file(
        {name.removeprefix("module."): value for name, value in state.items()}, two / "model.safetensors"
    )
    texts = ["edema", "no effusion", "clear"]
    assert np.array_equal(CheXbertLabeler(one).classes(texts), CheXbertLabeler(two).classes(texts))


def test_what_is_no_chexbert_is_refused(tmp_path: Path) -> None:
    lacking = {name: value for name, value in state_of().items() if "linear_heads.7" not in name}
    with pytest.raises(ModelFilesError, match=r"2 tensors are not .* 'linear_heads\.7\.bias'"):
        CheXbertLabeler(directory(tmp_path / "lacking", lacking))
    with pytest.raises(ModelFilesError, match="other sizes"):
        CheXbertLabeler(directory(tmp_path / "sizes", state_of(32)))
    empty = directory(tmp_path / "empty", {})
    (empty / "chexbert.pth").unlink()
    with pytest.raises(ModelFilesError, match=r"none of model\.safetensors, chexbert\.pth"):
        CheXbertLabeler(empty)
    with pytest.raises(ModelFilesError, match="no such directory"):
        CheXbertLabeler(tmp_path / "nowhere")


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    with pytest.raises(ModelFilesError, match="is not opened"):
        CheXbertLabeler(directory(tmp_path / "evil", {"x": Evil()}))
    assert not (tmp_path / "ran").exists()
