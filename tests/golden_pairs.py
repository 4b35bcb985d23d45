"""What each part of the synthesis makes, written down: `python -m tests.golden_pairs` after a raised version.

Stored pairs are valid as long as name, version and settings of every part are (`synthesis.identity`). So a
part whose results change has to raise its version. `tests/golden_pairs.json` holds the identity of each part
and what it makes; `test_golden_pairs.py` compares.

Cases, reports, plans and decisions are compared to the last character. Pictures are not: AVX2 and AVX-512
gave the same bytes, but without vector instructions one pixel of 400,000 was one grey level off, and other
math libraries may round otherwise. Of pictures, masks and vectors a digest is kept, mean and spread over an
8 × 8 grid, and compared within a tolerance that such pixels stay far below and visible changes exceed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch
import yaml
from torch import Tensor
from torch.nn import functional as F

from synthesis import filters
from synthesis.cases import (
    BalancedCaseSampler,
    Case,
    CaseSampler,
    CoFindingCaseSampler,
    FreeCaseSampler,
    LongTailedCaseSampler,
    UniformCaseSampler,
)
from synthesis.corruption import KINDS, ClinicSynthesizer
from synthesis.counterparts import TwinKind
from synthesis.filters.standard import STANDARD
from synthesis.identity import Describable, identity
from synthesis.images.simulator import Simulator
from synthesis.images.simulator.findings import AirspaceHaze, Consequence, PleuralFluid, VolumeLoss
from synthesis.organs import OrganSynthesizer
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.priors import PriorSynthesizer
from synthesis.question_twins import QuestionTwinSynthesizer
from synthesis.renderings import RenderingSynthesizer
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.language_model import LanguageModelWriter
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.report import Report
from synthesis.store.manifest import differences
from synthesis.twins import TwinSynthesizer
from tests.small_corpus import NotTooBright, Shades
from tests.synthesis.reports.conftest import Parrot

FILE = Path(__file__).with_name("golden_pairs.json")
COMMAND = "python -m tests.golden_pairs"
PIXELS, MASKS, VECTORS = 0.3, 8.0, 0.01  # tolerances: grey levels of 255, 2 pixels of a cell at 64 px, of 1


@dataclass(frozen=True)
class Golden:
    """One part, and what it makes.

    Attributes:
        part: The part.
        make: Makes the results, JSON-able; a ``tolerance`` beside ``values`` is by how much they may differ.
        inputs: Names of the goldens whose results it is given. Where these changed, nothing is said of it.
        given: What else it is given, beside its identity: JSON-able.
    """

    part: Describable
    make: Callable[[], Mapping[str, Any]]
    inputs: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)


def goldens() -> dict[str, Golden]:
    """Return everything that is written down, by name; inputs before what they are given to."""
    samplers: list[CaseSampler] = [BalancedCaseSampler(), UniformCaseSampler(), LongTailedCaseSampler()]
    samplers += [CoFindingCaseSampler(), FreeCaseSampler()]
    found = {type(s).__name__: Golden(s, lambda s=s: {"cases": _sha256(_cases(s, 400))}) for s in samplers}
    sampler, writer = "UniformCaseSampler", "GrammarWriter"
    found[writer] = Golden(GrammarWriter(), lambda: {"reports": _sha256(_reports())}, (sampler,))
    texts = {"texts_sha256": _sha256(_texts())}
    found["EntityExtractor"] = Golden(EntityExtractor(), _mentions, (writer,), texts)
    model = LanguageModelWriter(Parrot(), attempts=2, fallback=GrammarWriter())  # type: ignore[arg-type]
    found["LanguageModelWriter"] = Golden(
        model,
        lambda: {"reports": _sha256(map(asdict, model.write(_some_cases()[:40], range(40))))},
        (sampler,),
    )
    for size in (64, 128):
        found[f"Simulator {size}"] = Golden(
            Simulator(image_size=size), lambda size=size: _simulated(size), (sampler,)
        )
    for consequence in (VolumeLoss(), PleuralFluid(), AirspaceHaze()):
        found[type(consequence).__name__] = Golden(
            consequence, lambda c=consequence: _redrawn(c), ("Simulator 64",)
        )
    found["PairSynthesizer"] = _synthesizer((sampler, writer))
    found["ClinicSynthesizer"] = _clinic((sampler, writer, "PairSynthesizer"))
    for kind in get_args(TwinKind):
        found[f"TwinSynthesizer {kind}"] = _companions(lambda of, kind=kind: TwinSynthesizer(of, kind))
    found["QuestionTwinSynthesizer"] = _companions(QuestionTwinSynthesizer)
    found["PriorSynthesizer"] = _companions(PriorSynthesizer)
    found["RenderingSynthesizer"] = _companions(RenderingSynthesizer)
    found["OrganSynthesizer"] = _companions(OrganSynthesizer)
    found["Thumbnails"] = Golden(filters.Thumbnails(), _thumbnail)
    pairs = (sampler, writer, "Simulator 64", "ClinicSynthesizer", "EntityExtractor", "Thumbnails")
    for kind in (*STANDARD, filters.StandardFilters):
        found[kind.__name__] = _filter(kind(), pairs)
    found["ImageReportAgreement"] = _filter(filters.ImageReportAgreement(_Lengths(), threshold=0.5), pairs)
    for one in (filters.NearDuplicateImages(), filters.NearDuplicateReports()):
        found[type(one).__name__] = _corpus_filter(one, pairs)
    for folder_filter in (filters.BadExamples, filters.MemorisedImages):
        found[folder_filter.__name__] = _folder_filter(folder_filter, pairs)
    return found


def made(golden: Golden) -> dict[str, Any]:
    """Return what is written down of a part."""
    entry = {"identity": {**identity(golden.part), **golden.given}, "results": golden.make()}
    content: dict[str, Any] = json.loads(json.dumps(entry))
    return content


def changed(name: str, stored: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str | None:
    """Say in what a part differs from what is written down of it, and what to do; None if in nothing."""
    if stored is None:
        return f"{name}: not written down yet. Run `{COMMAND}`."
    if text := differences(stored["identity"], now["identity"]):
        return f"{name}: its identity has changed:\n{text}\nRun `{COMMAND}` to write down what it makes now."
    wrong = [key for key in now["results"] if not _equal(stored["results"].get(key), now["results"][key])]
    if wrong or stored["results"].keys() != now["results"].keys():
        part = now["identity"]["name"].rpartition(".")[2]
        return (
            f"{name}: {', '.join(wrong)}: other results than those written down, but the same version "
            f"({now['identity']['version']}). Stored pairs would be taken for what is made now. If you mean "
            f"the change, raise `{part}.version` and run `{COMMAND}`; if not, undo it."
        )
    return None


def compare(stored: Mapping[str, Any], found: Mapping[str, Golden]) -> tuple[dict[str, Any], dict[str, str]]:
    """Make everything, and compare it with what is written down.

    Returns:
        What is made, and by name what has changed; a part that was given something else is left out of that.
    """
    now: dict[str, Any] = {}
    messages: dict[str, str] = {}
    moved: set[str] = set()
    for name, golden in found.items():
        now[name] = made(golden)
        message = changed(name, stored.get(name), now[name])
        if message is not None:
            moved.add(name)
        if moved.intersection(golden.inputs):
            moved.add(name)
        elif message is not None:
            messages[name] = message
    return now, messages


def read() -> dict[str, Any]:
    """Return what is written down."""
    content: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return content


def main() -> None:
    """Write down what is made, unless something has changed without a new version."""
    torch.set_num_threads(1)
    now, messages = compare(read(), goldens())
    if refused := [text for text in messages.values() if "but the same version" in text]:
        sys.exit("\n".join(refused))
    FILE.write_text(_written(now))
    print(*(messages.values() or ["nothing has changed"]), sep="\n")


def _written(content: Mapping[str, Any]) -> str:
    """Return JSON with a line for each identity and each result: what changes is to be seen in a diff."""
    parts = []
    for name, entry in content.items():
        lines = [f'  "identity": {json.dumps(entry["identity"])}']
        results = [f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in entry["results"].items()]
        lines.append('  "results": {\n' + ",\n".join(results) + "\n  }")
        parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


class _Lengths:
    """Embeds an image by its brightness and a text by its length, each into 4 numbers."""

    version = 1

    def embed_images(self, images: Tensor) -> Tensor:
        return F.normalize(F.adaptive_avg_pool2d(images, 2).flatten(1), dim=1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        rows = [[len(text) % 97, len(text) % 31, text.count(" "), 20] for text in texts]
        return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)

    def describe(self) -> dict[str, Any]:
        return {}


def _synthesizer(inputs: tuple[str, ...]) -> Golden:
    synthesizer = PairSynthesizer(
        UniformCaseSampler(), GrammarWriter(), Shades(), [NotTooBright()], attempts=3
    )

    def make() -> dict[str, Any]:
        pairs, refused = synthesizer.offer(range(80), 4, "golden")
        shades = [int(pair.image[0, 0, 0]) for pair in pairs]
        told = [(p.index, asdict(p.case), asdict(p.report), p.attempt, len(p.rejections)) for p in pairs]
        return {"pairs": _sha256(told), "refused": refused, "shades": _sha256(shades)}

    return Golden(synthesizer, make, inputs)


def _clinic(inputs: tuple[str, ...]) -> Golden:
    clinic = ClinicSynthesizer(
        UniformCaseSampler(), GrammarWriter(), Shades(), mispaired=0.3, corrupted=0.4, splits=("golden",)
    )

    def make() -> dict[str, Any]:
        plan = [asdict(clinic.damage(i, 4, "golden", attempt)) for i in range(100) for attempt in (0, 1)]
        pairs = clinic.make(range(40), 4, "golden")
        results = {"damages": _sha256(plan), "reports": _sha256([asdict(pair.report) for pair in pairs])}
        masks = torch.zeros(1, 64, 64, dtype=torch.bool)
        masks[0, 10:30, 20:50] = True
        for kind, spoil in KINDS.items():
            image, moved = spoil(_shapes(), masks, np.random.default_rng(5))
            assert moved is not None
            results |= {kind: _tolerated(image, PIXELS), f"masks of {kind}": _tolerated(moved * 255, MASKS)}
        return results

    return Golden(clinic, make, inputs)


def _companions(maker_of: Callable[[PairSynthesizer], Any]) -> Golden:
    """Of what is made beside pairs: twins, priors, organs."""
    maker = maker_of(PairSynthesizer(UniformCaseSampler(), GrammarWriter(), Simulator(image_size=64)))

    def make() -> dict[str, Any]:
        pairs = maker.make(range(12), 4, "golden")
        told = [(asdict(pair.case), asdict(pair.report), pair.notes) for pair in pairs]
        pictures = _tolerated(torch.cat([p.image for p in pairs]), PIXELS)
        masks = pairs[0].masks
        drawn = {} if masks is None else {"masks": _tolerated(masks * 255, MASKS)}
        return {"pairs": _sha256(told), "pictures": pictures, **drawn}

    inputs = ("UniformCaseSampler", "GrammarWriter", "Simulator 64", "PairSynthesizer")
    return Golden(maker, make, inputs)


def _filter(part: Any, inputs: tuple[str, ...]) -> Golden:
    return Golden(part, lambda: {"kinds": _kinds(part.reject(_spoilt()))}, inputs)


def _corpus_filter(part: Any, inputs: tuple[str, ...]) -> Golden:
    def make() -> dict[str, Any]:
        pairs = _clean()
        copies = [replace(pair, image=pair.image.float().mul(0.9).byte()) for pair in pairs[::2]]
        return {"kinds": _kinds(part.reject(part.sign([*pairs, *copies])))}

    return Golden(part, make, inputs)


def _folder_filter(kind: Any, inputs: tuple[str, ...]) -> Golden:
    """Of a folder with one picture that is made by a formula, which is looked up among the same ones."""
    from PIL import Image

    folder = TemporaryDirectory()
    Image.fromarray(_shapes()[0].numpy()).save(
        Path(folder.name) / "shapes.bmp"
    )  # BMP: the bytes are the pixels
    part = kind(folder.name)

    def make() -> dict[str, Any]:
        with folder:
            alike = [replace(_clean()[0], image=_shapes()), replace(_clean()[0], image=255 - _shapes())]
            return {"kinds": _kinds(part.reject([*alike, *_clean()]))}

    return Golden(part, make, inputs)


@cache
def _some_cases() -> list[Case]:
    sampler = UniformCaseSampler()
    return [sampler.sample(4, "golden", i) for i in range(400)]


@cache
def _some_reports() -> list[Report]:
    return GrammarWriter().write(_some_cases(), range(400))


def _cases(sampler: CaseSampler, count: int) -> Iterator[dict[str, Any]]:
    return (asdict(sampler.sample(seed, "golden", i)) for seed in (0, 7) for i in range(count // 2))


def _reports() -> Iterator[dict[str, Any]]:
    return map(asdict, _some_reports())


def _mentions() -> dict[str, Any]:
    reader, texts = EntityExtractor(), [*(report.text for report in _some_reports()), *_texts()]
    return {"mentions": _sha256([asdict(mention) for text in texts for mention in reader.extract(text)])}


def _texts() -> list[str]:
    """Return the sentences as people write them that the tests of the extraction read."""
    folder = Path(__file__).parent / "synthesis" / "reports" / "reading"
    read = [yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("kinds", "sentences")]
    return [item["text"] for kinds in read for items in kinds.values() for item in items]


def _thumbnail() -> dict[str, Any]:
    vectors = filters.Thumbnails().embed_images(_shapes()[None].float() / 255)
    return {"vectors": _tolerated(vectors[:, :200], VECTORS)}


def _simulated(size: int) -> dict[str, Any]:
    cases = _some_cases()[: 24 if size == 64 else 8]
    drawn = Simulator(image_size=size).make(cases, None, range(len(cases)))
    assert drawn.masks is not None
    masks = torch.cat([mask.float() for mask in drawn.masks])
    return {
        "cases": _sha256(map(asdict, drawn.cases)),
        "pictures": _tolerated(drawn.images[:, 0] * 255, PIXELS),
        "masks": _tolerated(masks * 255, MASKS * (64 / size) ** 2),
    }


def _redrawn(consequence: Consequence) -> dict[str, Any]:
    """Draw the findings that a consequence changes, alone."""
    simulator = Simulator(image_size=64, consequences=[consequence])
    findings = [f for case in _some_cases() for f in case.findings if f.concept in consequence.concepts]
    cases = [Case((f,), (), "AP" if k % 3 == 0 else "PA") for k, f in enumerate(findings[:18])]
    pictures = simulator.make(cases, None, range(len(cases))).images
    return {"pictures": _tolerated(pictures[:, 0] * 255, PIXELS)}


@cache
def _clean() -> list[Pair]:
    maker = PairSynthesizer(UniformCaseSampler(), GrammarWriter(), Simulator(image_size=64))
    return maker.make(range(8), 4, "golden filters")


@cache
def _spoilt() -> list[Pair]:
    """Clean pairs; images spoilt in every way; reports exchanged, cut, emptied, and with a placeholder."""
    pairs = list(_clean())
    for kind, spoil in KINDS.items():
        rng = np.random.default_rng(sum(kind.encode()))
        pairs += [replace(pair, image=spoil(pair.image, None, rng)[0]) for pair in _clean()[:3]]
    first, second, *_ = _clean()
    texts = [second.report, Report(first.report.findings[:-4], ""), Report("", ""), Report("Clear.", "")]
    texts.append(Report(f"{first.report.findings} [insert side]", first.report.impression))
    return pairs + [replace(first, report=report) for report in texts]


def _shapes() -> Tensor:
    """A picture by a formula: a ramp, a bright square, stripes; uint8 ``(1, 64, 64)``."""
    x, y = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="xy")
    picture = (
        40 + 2 * x + y + 40 * ((x - 40).abs().maximum((y - 20).abs()) < 9) + 15 * (y % 7 == 0) * (x < 30)
    )
    return picture.clamp(0, 255).byte()[None]


def _kinds(rejections: Sequence[Any]) -> list[str | None]:
    return [None if why is None else why.kind for why in rejections]


def _tolerated(pictures: Tensor, tolerance: float) -> dict[str, Any]:
    """Return the digest of pictures ``(batch, height, width)``, or of vectors as they are."""
    values = pictures.float()
    if values.dim() == 3:
        mean = F.adaptive_avg_pool2d(values, 8)
        spread = (F.adaptive_avg_pool2d(values.square(), 8) - mean.square()).clamp_min(0).sqrt()
        values = torch.stack([mean, spread], 1).flatten(1)
    digits = 2 if tolerance < 0.1 else 1
    return {"tolerance": tolerance, "values": [[round(v, digits) for v in row] for row in values.tolist()]}


def _equal(stored: Any, now: Any) -> bool:
    if not isinstance(now, Mapping) or not isinstance(stored, Mapping):
        return bool(stored == now)
    one, other = np.array(stored["values"], float), np.array(now["values"], float)
    return one.shape == other.shape and bool((np.abs(one - other) <= now["tolerance"]).all())


def _sha256(content: Any) -> str:
    listed = content if isinstance(content, list) else list(content)
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    from tests import golden_pairs  # under its own name, by which its classes are known

    golden_pairs.main()
