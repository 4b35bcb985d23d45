"""A catalogue of one's own is read, and a wrong one is refused with a message that helps."""

import os

import pytest
import yaml

from synthesis.concepts import ConceptCatalog
from synthesis.strict_yaml import YamlError


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


def extension(**changes):
    """What a file adds to `catalogue()`: a concept, with a source of its own and the other's population."""
    own = concept("film", source="book", excludes=["patch"], labels={"clinic": "Film"}, sampled=False)
    return {
        "extends": "own.yaml",
        "vocabularies": ["clinic"],
        "sources": {"book": {"citation": "A book, 2021.", "doi": "10.1000/book"}},
        "concepts": {"film": own},
    } | changes


def write_extension(tmp_path, content):
    write(tmp_path, catalogue())
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return tmp_path / "more.yaml"


def test_a_file_extends_another(tmp_path):
    more = ConceptCatalog(write_extension(tmp_path, extension()))
    own = ConceptCatalog(tmp_path / "own.yaml")
    assert more.names == (*own.names, "film")
    assert list(more)[: len(own)] == list(own), "what is extended stays as it is"
    assert more["film"].doi == "10.1000/book" and more.excluded("patch", "film")
    assert more.concept_for("clinic", "Film") is more["film"]
    assert more["film"].prevalence_source == "5 of 10 images of H (doi:10.1000/paper)"
    before = more.sha256
    write(tmp_path, catalogue(concepts={"opacity": {"definition": "Something else."}}))
    assert ConceptCatalog(tmp_path / "more.yaml").sha256 != before, "the hash is that of both files"


def test_an_extension_needs_no_more_than_concepts(tmp_path):
    content = {"extends": "own.yaml", "concepts": {"film": concept("film")}}
    assert ConceptCatalog(write_extension(tmp_path, content)).names[-1] == "film"


def test_an_extension_revises_places_and_rules_but_nothing_else(tmp_path):
    rules = {"lateralities": ["left"], "locations": ["apex"], "excludes": []}
    content = {"extends": "own.yaml", "revises": {"lucency": {"excludes": []}, "patch": rules}}
    more = ConceptCatalog(write_extension(tmp_path, content))
    own = ConceptCatalog(tmp_path / "own.yaml")
    assert own.excluded("lucency", "patch") and not more.excluded("lucency", "patch")
    assert (own["patch"].places("left"), more["patch"].places("left")) == ((), ("apex",))
    assert more["patch"].lateralities == ("left",) and more["patch"].definition == own["patch"].definition
    assert list(more)[:2] == list(own)[:2] and more.sha256 != own.sha256


def test_a_catalogue_names_the_words_that_fit_it(tmp_path):
    content = {"extends": "own.yaml", "lexicon": "words/lexicon.yaml"}
    more = ConceptCatalog(write_extension(tmp_path, content))
    assert (more.lexicon, more.phrases) == (tmp_path / "words/lexicon.yaml", None)
    assert ConceptCatalog(tmp_path / "own.yaml").lexicon is None


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"revises": {"patsch": {}}}, ["key revises", "'patsch'", "(no_finding, opacity, patch, lucency)"]),
        ({"revises": {"film": {}}}, ["key revises: 'film' is no concept of the file that is extended"]),
        ({"revises": {"patch": {"definition": "Other."}}}, ["concept patch, key definition", "unknown key"]),
        ({"revises": {"patch": {"excludes": ["flim"]}}}, ["concept patch, key excludes", "of: film"]),
        ({"lexicon": 3}, ["more.yaml, key lexicon: 3 is not a text"]),
        ({"extends": "owm.yaml"}, ["owm.yaml: no such file"]),
        ({"extends": "more.yaml"}, ["more.yaml, key extends", "leads back to this file"]),
        ({"concepts": {"patch": concept("patch")}}, ["concept patch", "own.yaml has it already", "choose"]),
        ({"sources": {"paper": {"citation": "B.", "doi": "10.1000/b"}}}, ["source paper", "has it already"]),
        (
            {"concepts": {"film": concept("film", synonyms=["opacity synonym"])}},
            ["more.yaml, concept film, key synonyms", "already belongs to concept opacity"],
        ),
        ({"concepts": {"film": concept("film", implies=["patsch"])}}, ["key implies", "use one of: patch"]),
    ],
)
def test_wrong_extensions_are_refused(tmp_path, changes, parts):
    path = write_extension(tmp_path, extension(**changes))
    with pytest.raises(YamlError) as error:
        ConceptCatalog(path)
    for part in parts:
        assert part in str(error.value)


def test_files_that_extend_each_other_are_refused(tmp_path):
    path = write_extension(tmp_path, extension())
    write(tmp_path, catalogue() | {"extends": "more.yaml"})
    with pytest.raises(YamlError, match=r"'more\.yaml' leads back to this file"):
        ConceptCatalog(path)
