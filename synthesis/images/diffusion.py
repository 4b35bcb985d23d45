"""Images by a diffusion pipeline of `diffusers`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.cases import Case
from synthesis.concepts import ConceptCatalog
from synthesis.devices import named_device, require_device
from synthesis.images.image_maker import MadeImages
from synthesis.images.model_directory import ModelDirectory
from synthesis.images.prompts import Section, prompt_rules, prompts
from synthesis.limits import above, at_least, within
from synthesis.model_files import open_pretrained
from synthesis.patch_code import PatchCode
from synthesis.prompt_length import PromptLength
from synthesis.reports.report import Report
from synthesis.seeding import generator

_INDEX = "model_index.json"


class DiffusionImageMaker:
    """Draws prompts with any text-to-image pipeline that `diffusers` opens from a directory.

    Stable Diffusion 1.x and 2.x and what is fine-tuned from them (RoentGen), latent diffusion (ours too),
    latent consistency models. Colour is averaged to grey. A safety checker is left out: it blackens
    radiographs. Prompts longer than its text encoder reads are cut after a sentence.

    All noise of an image, that of stochastic schedulers too, comes from a generator of its own on the CPU.
    Images made in other batches agree to 2e-3 in [0, 1] in float32: each step adds up in another order.

    Args:
        directory: The pipeline's directory. Nothing is fetched.
        image_size: Height and width of the images; drawn at `native_size` and resized.
        steps: Denoising steps.
        guidance_scale: Weight of classifier-free guidance; 1 is none. 2 to 3 is best where the images train a
            vision-language model (SynthCLIP, arXiv 2402.01832; StableRep, arXiv 2306.00984).
        guidance_rescale: Lin et al. 2024 (arXiv 2305.08891), for schedules that end in pure noise: 0.7 keeps
            guided images from being overexposed. 0 is none.
        negative_prompt: What to keep away from, or None.
        section: What of the report is the prompt; None takes what our export was trained with, for other
            directories the IMPRESSION.
        scheduler: Class of `diffusers` to use in place of the pipeline's: ``DPMSolverMultistepScheduler`` …
        scheduler_arguments: What differs from the configuration of the pipeline's scheduler.
        native_size: Height and width at which the pipeline draws; None takes that of its UNet.
        catalog: Concept catalogue file, for ``concepts`` and ``claims``; the shipped one by default.
        batch_size: Images a pass.
        device: Where to draw: a GPU only where the cache is filled by one process (``num_workers: 0``).
        dtype: Precision of the weights; half precision only on a GPU.

    Raises:
        FileNotFoundError: If the directory holds no pipeline.
        ValueError: If steps or guidance make no sense, or guidance is asked of a model that never dropped its
            prompt.
    """

    version: int = 2  # of the results, see synthesis.identity

    def __init__(
        self,
        directory: str | Path,
        image_size: int = 128,
        steps: int = 25,
        guidance_scale: float = 2.0,
        guidance_rescale: float = 0.0,
        negative_prompt: str | None = None,
        section: Section | None = None,
        scheduler: str | None = None,
        scheduler_arguments: dict[str, Any] | None = None,
        native_size: int | None = None,
        catalog: str | Path | None = None,
        batch_size: int = 8,
        device: str = "cpu",
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    ) -> None:
        at_least(self, 1, image_size=image_size, steps=steps, batch_size=batch_size)
        within(self, 0, 1, guidance_rescale=guidance_rescale)
        if native_size is not None:
            at_least(self, 1, native_size=native_size)
        above(self, 0, guidance_scale=guidance_scale)
        self.directory = ModelDirectory(directory, _INDEX)
        if guidance_scale > 1 and self.directory.settings.get("prompt_dropout") == 0:
            raise ValueError(
                f"DiffusionImageMaker: guidance_scale={guidance_scale}, but {self.directory.path} was "
                "trained with prompt_dropout 0 and does not know the empty prompt: set guidance_scale to 1, "
                "or train with prompt_dropout 0.1"
            )
        if guidance_scale <= 1 and negative_prompt is not None:
            raise ValueError(
                f"DiffusionImageMaker: negative_prompt={negative_prompt!r} acts through guidance, and "
                f"guidance_scale={guidance_scale} is none: give more than 1, or leave the negative prompt out"
            )
        code = self.directory.settings.get("code")
        self.code = PatchCode(**code) if code else None
        self.image_size, self.native_size, self.batch_size = image_size, native_size, batch_size
        self.steps, self.guidance_scale, self.guidance_rescale = steps, guidance_scale, guidance_rescale
        self.negative_prompt = negative_prompt
        self.section: Section = section or self.directory.settings.get("section", "impression")
        self.scheduler, self.scheduler_arguments = scheduler, dict(scheduler_arguments or {})
        self.catalog = ConceptCatalog(catalog)
        self.device, self.dtype = device, dtype
        self.prompt_length = PromptLength()
        self._pipeline: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the pipeline out when a worker process gets a copy: it loads its own."""
        return self.__dict__ | {"_pipeline": None}

    def describe(self) -> dict[str, Any]:
        """Return what the images depend on, for fingerprints."""
        asked = ["image_size", "native_size", "steps", "guidance_scale", "guidance_rescale"]
        asked += ["negative_prompt", "section", "scheduler", "scheduler_arguments", "dtype"]
        return {
            "sha256": self.directory.sha256,
            "catalog": prompt_rules(self.section, self.catalog),
            **{name: getattr(self, name) for name in asked},
        }

    def make(
        self, cases: Sequence[Case], reports: Sequence[Report] | None, seeds: Sequence[int]
    ) -> MadeImages:
        """Draw one image a case: see `ImageMaker.make`. Masks are not known."""
        texts = prompts(self.section, cases, reports, self.catalog)
        images = [torch.empty(0, 1, self.image_size, self.image_size)]
        for start in range(0, len(texts), self.batch_size):
            part = slice(start, start + self.batch_size)
            images.append(self._draw(texts[part], seeds[part]))
        return MadeImages(torch.cat(images), None, tuple(cases))

    def _draw(self, texts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        pipeline = self.pipeline
        noise = [torch.Generator().manual_seed(int(generator(s, "diffusion").integers(2**63))) for s in seeds]
        drawn = pipeline(
            prompt=self._read(texts),
            num_inference_steps=self.steps,
            guidance_scale=self.guidance_scale,
            generator=noise,
            output_type="latent" if self.code else "np",
            **self._options(len(texts)),
        ).images
        if self.code is not None:
            images = self.code.decode(drawn.float()).cpu()
        else:
            images = torch.from_numpy(drawn).float().mean(-1)[:, None]
        if images.shape[-1] != self.image_size:
            size = (self.image_size, self.image_size)
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        return images.clamp(0, 1)

    def _read(self, texts: Sequence[str]) -> list[str]:
        tokenizer = getattr(self.pipeline, "tokenizer", None)
        if tokenizer is None:  # of a pipeline that reads in another way
            return list(texts)
        return self.prompt_length(texts, tokenizer, tokenizer.model_max_length)

    def _options(self, count: int) -> Mapping[str, Any]:
        """Return arguments that not every pipeline takes: only those that were asked for."""
        options: dict[str, Any] = {}
        if self.native_size is not None:
            size = self.native_size
            if self.code is not None:  # the pipeline counts in its latents
                size = self.code.side(size) * self.pipeline.vae_scale_factor
            options |= {"height": size, "width": size}
        if self.guidance_rescale:
            options["guidance_rescale"] = self.guidance_rescale
        if self.negative_prompt is not None:
            options["negative_prompt"] = [self.negative_prompt] * count
        taken = inspect.signature(self.pipeline.__call__).parameters
        unknown = [name for name in options if name not in taken]
        if unknown:
            raise ValueError(
                f"{unknown[0]}: the {type(self.pipeline).__name__} of {self.directory.path} has no such "
                "argument; leave it at its default"
            )
        return options

    @property
    def pipeline(self) -> Any:
        """The pipeline, loaded at first use.

        Raises:
            ValueError: If the scheduler asked for is none of `diffusers`.
        """
        if self._pipeline is None:
            import diffusers

            parts = json.loads((self.directory.path / _INDEX).read_text("utf-8"))
            without = {"safety_checker": None} if parts.get("safety_checker", [None])[0] else {}
            without |= {"vae": None} if self.code else {}
            pipeline = open_pretrained(
                diffusers.DiffusionPipeline,
                self.directory.path,
                dtype=getattr(torch, self.dtype),
                **without,
            )
            kind: Any = type(pipeline.scheduler)
            if self.scheduler is not None and (kind := getattr(diffusers, self.scheduler, None)) is None:
                raise ValueError(
                    f"scheduler={self.scheduler!r}: diffusers has no such class; give DDIMScheduler, say"
                )
            pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **self.scheduler_arguments)
            pipeline.set_progress_bar_config(disable=True)
            require_device(self, named_device(self, self.device))
            self._pipeline = pipeline.to(self.device)
        return self._pipeline
