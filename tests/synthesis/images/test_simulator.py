"""The simulator: purity, twins, visibility, geometry."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies

from synthesis.cases import BalancedCaseSampler, Case, Finding
from synthesis.images.image_maker import MadeImages
from synthesis.images.simulator import Simulator
from synthesis.images.simulator.atlas import ATLAS_PATH, load_atlas
from synthesis.images.simulator.findings import PAINTERS
from synthesis.images.simulator.visibility import Visibility
from synthesis.seeding import pair_seed

SIZE = 64
SIMULATOR = Simulator(image_size=SIZE)  # one for all tests: loading the atlas is most of their time
CATALOG = SIMULATOR.catalog
MOVED = {"pose", "field", "centre", "rotation", "arm_angle", "girdle_shift"}


def one(concept: str, **given: str | None) -> Case:
    """A case with one finding at the first place and side of the catalogue, unless given."""
    entry = CATALOG[concept]
    side = given.get("laterality", entry.lateralities[0] if entry.lateralities else None)
    places = list(entry.places(side))
    place = given.get("location", places[0] if places else None)
    severity = given.get("severity", entry.severities[-1] if entry.severities else None)
    return Case((Finding(concept, side, place, severity),), (), "PA" if "PA" in entry.views else "AP")


def sampled(count: int) -> tuple[list[Case], list[int]]:
    sampler = BalancedCaseSampler()
    cases = [sampler.sample(3, "train", i) for i in range(count)]
    return cases, [pair_seed(3, "train", i) for i in range(count)]


def test_a_picture_does_not_depend_on_its_batch() -> None:
    cases, seeds = sampled(8)
    together = SIMULATOR.make(cases, None, seeds)
    for part in (slice(0, 1), slice(2, 5), slice(7, 8)):
        alone = SIMULATOR.make(cases[part], None, seeds[part])
        assert torch.equal(alone.images, together.images[part])
        for one_mask, all_mask in zip(alone.masks, together.masks[part], strict=True):
            assert torch.equal(one_mask, all_mask)


def test_threads_and_a_fresh_instance_change_nothing() -> None:
    cases, seeds = sampled(3)
    expected = SIMULATOR.make(cases, None, seeds).images
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(Simulator(image_size=SIZE).make(cases, None, seeds).images, expected)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@settings(max_examples=8, deadline=None)
@given(
    order=strategies.permutations(range(9)),
    chunk=strategies.integers(2, 9),
    size=strategies.sampled_from([64, 66]),  # 66 px do not fill the vectors of a CPU
)
def test_a_picture_is_the_same_alone_in_any_chunk_and_in_any_order(
    order: list[int], chunk: int, size: int
) -> None:
    cases, seeds = sampled(len(order))
    alone = alone_in(size)
    shuffled = [cases[k] for k in order], None, [seeds[k] for k in order]
    together = Simulator(image_size=size, chunk=chunk).make(*shuffled)
    for place, k in enumerate(order):
        assert torch.equal(together.images[place], alone.images[k])
        assert torch.equal(together.masks[place], alone.masks[k])
        assert together.cases[place] == alone.cases[k]


@cache
def alone_in(size: int) -> MadeImages:
    """Nine pictures, each drawn by itself."""
    cases, seeds = sampled(9)
    return Simulator(image_size=size, chunk=1).make(cases, None, seeds)


@pytest.mark.parametrize("size", [128, 224])
def test_pictures_are_grey_values_of_the_wanted_size(size: int) -> None:
    cases, seeds = sampled(2)
    made = Simulator(image_size=size).make(cases, None, seeds)
    assert made.images.shape == (2, 1, size, size)
    assert made.images.dtype == torch.float32
    assert 0 <= made.images.min() and made.images.max() <= 1
    for case, masks, image in zip(made.cases, made.masks, made.images, strict=True):
        assert masks.shape == (len(case.findings), size, size) and masks.dtype == torch.bool
        assert 0.1 < image.std() < 0.45


def test_twins_differ_only_where_the_mask_says() -> None:
    cases, seeds = sampled(50)
    pairs = [(c, s) for c, s in zip(cases, seeds, strict=True) if c.findings]
    made, twins = SIMULATOR.twins([c for c, _ in pairs], [s for _, s in pairs], [0] * len(pairs))
    for image, twin, masks, case in zip(made.images, twins, made.masks, made.cases, strict=True):
        if not case.findings:
            continue
        changed = (255 * image).round() != (255 * twin).round()
        assert changed.any(), case
        assert not (changed[0] & ~masks[0]).any(), case


def test_switching_a_finding_off_leaves_patient_and_exposure() -> None:
    case, seed = one("pleural_effusion", severity="moderate"), pair_seed(0, "train", 5)
    _, twins = SIMULATOR.twins([case], [seed], [0])
    healthy = SIMULATOR.make([replace(case, findings=())], None, [seed])
    assert torch.equal(twins, healthy.images)


@pytest.mark.parametrize("concept", sorted(name for name in PAINTERS if name in CATALOG))
def test_every_concept_is_visible_at_every_severity_side_and_place(concept: str) -> None:
    entry = CATALOG[concept]
    for severity in entry.severities or (None,):
        cases = []
        for side in entry.lateralities or (None,):
            places = list(entry.places(side)) or [None]
            cases += [one(concept, laterality=side, location=place, severity=severity) for place in places]
        cases *= max(2, round(8 / len(cases)))  # where there are few places, more patients for each
        seeds = [pair_seed(1, concept, k) for k in range(len(cases))]
        shown = [bool(case.findings) for case in SIMULATOR.make(cases, None, seeds).cases]
        assert np.mean(shown) >= 0.7, (concept, severity, np.mean(shown))


@pytest.mark.parametrize(
    ("concept", "location"),
    [
        ("pleural_effusion", None),
        ("consolidation", "lower lobe"),
        ("pneumothorax", "apical"),
        ("mass", "mid zone"),
    ],
)
def test_a_finding_is_on_the_side_it_names(concept: str, location: str | None) -> None:
    for side, on_viewers_left in (("right", True), ("left", False)):
        given = {"laterality": side} | ({"location": location} if location else {})
        made = SIMULATOR.make([one(concept, **given)] * 4, None, [pair_seed(2, concept, k) for k in range(4)])
        for masks in made.masks:
            columns = torch.nonzero(masks[0])[:, 1].float()
            assert (columns.mean() < SIZE / 2) == on_viewers_left


def test_upper_findings_are_above_lower_ones() -> None:
    seeds = [pair_seed(4, "zones", k) for k in range(6)]

    def height(location: str) -> float:
        made = SIMULATOR.make([one("nodule", laterality="right", location=location)] * 6, None, seeds)
        return float(np.mean([torch.nonzero(m[0])[:, 0].float().mean() for m in made.masks if len(m)]))

    assert height("upper zone") < height("mid zone") < height("lower zone")


def test_severity_grows_the_mask() -> None:
    seeds = [pair_seed(6, "size", k) for k in range(6)]

    def area(severity: str) -> float:
        made = SIMULATOR.make([one("pleural_effusion", severity=severity)] * 6, None, seeds)
        return float(np.mean([m.sum() for m in made.masks if len(m)]))

    assert area("small") < area("moderate") < area("large")


def test_effusion_is_bright_and_pneumothorax_dark() -> None:
    for concept, sign in (("pleural_effusion", 1), ("pneumothorax", -1)):
        made, twins = SIMULATOR.twins([one(concept)], [pair_seed(8, concept, 0)], [0])
        change = (made.images - twins)[0, 0][made.masks[0][0]]
        assert sign * change.mean() > 0.02


def test_what_cannot_be_seen_is_dropped_from_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    case = one("nodule")
    healthy = SIMULATOR.make([replace(case, findings=())], None, [1])
    assert SIMULATOR.make([case], None, [1]).cases == (case,)
    monkeypatch.setattr(SIMULATOR, "visibility", Visibility(contrast=1e6, strengthen=1.0))
    made = SIMULATOR.make([case], None, [1])
    assert made.cases[0].findings == () and made.masks[0].shape == (0, SIZE, SIZE)
    assert torch.equal(made.images, healthy.images)


def test_every_kept_finding_reaches_its_floor() -> None:
    cases, seeds = sampled(40)
    for drawing in SIMULATOR.draw(cases, seeds):
        assert len(drawing.contrast) == len(drawing.case.findings)
        assert all(value >= 1.0 for value in drawing.contrast)


def test_appearance_is_independent_of_findings() -> None:
    """The same seed with other findings keeps patient, exposure and markers: only the finding may differ."""
    seed = pair_seed(9, "train", 0)
    first, second = SIMULATOR.draw([one("nodule"), one("emphysema")], [seed, seed])
    assert torch.equal(first.healthy, second.healthy)
    assert torch.equal(first.overlay.alpha, second.overlay.alpha)


def test_a_patient_is_rendered_once_more_and_placed_anew() -> None:
    """The same build and findings; another picture, a pure function of both seeds."""
    cases, seeds = sampled(4)
    visits = [seed + 1 for seed in seeds]
    again, visited = SIMULATOR.rerender(cases, seeds, visits), SIMULATOR.revisit(cases, seeds, visits)
    assert torch.equal(SIMULATOR.rerender(cases[2:3], seeds[2:3], visits[2:3]).images, again.images[2:3])
    patients = [
        [drawing.anatomy.patient for drawing in SIMULATOR.draw(cases, seeds, visits, placed_anew=anew)]
        for anew in (False, True)
    ]
    for one_patient, other, a, b in zip(*patients, again.images, visited.images, strict=True):
        before, after = vars(one_patient), vars(other)
        moved = {name for name in before if not np.array_equal(before[name], after[name])}
        assert {"field", "centre", "rotation", "arm_angle", "girdle_shift"} <= moved <= MOVED
        assert (a != b).float().mean() > 0.5
        assert abs(np.log(other.field / one_patient.field)) <= 0.1


def test_another_pose_shows_the_same_subject() -> None:
    poses = SIMULATOR.builder.atlas.poses[:4]
    named = [replace(pose, subject=name) for name, pose in zip("abab", poses, strict=True)]
    atlas = replace(SIMULATOR.builder.atlas, poses=(*named, replace(named[0], source=1)))
    for i, pose in enumerate(atlas.poses):
        like = [(p.view, p.subject, p.source) == (pose.view, pose.subject, pose.source) for p in atlas.poses]
        assert atlas.like(i) == [k for k, alike in enumerate(like) if alike]
    assert atlas.like(4) == [4]


def test_atlas_has_both_views_and_is_small() -> None:
    atlas = load_atlas()
    assert atlas.of_view("PA") and atlas.of_view("AP")
    assert ATLAS_PATH.stat().st_size <= 12 * 2**20


def test_a_missing_atlas_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.npz is missing: run `make atlas`"):
        load_atlas(tmp_path / "none.npz")


def test_an_unpainted_concept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "synthesis.images.simulator.simulator.PAINTERS", {k: v for k, v in PAINTERS.items() if k != "hernia"}
    )
    with pytest.raises(ValueError, match="hernia"):
        Simulator(image_size=SIZE)


def test_pictures_too_small_to_show_anything_are_refused() -> None:
    with pytest.raises(ValueError, match="image_size=48: give 64 to 2048 px"):
        Simulator(image_size=48)
