"""CheXbert, the labeller by which generated reports are usually compared, from weights of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from synthesis.model_files import ModelFilesError, model_directory, open_pretrained

CONDITIONS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
    "No Finding",
)
"""The published order of the heads."""

FIVE = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
"""Those of CheXpert's competition, which figures over five conditions are of."""

BLANK, POSITIVE, NEGATIVE, UNCERTAIN = range(4)
"""The published classes of a head; the last head, No Finding, has the first two."""

_WEIGHTS = ("model.safetensors", "chexbert.pth")


class CheXbertLabeler(nn.Module):
    """BERT with fourteen heads on its first token, as published: Smit et al. 2020, EMNLP (arXiv:2004.09167).

    The weights are not shipped (they come from the authors, under their terms), and nothing is fetched.

    Args:
        directory: Holds ``config.json`` and the tokenizer of the BERT they were trained from
            (bert-base-uncased), and ``chexbert.pth`` as published, or the same tensors as
            ``model.safetensors``.

    Raises:
        ModelFilesError: If the directory lacks something, or the tensors are not CheXbert's.
    """

    def __init__(self, directory: str | Path) -> None:
        from transformers import AutoConfig, AutoTokenizer, BertModel

        super().__init__()
        where = model_directory(directory, ("config", "tokenizer"), "chexbert")
        self.tokenizer = open_pretrained(AutoTokenizer, where)
        config = open_pretrained(AutoConfig, where)
        self.bert = BertModel(config)
        sizes = [4] * (len(CONDITIONS) - 1) + [2]
        self.linear_heads = nn.ModuleList(nn.Linear(config.hidden_size, size) for size in sizes)
        state = _published(where)
        own = self.state_dict()
        if wrong := sorted(
            name for name in own.keys() | state.keys() if name not in own or name not in state
        ):
            raise ModelFilesError(
                f"chexbert={str(directory)!r}: {len(wrong)} tensors are not those of CheXbert, the first "
                f"{wrong[0]!r}; give the published weights, and config.json of bert-base-uncased"
            )
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            raise ModelFilesError(
                f"chexbert={str(directory)!r}: the weights have other sizes than its config.json says "
                f"({str(error).splitlines()[-1].strip()}); give the config.json they were trained with"
            ) from error
        self.eval()

    @torch.no_grad()
    def classes(self, texts: Sequence[str], batch_size: int = 32) -> npt.NDArray[np.int64]:
        """Return the class of each condition in each text, ``(text, 14)`` in the order of `CONDITIONS`.

        Texts are read as published: white space made single, cut after 512 word pieces.
        """
        found = [np.empty((0, len(CONDITIONS)), np.int64)]
        device = self.bert.device
        for start in range(0, len(texts), batch_size):
            chunk = [" ".join(text.split()) for text in texts[start : start + batch_size]]
            tokens = self.tokenizer(chunk, padding=True, truncation=True, max_length=512, return_tensors="pt")
            hidden = self.bert(
                input_ids=tokens["input_ids"].to(device), attention_mask=tokens["attention_mask"].to(device)
            ).last_hidden_state[:, 0]
            heads = [head(hidden).argmax(1) for head in self.linear_heads]
            found.append(torch.stack(heads, dim=1).cpu().numpy())
        return np.concatenate(found)

    def asserted(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which conditions texts assert, ``(text, 14)``: positive or uncertain.

        That is how F1 is usually taken (mode "rrg" of the package f1chexbert).
        """
        return np.isin(self.classes(texts), (POSITIVE, UNCERTAIN))


def _published(directory: Path) -> Mapping[str, Tensor]:
    """Return the weights of a directory under the names of `CheXbertLabeler`; nothing in them is executed."""
    path = next((directory / name for name in _WEIGHTS if (directory / name).is_file()), None)
    if path is None:
        raise ModelFilesError(
            f"chexbert={str(directory)!r} holds none of {', '.join(_WEIGHTS)}; put the published weights "
            "there"
        )
    state: Any
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(path)
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # of pickle, of zip: each has its own
            raise ModelFilesError(
                f"{path} holds more than weights, or is broken ({str(error).splitlines()[0]}), and is not "
                "opened; fetch it again"
            ) from error
        state = state.get("model_state_dict", state)
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    plain.pop("bert.embeddings.position_ids", None)  # a buffer of older versions of transformers
    return plain
