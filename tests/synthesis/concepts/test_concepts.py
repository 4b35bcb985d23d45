"""The shipped catalogue is complete and consistent."""

import hashlib
import re
from itertools import product

import numpy as np
import pytest
import yaml

from synthesis.concepts import (
    DEFAULT_CATALOG,
    ENTITY_TYPES,
    LATERALITIES,
    NO_FINDING,
    ConceptCatalog,
    UnknownConceptError,
)

RAW = yaml.safe_load(DEFAULT_CATALOG.read_text())
CATALOG = ConceptCatalog()
GRADES = ("mild", "moderate", "severe")
SIZES = ("small", "moderate", "large")
ZONES = ("upper zone", "mid zone", "lower zone")
BOTH = ("left", "right", "bilateral")
ONE = ("left", "right")
LOBES = {"upper lobe": BOTH, "middle lobe": ("right",), "lingula": ("left",), "lower lobe": BOTH}


def everywhere(places, sides):
    return dict.fromkeys(places, sides)


# name: lateralities, {location: sides on which it exists}, severities, implies. Writer and simulator both
# rely on these words: a change here is a change of every part of the synthesis.
TABLE = {
    "no_finding": ((), {}, (), ()),
    "enlarged_cardiomediastinum": ((), {"superior mediastinum": ()}, GRADES, ()),
    "cardiomegaly": ((), {}, GRADES, ("enlarged_cardiomediastinum",)),
    "lung_opacity": (BOTH, everywhere(ZONES, BOTH), GRADES, ()),
    "lung_lesion": ((), {}, (), ("lung_opacity",)),
    "edema": (
        ("bilateral",),
        everywhere(("perihilar", "diffuse"), ("bilateral",)),
        GRADES,
        ("lung_opacity",),
    ),
    "consolidation": (BOTH, LOBES, GRADES, ("lung_opacity",)),
    "pneumonia": (BOTH, LOBES, GRADES, ("consolidation",)),
    "atelectasis": (
        BOTH,
        {"lower lobe": BOTH, "base": BOTH, "upper lobe": BOTH, "middle lobe": ("right",)},
        GRADES,
        ("lung_opacity",),
    ),
    "pneumothorax": (ONE, everywhere(("apical", "lateral", "basal"), ONE), SIZES, ()),
    "pleural_effusion": (BOTH, {"base": BOTH}, SIZES, ()),
    "pleural_other": ((), {}, (), ()),
    "fracture": (ONE, everywhere(("ribs", "clavicle"), ONE), ("mild", "severe"), ()),
    "support_devices": ((), {}, (), ()),
    "infiltration": (BOTH, everywhere(ZONES, BOTH), GRADES, ("lung_opacity",)),
    "mass": (ONE, everywhere((*ZONES, "hilum"), ONE), ("moderate", "large"), ("lung_lesion",)),
    "nodule": (BOTH, everywhere(ZONES, BOTH), ("small", "large"), ("lung_lesion",)),
    "emphysema": (
        ("bilateral",),
        everywhere(("upper zone", "diffuse"), ("bilateral",)),
        GRADES,
        ("hyperinflation",),
    ),
    "fibrosis": (BOTH, {"upper zone": BOTH, "lower zone": BOTH, "diffuse": ("bilateral",)}, GRADES, ()),
    "pleural_thickening": (
        BOTH,
        everywhere(("apex", "lateral chest wall"), BOTH),
        GRADES,
        ("pleural_other",),
    ),
    "hernia": ((), {"retrocardiac": ()}, SIZES, ()),
    "ground_glass_opacity": (
        BOTH,
        {**everywhere(ZONES, BOTH), "diffuse": ("bilateral",)},
        GRADES,
        ("lung_opacity",),
    ),
    "tuberculosis": (BOTH, {"upper lobe": BOTH}, GRADES, ("lung_opacity",)),
    "hyperinflation": ((), {}, GRADES, ()),
    "scoliosis": (ONE, {"thoracic spine": ONE}, GRADES, ()),
    "endotracheal_tube": (
        (),
        everywhere(("mid trachea", "near the carina", "above the clavicles"), ()),
        (),
        ("support_devices",),
    ),
    "central_venous_catheter": (
        ONE,
        everywhere(("internal jugular approach", "subclavian approach"), ONE),
        (),
        ("support_devices",),
    ),
    "nasogastric_tube": ((), everywhere(("stomach", "distal oesophagus"), ()), (), ("support_devices",)),
    "pacemaker": (ONE, everywhere(("single lead", "dual lead"), ONE), (), ("support_devices",)),
    "chest_drain": (ONE, everywhere(("apical", "basal"), ONE), (), ("support_devices",)),
}
CHEXPERT = (
    "No Finding, Enlarged Cardiomediastinum, Cardiomegaly, Lung Opacity, Lung Lesion, Edema, Consolidation, "
    "Pneumonia, Atelectasis, Pneumothorax, Pleural Effusion, Pleural Other, Fracture, Support Devices"
)
NIH = (
    "No Finding, Atelectasis, Cardiomegaly, Effusion, Infiltration, Mass, Nodule, Pneumonia, Pneumothorax, "
    "Consolidation, Edema, Emphysema, Fibrosis, Pleural_Thickening, Hernia"
)


