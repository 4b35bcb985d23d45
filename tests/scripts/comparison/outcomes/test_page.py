"""The page of a comparison says what its files say, and needs nothing but itself."""

from __future__ import annotations

import csv
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from scripts.comparison.draws import Draws
from scripts.comparison.engine import Plan
from scripts.comparison.reader import read_comparison
from scripts.comparison.record import RunRecord
from scripts.comparison.report import write_report
from tests.browser import chromium

ROOT = Path(__file__).resolve().parents[4]
NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e-?\d+)?")
ARMS = ("hospital", "quarter", "half", "once", "absent")


class Page(HTMLParser):
    """Tables, addresses and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: dict[str, list[str]] = {}
        self.told: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.missing: list[str] = []
        self._table = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [str(given[name]) for name in ("src", "href", "xlink:href") if name in given]
        if tag == "h2":
            self._table = str(given.get("id"))
        if tag in ("td", "th") and self._table:
            self.cells.setdefault(self._table, []).append("")
            self.told += [str(given["title"])] if "title" in given else []

    def handle_data(self, data: str) -> None:
        self.text += data
        self.missing += [data] if self.tags and self.tags[-1] == "li" and data.strip() else []
        if self._table in self.cells and self.tags[-1] in ("td", "th", "button", "span"):
            self.cells[self._table][-1] += data + " "


def numbers_without_a_file(page: Page, out: Path) -> set[str]:
    """Numbers of the page's tables, shown or told, that no results file in the directory has."""
    rows = (row for path in out.glob("*.csv") for row in csv.reader(path.read_text().splitlines()))
    files = " ".join(cell for row in rows for cell in row)
    shown = " ".join([*page.told, *(text for cells in page.cells.values() for text in cells)])
    return set(NUMBER.findall(shown)) - set(NUMBER.findall(files))


