"""README, docs and the files for contributors: they build, links resolve, what they say to type exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from scripts.command_line.words import WORDS, run_word
from scripts.prediction.predict import long_form
from scripts.resolved_config import resolved_config

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
PRESENT = [page for page in IDS if page != "docs/log.md"]  # the past may name what is gone
PACKAGES = "synthesis|datamodules|lightning_modules|callbacks"
TEXT = {name: page.read_text() for name, page in zip(IDS, PAGES, strict=True)}


class Links(HTMLParser):
    """The links, resources and anchors of a page of the site."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.anchors.add(named.get("id", ""))
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        elif tag in ("link", "script", "img", "source"):
            self.resources += [named[name] for name in ("href", "src") if name in named]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(directory)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return directory


def test_the_site_builds_without_a_warning_and_every_link_in_it_resolves(site: Path) -> None:
    pages = {page: Links(page) for page in site.rglob("*.html")}
    assert len(pages) > 30
    broken = []
    for page, links in pages.items():
        for link in (*links.links, *links.resources):
            parts = urlsplit(link)
            if parts.scheme or page.name == "404.html":
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            ):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []


def test_a_reader_of_the_site_fetches_nothing(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert [url for url in Links(page).resources if urlsplit(url).netloc] == []
    for sheet in site.rglob("*.css"):
        assert re.findall(r"url\(\W?https?:", sheet.read_text()) == []


def test_every_public_class_is_in_the_reference(site: Path) -> None:
    for package in ("synthesis", "synthesis.filters", "datamodules", "lightning_modules", "callbacks"):
        page = Links(site / "reference" / package.partition(".")[0] / "index.html")
        assert {f"{package}.{name}" for name in import_module(package).__all__} <= page.anchors


def test_the_readme_is_short() -> None:
    assert len(TEXT["README.md"].splitlines()) <= 220


@pytest.mark.parametrize("page", IDS)
def test_links_of_a_page_resolve_in_the_repository_too(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", TEXT[page]):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def code_of(page: str) -> list[str]:
    """Return the code spans and blocks of a page."""
    return re.findall(r"```.*?```|`[^`\n]+`", TEXT[page], re.DOTALL)


@pytest.mark.parametrize(
    "page", [page for page in IDS if page != "docs/log.md"]
)  # the past may name what is gone
def test_files_programs_and_targets_that_a_page_names_exist(page: str) -> None:
    code = code_of(page)
    words = {word.rstrip(".,;:") for span in code for word in re.split(r"[\s`'\"()=]+", span)}
    paths = {word for word in words if re.match(rf"(configs|scripts|tests|{PACKAGES})/", word)}
    new = re.compile(r"NAME|YOURS|triplet|[{}…*]")  # what a reader is to write
    assert [path for path in paths if not new.search(path) and not (ROOT / path).exists()] == []
    modules = {
        module for span in code for module in re.findall(r"-m ((?:scripts|benchmarks)(?:\.\w+)+)", span)
    }
    programs = {module: ROOT / module.replace(".", "/") for module in modules}
    assert [
        module
        for module, path in programs.items()
        if not (path.with_suffix(".py").exists() or (path / "__main__.py").exists())
    ] == []
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for span in code for target in re.findall(r"(?:^|`|\n)make ([a-z][a-z-]*)", span)}
    assert named <= targets


@pytest.mark.parametrize("page", PRESENT)
def test_classes_that_a_page_names_can_be_imported(page: str) -> None:
    dotted = set(re.findall(rf"\b(?:{PACKAGES})(?:\.\w+)+", " ".join(code_of(page))))
    for name in dotted - {"lightning_modules.objectives.triplet.Triplet"}:
        module, _, attribute = name.rpartition(".")
        try:
            found = hasattr(import_module(module), attribute)
        except ModuleNotFoundError:
            found = False
        path = ROOT / name.replace(".", "/")
        assert found or path.with_suffix(".py").exists() or path.is_dir(), name


def test_the_page_of_tasks_says_of_every_layer_what_is_measured_and_drawn() -> None:
    page = (ROOT / "docs/tasks.md").read_text()
    measured, _, drawn = page.partition("## What is drawn")
    tasks = sorted(path.stem for path in (ROOT / "configs/tasks").glob("*.yaml"))
    for part in (measured, drawn):
        assert sorted(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) == tasks


def command_lines() -> list[str]:
    """The calls of `main.py` in README and docs, each once."""
    blocks = [block for text in TEXT.values() for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    calls = (re.sub(r"\s+#.*", "", line) for line in lines if re.match(r"(python main\.py|synvlp) ", line))
    return sorted({" ".join(call.split()) for call in calls if "--model.help" not in call})


@pytest.mark.parametrize("command", command_lines())
def test_a_command_of_the_pages_parses(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    if "predict" in words:  # has a short form
        words = ["predict", *long_form(words[words.index("predict") + 1 :])]
        assert resolved_config(*words)["data"]["init_args"]["images"]
        return
    word = words[2] if words[0] == "python" else words[1]
    if word in WORDS:  # programs of their own
        with pytest.raises(SystemExit):
            run_word(word, ["--help"])
        told = capsys.readouterr().out
        assert all(option.partition("=")[0] in told for option in words if option.startswith("--"))
        return
    words = words[words.index("fit") if "fit" in words else words.index("test") :]
    # What a run leaves stands for by the recipe that makes it; checkpoints are not read by the parser.
    words = [re.sub(r"^runs/\w+/config\.yaml$", "configs/pretrain.yaml", word) for word in words]
    words = [word for word in words if word != "--print_config"]
    config = resolved_config("fit", *words[1:])
    assert config["model"]["class_path"] and config["data"]["class_path"]


def test_the_public_continuous_integration_runs_make_test() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    steps = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert "make test" in steps and "make docs" in steps
    assert workflow["permissions"] == {"contents": "read"}
    assert {"push", "pull_request"} <= set(workflow[True])  # YAML 1.1 reads `on` as true


@pytest.mark.parametrize("name", ["bug", "feature", "config"])
def test_issue_templates_are_forms(name: str) -> None:
    path = ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml"
    form = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert set(form) <= {"blank_issues_enabled", "contact_links"}
        return
    assert form["name"] and form["description"] and form["body"]
    identities = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(identities) == len(set(identities)) > 0
    assert all(field["attributes"]["label"] for field in form["body"] if field["type"] != "markdown")
