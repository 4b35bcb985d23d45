from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules import Augmentation, LoaderOptions, SyntheticPairs, Views
from datamodules.loading.needs import UnmetNeedError
from synthesis.cases import Case, Finding
from synthesis.images.simulator import Simulator
from synthesis.organ_names import ORGANS
from synthesis.organs import OrganSynthesizer
from synthesis.pairs import PairSynthesizer

ZONES = ("upper_zone", "mid_zone", "lower_zone")


@pytest.fixture(scope="module")
def maker() -> Simulator:
    return Simulator(image_size=64)


def named(maker: Simulator, case: Case, seed: int = 3) -> dict[str, torch.Tensor]:
    (masks,) = maker.organs([case], [seed])
    assert masks.dtype == torch.bool and masks.shape == (len(ORGANS), 64, 64)
    return dict(zip(ORGANS, masks, strict=True))


@pytest.mark.parametrize("view", ["PA", "AP"])
def test_organs_lie_where_they_are_in_a_chest(maker: Simulator, view: str) -> None:
    organs = named(maker, Case((), view=view))
    right, left, heart = organs["right_lung"], organs["left_lung"], organs["heart"]
    assert min(right.sum(), left.sum()) > 200 and heart.sum() > 80
    assert not (right & left).any() and not ((right | left) & heart).any()
    columns = torch.arange(64.0)
    middle = {name: float((mask.sum(0) * columns).sum() / mask.sum()) for name, mask in organs.items()}
    assert middle["right_lung"] < middle["heart"] < middle["left_lung"]  # as the viewer sees them
    for side, lung in (("right", right), ("left", left)):
        zones = [organs[f"{side}_{zone}"] for zone in ZONES]
        assert torch.equal(torch.stack(zones).sum(0), lung.long())  # parts of the lung, none twice
        rows = [float((zone.sum(1) * columns).sum() / zone.sum()) for zone in zones]
        assert rows == sorted(rows)
    (picture,) = maker.make([Case((), view=view)], None, [3]).images[:, 0]
    assert picture[right | left].mean() < picture[heart].mean() - 0.1  # air is dark


def test_a_large_heart_takes_from_the_lungs(maker: Simulator) -> None:
    case = Case((), view="PA")
    large = replace(case, findings=(Finding("cardiomegaly", severity="severe"),))
    usual, grown = named(maker, case), named(maker, large)
    assert grown["heart"].sum() > 1.2 * usual["heart"].sum()
    assert grown["left_lung"].sum() < usual["left_lung"].sum()
    effusion = replace(case, findings=(Finding("pleural_effusion", laterality="left", severity="large"),))
    assert torch.equal(named(maker, effusion)["left_lung"], usual["left_lung"])  # filled, and still a lung


def test_companions_are_the_pairs_with_masks_of_organs(synthesizer: PairSynthesizer) -> None:
    organs = OrganSynthesizer(synthesizer)
    pairs, companions = synthesizer.make([4, 1], 0, "val"), organs.make([4, 1], 0, "val")
    for pair, companion in zip(pairs, companions, strict=True):
        assert torch.equal(pair.image, companion.image) and pair.case == companion.case
        assert companion.masks is not None and companion.masks.shape == (len(ORGANS), 64, 64)
    assert torch.equal(organs.make([1], 0, "val")[0].masks, companions[1].masks)


def test_batches_hold_organs_that_follow_their_images(synthesizer: PairSynthesizer, tmp_path: Path) -> None:
    def batch(augmentation: Augmentation | None, cache: Path | None = None) -> dict[str, Any]:
        data = SyntheticPairs(
            synthesizer, 4, 2, 2, loader=LoaderOptions(batch_size=4), cache_dir=cache,
            views=Views(augmentation=augmentation, texts=None), tokenizer_reports=50, artifacts_dir=tmp_path,
        )  # fmt: skip
        data.asked = {"train": frozenset({"organs", "masks"})}
        data.prepare_data()
        data.setup("fit")
        return next(iter(data.train_dataloader()))

    still, moved = batch(None), batch(Augmentation(scale=0.2, shift=0.2))
    assert still["organs"].shape == (4, len(ORGANS), 64, 64)
    assert torch.equal(batch(None, tmp_path / "cache")["organs"], still["organs"])  # stored and made alike
    lungs = [ORGANS.index("right_lung"), ORGANS.index("left_lung")]
    dark = [float(b["image"][:, 0][b["organs"][:, lungs].any(1)].mean()) for b in (still, moved)]
    assert abs(dark[0] - dark[1]) < 0.05
    assert not torch.equal(still["organs"], moved["organs"])


def test_a_maker_that_knows_no_organs_is_refused(synthesizer: PairSynthesizer) -> None:
    class Blank:
        image_size = 64

        def make(self, cases, reports, seeds):  # type: ignore[no-untyped-def]
            raise NotImplementedError

        def describe(self) -> dict[str, object]:
            return {}

    blank = PairSynthesizer(synthesizer.sampler, synthesizer.writer, Blank())
    with pytest.raises(TypeError, match=r"Blank does not\. Take the simulator"):
        OrganSynthesizer(blank)
    data = SyntheticPairs(blank, 4)
    data.asked = {"train": frozenset({"organs"})}
    with pytest.raises(UnmetNeedError, match="'organs' in the batches of 'train', but Blank does not know"):
        data.require("train")