def add(plan: Plan, arm: str, seed: int) -> None:
    size, key = {"quarter": 250, "half": 500, "once": 1000, "hospital": 900}[arm], "test/x/auroc"
    value = 1 - 2 * size**-0.2 + 0.004 * (seed - 0.5) * (-1 if arm == "half" else 1)
    draws = Draws({key: value + np.random.default_rng(3).normal(size=60) * 0.01}, {key: "ab"})
    figures = {key: (value, value - 0.02, value + 0.02)}
    plan.record.add(RunRecord(arm, seed, {"steps": "9", "minutes": "1.5"}, figures, draws))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A comparison of everything that a page can hold, of which one arm has not been run."""
    os.chdir(ROOT)
    directory = tmp_path_factory.mktemp("page")
    claim = {"claim": "More is better", "source": "a paper", "published": "by 3 points", "metric": "AUROC"}
    claims = {
        "sizes": claim | {"arm": "once", "minus": "quarter", "decides": "a larger test"},
        "never": claim | {"claim": "Never asked", "arm": "absent", "minus": "once", "decides": "running it"},
    }
    (directory / "claims.yaml").write_text(yaml.safe_dump({"note": "Simulated.", "claims": claims}))
    content = {
        "title": "Sizes & more",
        "question": "Is more better?",
        "arms": {
            name: {"label": f"{name}, <N>"} for name in ("hospital", "quarter", "half", "once", "absent")
        },
        "reference": "hospital",
        "seeds": [0, 1],
        "scales": {"full": {}},
        "variables": {"n": "1000"},
        "measures": {"test": {"class_path": "scripts.comparison.measure.TrainingSummary"}},
        "metrics": {"AUROC": "test/x/auroc"},
        "contrasts": [
            {"arm": "once", "minus": "half", "metric": "AUROC", "claim": "twice is better"},
            {"arm": "absent", "minus": "half", "metric": "AUROC"},
        ],
        "scaling": [
            {
                "metrics": ["AUROC"],
                "sizes": {"quarter": "250", "half": "500", "once": "{n}"},
                "reach": {"hospital": "{n}"},
            }
        ],
        "claims": str(directory / "claims.yaml"),
        "pictures": {"sheet": {"file": "pictures/x.png", "arms": ["once", "half", "absent"]}},
        "note": "`{command}`, {seeds}.",
    }
    (directory / "sizes.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    plan = Plan(read_comparison(str(directory / "sizes.yaml")), "full", directory / "out")
    for arm in ("hospital", "quarter", "half", "once"):
        for seed in (0, 1):
            add(plan, arm, seed)
    for name, width in (("once-0", 40), ("half-0", 30), ("half-1", 90)):
        path = plan.out / "runs" / name / "pictures" / "x.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (width, 20), "red").save(path)
    write_report(plan)
    return plan


def test_every_number_is_in_a_results_file_and_every_table_is_there(plan: Plan) -> None:
    page = Page((plan.out / "report.html").read_text())
    assert numbers_without_a_file(page, plan.out) == set()
    tables = {path.stem for path in plan.out.glob("*.md")}
    assert page.cells.keys() == tables
    assert tables == {"table", "differences", "contrasts", "power", "scaling", "scaling_law", "verdicts"}
    assert sum(len(cells) for cells in page.cells.values()) > 80
    plain = (plan.out / "summary.csv").read_text().splitlines()[1].split(",")
    assert (
        f"hospital, <N> · AUROC: mean {plain[3]}, sd {plain[4]}, low {plain[5]}, high {plain[6]}, seeds 2"
        in (page.told)
    )
    assert "holds" in " ".join(page.cells["verdicts"])


def test_what_did_not_run_is_named(plan: Plan) -> None:
    page = Page((plan.out / "report.html").read_text())
    assert page.missing == ["absent, <N>: not run"]
    assert "not run or not measured: absent, <N>" in " ".join(page.cells["verdicts"])
    for table in ("table", "contrasts", "verdicts"):
        assert "absent, <N>" in (plan.out / f"{table}.md").read_text()
    assert "absent, <N>: not run" in page.text.partition("Forest")[2], "in the forest plot too"


def test_it_needs_nothing_else(plan: Plan) -> None:
    text = (plan.out / "report.html").read_text()
    page = Page(text)
    assert page.tags.count("script") == 1 and "link" not in page.tags and "iframe" not in page.tags
    assert all(address.startswith(("#", "data:image/webp;base64,")) for address in page.addresses)
    assert page.tags.count("img") == 1, "the sheet; plots are drawn into the page"
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)), "no plot takes another's parts"


@pytest.mark.slow
def test_what_is_drawn_again_is_the_same(plan: Plan) -> None:
    before = {path.name: path.read_bytes() for path in plan.out.iterdir() if path.is_file()}
    write_report(plan)
    again = {path.name: path.read_bytes() for path in plan.out.iterdir() if path.is_file()}
    assert [name for name in before if before[name] != again.get(name)] == []


def test_pictures_of_the_first_seeds_stand_below_each_other(plan: Plan) -> None:
    with Image.open(plan.out / "sheet.png") as sheet:
        assert sheet.size == (40, 2 * (20 + 34))
        assert sheet.convert("RGB").getpixel((35, 40)) == (255, 0, 0)
        assert sheet.convert("RGB").getpixel((35, 94)) == (255, 255, 255), "half-0 is narrower than half-1"
    assert (plan.out / "sheet.pdf").read_bytes().count(b"/Type /Page\n") == 2


def test_tables_sort_and_plots_tell_their_values_at_two_widths(plan: Plan) -> None:
    with chromium() as browser:
        for width in (1280, 420):
            page = browser.new_page(viewport={"width": width, "height": 900})
            told: list[str] = []
            page.on("console", lambda message, told=told: told.append(message.text))
            page.on("request", lambda request, told=told: told.append(request.url))
            page.goto((plan.out / "report.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (
                "tables scroll by themselves"
            )
            assert [url for url in told if not url.startswith(("data:", "file:"))] == []
        column = "#table + .scroll tbody tr > :nth-child(2)"
        head = page.locator("#table + .scroll th button").nth(1)
        for order in ("ascending", "descending"):
            head.click()
            assert page.locator("#table + .scroll th[aria-sort]").get_attribute("aria-sort") == order
            values = [text.split()[0] for text in page.locator(column).all_inner_texts()]
            assert values[-1] == "—", "what is no number stays below"
            numbers = [float(value) for value in values[:-1]]
            assert numbers == sorted(numbers, reverse=order == "descending") and len(set(numbers)) == 4
        titles = page.locator("#picture-forest + figure svg title").all_text_contents()
        assert any(
            title.startswith("once, <N>: +0.") and "over patients and seeds [" in title for title in titles
        )
        page.close()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "results").glob("**/report.html")), ids=lambda path: path.parent.name
)
def test_every_number_of_a_committed_page_is_in_a_committed_file(path: Path) -> None:
    page = Page(path.read_text())
    assert numbers_without_a_file(page, path.parent) == set()
    assert sum(len(cells) for cells in page.cells.values()) > 10
