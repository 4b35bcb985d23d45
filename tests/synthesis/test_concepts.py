"""The shipped catalogue is complete and consistent; a wrong one is refused with a message that helps."""

import hashlib
import os
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
from synthesis.strict_yaml import YamlError

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


# -- a small catalogue of our own


def concept(name, **changes):
    content = {
        "preferred_name": f"{name} name",
        "synonyms": [f"{name} synonym"],
        "entity_type": "abnormality",
        "definition": f"What {name} looks like.",
        "source": "paper",
        "prevalence": {"population": "hospital", "count": 5},
        "prompts": {
            "present": [f"{name} {i}." for i in range(4)],
            "absent": [f"No {name} {i}." for i in range(4)],
        },
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def catalogue(**changes):
    concepts = {
        "no_finding": concept("no_finding", entity_type="normality"),
        "opacity": concept("opacity", lateralities=["left", "right"]),
        "patch": concept("patch", implies=["opacity"], lateralities=["left", "right"]),
        "lucency": concept("lucency", excludes=["opacity"]),
    }
    for name, change in changes.pop("concepts", {}).items():
        concepts[name] = {
            k: v for k, v in (concepts.get(name, concept(name)) | change).items() if v is not None
        }
    content = {
        "vocabularies": ["nih"],
        "sources": {"paper": {"citation": "A paper, 2020.", "doi": "10.1000/paper"}},
        "populations": {"hospital": {"name": "H", "size": 10, "unit": "images", "source": "paper"}},
        "concepts": concepts,
    }
    return content | changes


def write(tmp_path, content):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_own_catalogue_loads(tmp_path):
    own = ConceptCatalog(write(tmp_path, catalogue()))
    assert own.names == ("no_finding", "opacity", "patch", "lucency")
    assert own.excluded("patch", "lucency")
    assert own["patch"].prevalence_source == "5 of 10 images of H (doi:10.1000/paper)"


def test_load_reads_again_only_after_a_change(tmp_path):
    path = write(tmp_path, catalogue())
    first = ConceptCatalog.load(path)
    assert ConceptCatalog.load(str(path)) is first
    write(tmp_path, catalogue(concepts={"opacity": {"definition": "Something else altogether."}}))
    os.utime(path, ns=(1, 1))
    assert ConceptCatalog.load(path)["opacity"].definition == "Something else altogether."


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"opacity": {"implies": ["opacty"]}},
            ["concept opacity, key implies", "'opacty' is unknown", "use one of: opacity"],
        ),
        (
            {"opacity": {"excludes": ["mas"]}},
            ["concept opacity, key excludes", "'mas' is unknown", "use one of"],
        ),
        ({"patch": {"never_denies": ["x"]}}, ["concept patch, key never_denies", "'x' is unknown"]),
        (
            {"patch": {"excludes": ["opacity"]}},
            ["concept patch, keys implies and excludes", "contradiction", "opacity, patch", "remove one"],
        ),
        (
            {"patch": {"implies": ["opacity", "lucency"]}},
            ["concept patch, keys implies and excludes", "contradiction", "remove one"],
        ),
        (
            {"patch": {"excludes_same_side": ["opacity"]}},
            ["concept patch, keys implies and excludes_same_side", "contradiction"],
        ),
        (
            {"opacity": {"excludes_same_side": ["lucency"]}},
            ["concept opacity, key excludes_same_side", "'lucency'", "has no sides", "use excludes"],
        ),
        (
            {"opacity": {"implies": ["patch"]}},
            ["key implies", "cycle opacity → patch → opacity", "remove one arrow"],
        ),
        ({"opacity": {"implies": ["opacity"]}}, ["concept opacity", "cycle opacity → opacity"]),
        (
            {"opacity": {"severity": ["mild"]}},
            ["concept opacity, key severity", "unknown key", "severities?"],
        ),
        (
            {"opacity": {"lateralities": ["lef"]}},
            ["key lateralities", "'lef' is unknown", "use one of: left"],
        ),
        (
            {"opacity": {"locations": [{"name": "apex", "lateralities": ["bilateral"]}]}},
            ["concept opacity, key locations, key lateralities", "'bilateral' is unknown", "left, right"],
        ),
        (
            {"opacity": {"locations": [{"name": "apex", "lateralities": ["left"]}]}},
            ["concept opacity, key locations", "no place for laterality right", "add or drop"],
        ),
        ({"opacity": {"locations": "apex"}}, ["concept opacity, key locations", "'apex' is not a list"]),
        ({"opacity": {"views": ["LAT"]}}, ["concept opacity, key views", "'LAT' is unknown", "AP, PA"]),
        ({"opacity": {"entity_type": "dog"}}, ["concept opacity, key entity_type", "'dog' is unknown"]),
        ({"opacity": {"definition": None}}, ["concept opacity, key definition: missing", "add it"]),
        ({"opacity": {"source": None}}, ["concept opacity, key source: missing", "add it"]),
        ({"opacity": {"source": "book"}}, ["concept opacity, key source", "'book' is unknown", "paper"]),
        ({"opacity": {"prompts": None}}, ["concept opacity, key prompts: missing"]),
        (
            {"opacity": {"prompts": {"present": ["Yes."], "absent": ["a", "b", "c", "d"]}}},
            ["concept opacity, key prompts, key present", "at least 4 different texts"],
        ),
        (
            {"opacity": {"prevalence": {"population": "hospital", "count": 11}}},
            ["concept opacity, key prevalence, key count", "11 is not a number from 0 to 10"],
        ),
        ({"opacity": {"codes": {"umls": "0018800"}}}, ["key codes, key umls", "'0018800'", "look it up"]),
        (
            {"opacity": {"codes": {"icd": "J90"}}},
            ["key codes, key icd", "unknown key", "known here: umls, radlex, snomed"],
        ),
        (
            {"opacity": {"labels": {"nhi": "X"}}},
            ["concept opacity, key labels, key nhi", "unknown key", "did you mean nih?"],
        ),
        (
            {"opacity": {"labels": {"nih": "X"}}, "patch": {"labels": {"nih": ["Y", "X"]}}},
            [
                "concept patch, key labels, key nih",
                "'X' already belongs to concept opacity",
                "keep it at one",
            ],
        ),
        (
            {"patch": {"synonyms": ["Opacity synonym"]}},
            ["concept patch, key synonyms", "'opacity synonym' already belongs to concept opacity"],
        ),
        ({"opacity": {"sampled": "no, never"}}, ["concept opacity, key sampled", "neither true nor false"]),
        ({"no_finding": {"implies": ["opacity"]}}, ["concept no_finding", "implies ['opacity']", "neither"]),
        ({"no_finding": {"entity_type": "device"}}, ["concept no_finding", "needs entity_type: normality"]),
    ],
)
def test_wrong_concepts_are_refused(tmp_path, changes, parts):
    path = write(tmp_path, catalogue(concepts=changes))
    with pytest.raises(YamlError) as error:
        ConceptCatalog(path)
    for part in [str(path), *parts]:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"sources": {"paper": {"citation": "A."}}}, ["source paper, key doi: missing", "add it"]),
        (
            {"sources": {"paper": {"citation": "A.", "doi": "https://doi.org/10.1/x"}}},
            ["source paper, key doi", "is not a DOI", "without https"],
        ),
        ({"populations": {"hospital": {"name": "H"}}}, ["population hospital, key size: missing"]),
        ({"concept": {}}, ["key concept", "unknown key", "did you mean concepts?"]),
        ({"concepts": {}}, ["key concepts: no no_finding among them", "add it"]),
    ],
)
def test_wrong_files_are_refused(tmp_path, changes, parts):
    path = write(tmp_path, catalogue() | changes)
    with pytest.raises(YamlError) as error:
        ConceptCatalog(path)
    for part in [str(path), *parts]:
        assert part in str(error.value)


@pytest.mark.parametrize("read", [ConceptCatalog, ConceptCatalog.load])
def test_missing_file_is_refused(tmp_path, read):
    with pytest.raises(YamlError, match=r"nowhere\.yaml: no such file"):
        read(tmp_path / "nowhere.yaml")


def test_a_concept_that_stands_twice_is_refused(tmp_path):
    path = write(tmp_path, catalogue())
    path.write_text(path.read_text() + "  patch: {}\n")
    with pytest.raises(YamlError, match="'patch' stands twice"):
        ConceptCatalog(path)
