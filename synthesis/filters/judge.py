"""Image filter: a vision-language model is asked about the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from synthesis.configuration import shipped
from synthesis.files import file_sha256
from synthesis.model_files import check_directory, open_pretrained
from synthesis.pairs import Pair, Rejection
from synthesis.strict_yaml import Entry

DEFAULT_QUESTIONS = shipped("configs/questions/judge.yaml")


@dataclass(frozen=True)
class Question:
    """What the judge is asked.

    Attributes:
        name: By what a rejection is counted.
        ask: The question, as the model gets it after the image.
        wanted: The answer of a good image; the model has to choose between the two.
        unwanted: The answer of a bad image.
        least: Lowest probability of the wanted answer that passes, in [0, 1].
    """

    name: str
    ask: str
    wanted: str
    unwanted: str
    least: float


class VisionLanguageJudge:
    """Rejects images about which a vision-language model answers badly (SynCXR, arXiv:2410.13523).

    The model does not write: the next-token probabilities of the two answers are compared, so that nothing is
    drawn at random, nothing has to be parsed, and one pass a question is enough.

    Args:
        directory: Any image-text-to-text model of `transformers` with its processor and chat template (LLaVA,
            InternVL, SmolVLM, Qwen-VL, MedGemma …). No remote code is run.
        questions: YAML file of questions; None takes ``configs/questions/judge.yaml``.
        device: Where it runs.
        dtype: Precision of its weights, a name of torch ("float32", "bfloat16").
        batch_size: Images a pass.
        image_size: Images are scaled up to this side, in pixels, if they are smaller.

    Raises:
        YamlError: If the file of questions is malformed.
        ValueError: If the directory holds no model, or the two answers to a question begin alike.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(
        self,
        directory: str | Path,
        questions: str | Path | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        batch_size: int = 8,
        image_size: int = 224,
    ) -> None:
        self.directory = Path(directory)
        if not (self.directory / "config.json").is_file():
            raise ValueError(f"directory={str(directory)!r} holds no config.json; give one with a model.")
        self._file = DEFAULT_QUESTIONS if questions is None else Path(questions)
        self.questions = read_questions(self._file)
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size
        self.image_size = image_size

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        """Return for each pair the first question with an unwanted answer, or None."""
        reasons: list[Rejection | None] = [None] * len(pairs)
        for question in self.questions:
            open_ = [k for k, reason in enumerate(reasons) if reason is None]
            shares = self.ask(question, [pairs[k] for k in open_])
            for k, share in zip(open_, shares, strict=True):
                if share < question.least:
                    detail = f"{question.wanted!r} has {share:.2f}"
                    reasons[k] = Rejection(f"judge, {question.name}", detail)
        return reasons

    def ask(self, question: Question, pairs: Sequence[Pair]) -> list[float]:
        """Return for each image the probability of the wanted answer, of the two."""
        model, processor = self._loaded
        content = [{"type": "image"}, {"type": "text", "text": question.ask}]
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        begun = processor.tokenizer.bos_token  # a template that writes it itself must not get it twice
        special = begun is None or not prompt.startswith(begun)
        answers = [self._first_token(answer) for answer in (question.wanted, question.unwanted)]
        if answers[0] == answers[1]:
            raise ValueError(
                f"{self._file}, question {question.name}: to this model {question.wanted!r} and "
                f"{question.unwanted!r} begin alike; choose answers that differ in their first word."
            )
        shares: list[float] = []
        for start in range(0, len(pairs), self.batch_size):
            images = [[self._picture(pair)] for pair in pairs[start : start + self.batch_size]]
            inputs = processor(
                text=[prompt] * len(images),
                images=images,
                return_tensors="pt",
                padding=True,
                add_special_tokens=special,
            ).to(self.device, dtype=getattr(torch, self.dtype))
            with torch.inference_mode():
                logits = model(**inputs).logits[:, -1, answers].float()
            shares += logits.softmax(1)[:, 0].tolist()
        return shares

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        files = sorted(p for p in self.directory.iterdir() if p.suffix in (".json", ".safetensors", ".jinja"))
        return {
            "files_sha256": {path.name: file_sha256(path) for path in files},
            "questions_sha256": file_sha256(self._file),
            "dtype": self.dtype,
            "image_size": self.image_size,
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave the weights behind: another process loads its own."""
        return {key: value for key, value in self.__dict__.items() if key != "_loaded"}

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        check_directory(self.directory, ("config", "weights", "tokenizer"), argument="directory")
        processor = open_pretrained(AutoProcessor, self.directory)
        processor.tokenizer.padding_side = "left"  # the last position is that of the answer, in every row
        model = open_pretrained(
            AutoModelForImageTextToText,
            self.directory,
            use_safetensors=True,
            dtype=getattr(torch, self.dtype),
        )
        return model.eval().to(self.device), processor

    def _first_token(self, answer: str) -> int:
        return int(self._loaded[1].tokenizer.encode(answer, add_special_tokens=False)[0])

    def _picture(self, pair: Pair) -> Any:
        from PIL import Image

        image = Image.fromarray(pair.image[0].numpy()).convert("RGB")
        side = max(self.image_size, *image.size)
        return image.resize((side, side), Image.Resampling.BICUBIC) if side > image.width else image


def read_questions(path: Path) -> tuple[Question, ...]:
    """Read a file of questions.

    Raises:
        YamlError: If it is malformed.
    """
    entry, _ = Entry.read(path)
    questions = []
    for name, item in entry.named("questions", "question"):
        texts = {key: item.text(key) for key in ("ask", "wanted", "unwanted")}
        questions.append(Question(name=name, least=item.number("least", 0, 1, 0.5), **texts))
        item.close()
    entry.close()
    if not questions:
        raise entry.error("questions", {}, "asks nothing; add a question.")
    return tuple(questions)
