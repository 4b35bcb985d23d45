"""The text tower of a CLIP-like checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional as F

from datamodules.batch import ATTENTION_MASK, INPUT_IDS, Batch
from lightning_modules.adaptation import Adaptation
from lightning_modules.attention import choose_attention
from lightning_modules.encoders import EncoderOutput, TextEncoder
from lightning_modules.pretrained import require_tokenizer_of, tokenizer_of
from lightning_modules.pretrained_pair import load_side
from synthesis.limits import at_least
from synthesis.model_files import ModelFilesError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class CLIPTextEncoder(TextEncoder):
    """The text tower of CLIP (Radford et al. 2021), SigLIP (Zhai et al. 2023) or a BERT beside a ViT.

    Pooling and projection are the checkpoint's, so that features are those that `transformers` gives. SigLIP
    reads texts padded to its full length, padding included, as it was trained; the data's are padded here.
    The data take the checkpoint's tokenizer: ``data.init_args.tokenizer.path``.

    Args:
        pretrained: Directory or ``hub:owner/name`` of a `CLIPModel`, `SiglipModel` or
            `VisionTextDualEncoderModel`, with its tokenizer.
        max_length: Most tokens of a text, at most what the checkpoint has positions for (CLIP 77, SigLIP 64);
            the data ask for a multiple of 8.
        width: Width of the checkpoint's tokens (an error says what it is); objectives take it from here.
        projection_dim: Dimension of the checkpoint's shared space, likewise.
        adaptation: Which weights are trained; None trains all.

    Raises:
        ValueError: If the directory does not fit.
    """

    def __init__(
        self,
        pretrained: str,
        max_length: int = 64,
        width: int = 512,
        projection_dim: int = 512,
        adaptation: Adaptation | None = None,
    ) -> None:
        at_least(self, 1, max_length=max_length, width=width, projection_dim=projection_dim)
        text, projection = load_side(pretrained, "text", width, projection_dim)
        # What SigLIP's tower pools has been projected already.
        super().__init__(projection_dim if isinstance(projection, nn.Identity) else width, projection_dim)
        self.positions = text.config.max_position_embeddings
        if max_length > self.positions:
            raise ValueError(
                f"CLIPTextEncoder: max_length is {max_length}, {pretrained!r} has {self.positions} "
                f"positions: set it to {self.positions // 8 * 8} or less"
            )
        own = tokenizer_of(pretrained)
        if own is None or own.pad_token_id is None:
            raise ModelFilesError(
                f"pretrained={pretrained!r} holds no tokenizer with a padding token; save the tokenizer there"
            )
        self.padding: int = own.pad_token_id
        self.max_length, self.pretrained = max_length, pretrained
        self.text, self.projection = text, projection
        if adaptation is not None:
            adaptation.apply(text, pretrained)

    def forward(self, batch: Batch) -> EncoderOutput:
        """Encode the reports.

        Raises:
            ValueError: If they are longer than `max_length`.
        """
        ids, mask = batch[INPUT_IDS], batch[ATTENTION_MASK]
        count = ids.shape[1]
        if count > self.max_length:
            raise ValueError(
                f"CLIPTextEncoder: texts have {count} tokens, the encoder takes {self.max_length}: "
                "raise its max_length or lower the data's"
            )
        choose_attention(self.text, ids.device)
        if self.text.config.model_type == "siglip_text_model":
            found = self.text(input_ids=F.pad(ids, (0, self.positions - count), value=self.padding))
        else:
            found = self.text(input_ids=ids, attention_mask=mask)
        return self.output(found.pooler_output, found.last_hidden_state[:, :count], mask.bool())

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """See `TextEncoder.check_tokenizer`: it is the checkpoint's."""
        require_tokenizer_of(self.pretrained, tokenizer, type(self).__name__)