def test_concepts_and_their_order():
    assert CATALOG.names == tuple(TABLE)
    assert [CATALOG.index(name) for name in TABLE] == list(range(len(CATALOG)))
    assert [concept.name for concept in CATALOG] == list(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_sides_places_grades_and_parents(name):
    concept = CATALOG[name]
    lateralities, places, severities, implies = TABLE[name]
    assert concept.lateralities == lateralities
    assert {place.name: place.lateralities for place in concept.locations} == places
    assert concept.severities == severities
    assert concept.implies == implies
    assert concept.sampled == (name not in {"lung_lesion", "pleural_other", "support_devices"})


@pytest.mark.parametrize("name", TABLE)
def test_places_of_a_side(name):
    lateralities, places, _, _ = TABLE[name]
    for side in lateralities or (None,):
        expected = tuple(place for place, sides in places.items() if side is None or side in sides)
        assert CATALOG[name].places(side) == expected


@pytest.mark.parametrize("name", TABLE)
def test_domain_knowledge_is_complete(name):
    concept = CATALOG[name]
    assert len(concept.definition) > 40
    assert re.search(r"(19|20)\d\d", concept.citation)
    assert re.fullmatch(r"10\.\d{4,9}/\S+", concept.doi)
    assert concept.entity_type in ENTITY_TYPES
    assert set(concept.lateralities) <= set(LATERALITIES)
    assert 0 < concept.prevalence < 1
    assert re.match(
        r"[\d,]+ of [\d,]+ (frontal images|studies) of .+ \(doi:10\.\S+\)$", concept.prevalence_source
    )
    assert len(concept.synonyms) >= 5
    assert min(len(concept.prompts_present), len(concept.prompts_absent)) >= 4
    assert all(re.match(r"[A-Z].*\.$", text) for text in concept.prompts_present + concept.prompts_absent)


def test_prevalence_follows_from_the_counts():
    assert CATALOG["pleural_effusion"].prevalence == pytest.approx(13_317 / 112_120)
    assert CATALOG["support_devices"].prevalence == pytest.approx(105_831 / 187_641)
    assert CATALOG["scoliosis"].prevalence_source.startswith("5,573 of 110,633 frontal images of PadChest")


def test_no_prompt_serves_two_ends():
    """A sentence that said two things would make zero-shot scores mean nothing."""
    sentences = [
        text for c in CATALOG for text in c.prompts_present + c.prompts_absent if c.name != NO_FINDING
    ]
    assert len(sentences) == len(set(sentences))


def test_names_and_synonyms_belong_to_one_concept():
    owners = {}
    for concept in CATALOG:
        for name in (concept.preferred_name, *concept.synonyms):
            assert owners.setdefault(name.lower(), concept.name) == concept.name


@pytest.mark.parametrize(("vocabulary", "labels"), [("chexpert", CHEXPERT), ("nih", NIH)])
def test_every_label_of_chexpert_and_nih_has_its_concept(vocabulary, labels):
    labels = labels.split(", ")
    concepts = [CATALOG.concept_for(vocabulary, label) for label in labels]
    assert [concept.labels[vocabulary] for concept in concepts] == labels
    assert len({concept.name for concept in concepts}) == len(labels)


@pytest.mark.parametrize(
    ("vocabulary", "label", "name"),
    [
        ("nih", "Effusion", "pleural_effusion"),
        ("nih", "Pleural_Thickening", "pleural_thickening"),
        ("chexpert", "Pleural Other", "pleural_other"),
        ("padchest", "laminar atelectasis", "atelectasis"),
        ("padchest", "NSG tube", "nasogastric_tube"),
        ("padchest", "dual chamber device", "pacemaker"),
        ("padchest", "normal", "no_finding"),
    ],
)
def test_labels_of_other_data_sets(vocabulary, label, name):
    assert CATALOG.concept_for(vocabulary, label) is CATALOG[name]


@pytest.mark.parametrize(
    ("vocabulary", "label"), [("nih", "Fracture"), ("nowhere", "Edema"), ("nih", "edema")]
)
def test_unknown_labels_have_no_concept(vocabulary, label):
    assert CATALOG.concept_for(vocabulary, label) is None


def naive_closure(name):
    found = {name}
    for _ in RAW["concepts"]:
        found |= {parent for n in found for parent in RAW["concepts"][n].get("implies", [])}
    return found


def naive_rule(key, a, b):
    pairs = [(x, y) for x in naive_closure(a) for y in naive_closure(b)]
    return any(y in RAW["concepts"][x].get(key, []) or x in RAW["concepts"][y].get(key, []) for x, y in pairs)


def test_closure():
    assert CATALOG.closure(["pneumonia"]) == {"pneumonia", "consolidation", "lung_opacity"}
    assert CATALOG.closure(["mass", "pacemaker"]) == {
        "mass",
        "lung_lesion",
        "lung_opacity",
        "pacemaker",
        "support_devices",
    }
    assert CATALOG.closure([]) == frozenset()
    for a, b in product(CATALOG.names, repeat=2):
        assert CATALOG.implies(a, b) == (b in naive_closure(a))


def test_exclusions_are_symmetric_and_reach_heirs():
    for a, b in product(CATALOG.names, repeat=2):
        normal = NO_FINDING in (a, b) and a != b and not any(CATALOG[name].is_device for name in (a, b))
        assert CATALOG.excluded(a, b) == CATALOG.excluded(b, a) == (naive_rule("excludes", a, b) or normal)
        same_side = CATALOG.excluded_same_side(a, b)
        assert same_side == CATALOG.excluded_same_side(b, a) == naive_rule("excludes_same_side", a, b)
    assert CATALOG.excluded("emphysema", "fibrosis")
    assert CATALOG.excluded_same_side("infiltration", "pneumonia")
    assert not CATALOG.excluded(NO_FINDING, "pacemaker")


def test_deniable():
    assert set(CATALOG.deniable([])) == set(CATALOG.names) - {NO_FINDING}
    with_consolidation = CATALOG.deniable(["consolidation"])
    for hidden in ("lung_opacity", "consolidation", "pneumonia", "infiltration"):
        assert hidden not in with_consolidation
    assert {"nodule", "lung_lesion", "edema", "pneumothorax", "support_devices"} <= set(with_consolidation)
    # Its lines are opacities: "fibrosis, the lungs are clear" is nonsense though neither implies the other.
    assert "lung_opacity" not in CATALOG.deniable(["fibrosis"])
    # To deny a lesion would deny the nodules of tuberculosis.
    assert not {"nodule", "lung_lesion"} & set(CATALOG.deniable(["tuberculosis"]))
    assert "pleural_other" not in CATALOG.deniable(["pleural_effusion"])
    assert "pleural_thickening" in CATALOG.deniable(["pleural_effusion"])
    assert "support_devices" not in CATALOG.deniable(["chest_drain"])


def test_labels():
    labels = CATALOG.labels(["edema", "no_finding"])
    assert labels.dtype == np.float32
    assert labels.shape == (len(TABLE),)
    assert np.flatnonzero(labels).tolist() == [0, list(TABLE).index("edema")]
    assert not CATALOG.labels([]).any()


def test_level_runs_from_mildest_to_most_severe():
    for concept in CATALOG:
        levels = [concept.level(severity) for severity in concept.severities]
        assert levels == np.linspace(0, 1, len(levels)).tolist()
        assert concept.level(None) == 0.5
    with pytest.raises(ValueError, match="nodule: no severity 'severe'; use one of: small, large"):
        CATALOG["nodule"].level("severe")


def test_unknown_concept_names_near_matches():
    for ask in (CATALOG.__getitem__, CATALOG.index, lambda name: CATALOG.closure([name])):
        with pytest.raises(UnknownConceptError, match="no concept 'pneumothorx'; did you mean pneumothorax"):
            ask("pneumothorx")
    with pytest.raises(KeyError, match="it holds: no_finding, enlarged_cardiomediastinum"):
        CATALOG["zzz"]
    assert "zzz" not in CATALOG
    assert "edema" in CATALOG


def test_sha256_is_that_of_the_file():
    assert CATALOG.sha256 == hashlib.sha256(DEFAULT_CATALOG.read_bytes()).hexdigest()
