"""The demo page in a browser: every tab used, bad input answered, no other server asked, nothing stored."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.demo.encoder import Encoder
from scripts.demo.page import build_page
from scripts.demo.patients import Patients
from scripts.demo.serve import SHIPPED, generator, main, served
from scripts.demo.tab import NO_ENCODER
from synthesis.configuration import located
from tests.browser import chromium
from tests.radiograph_files import save, save_dicom
from tests.tiny_generators import stable_diffusion

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio")  # what it calls of pandas


@pytest.fixture(scope="module")
def patients() -> Patients:
    return Patients(image_size=64)


@pytest.fixture(scope="module")
def site(patients: Patients, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """The page with the shipped encoder and a generator of random weights."""
    directory = stable_diffusion(tmp_path_factory.mktemp("generator"))
    encoder = Encoder(located(SHIPPED), patients.catalog)
    with served(patients, encoder, dict([generator(f"tiny={directory}")])) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@contextmanager
def visit(browser: Any, url: str, width: int) -> Iterator[Any]:
    """Give the page in a window of some width, after its first pair."""
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.set_default_timeout(40_000)
    asked: list[str] = []
    failed: list[str] = []
    tab.on("request", lambda sent: asked.append(sent.url))
    tab.on("pageerror", lambda error: failed.append(str(error)))
    tab.goto(url)
    tab.wait_for_selector("#pair img")
    yield tab
    tab.close()
    assert [address for address in asked if not address.startswith((url, "data:", "blob:"))] == []
    assert failed == []


@pytest.fixture(scope="module")
def opened(site: tuple[Any, str], browser: Any) -> Iterator[Any]:
    with visit(browser, site[1], 1280) as tab:
        yield tab


def go(tab: Any, name: str) -> None:
    """Open a tab; in a narrow window Gradio may have put it into the menu behind the others."""
    tab.wait_for_selector("[role=tab]")
    wanted = tab.get_by_role("tab", name=name, exact=True)
    if not wanted.count():
        tab.locator(".overflow-menu > button").click()
        wanted = tab.locator(".overflow-dropdown button", has_text=name)
    wanted.first.click()


def press(tab: Any, name: str) -> None:
    tab.get_by_role("button", name=name, exact=True).click()


def until(tab: Any, selector: str, act: Callable[[], None]) -> None:
    """Act until something appears: what is typed while the page draws an answer is lost on a slow machine."""
    from playwright.sync_api import TimeoutError as NothingThere

    for _ in range(3):
        act()
        with contextlib.suppress(NothingThere):
            tab.wait_for_selector(selector, timeout=10_000)
            return
    tab.wait_for_selector(selector)


def expect(part: Any) -> Any:
    """Return what waits until something holds of a part of the page, which is drawn piece by piece."""
    from playwright.sync_api import expect as waiting

    waiting.set_options(timeout=20_000)
    return waiting(part)


def choose(tab: Any, label: str, name: str) -> None:
    tab.get_by_label(label, exact=True).fill(name)
    tab.get_by_label(label, exact=True).press("Enter")


def make_pair(tab: Any, second: str, seed: int) -> None:
    """Make a right pleural effusion and another finding."""
    go(tab, "Pair")

    def act() -> None:
        choose(tab, "Finding 1", "pleural effusion")
        choose(tab, "Finding 2", second)
        for number, finding in ((1, "pleural effusion"), (2, second)):  # not lost while the page was drawn
            expect(tab.get_by_label(f"Finding {number}")).to_have_value(finding)
        tab.get_by_label("Patient seed").fill(str(seed))
        press(tab, "Make the pair")

    until(tab, f"#pair >> text=radiograph of patient {seed}", act)


def radiograph(seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((80, 64)) * 4000).astype(np.uint16)


def test_a_pair_is_made_of_what_is_chosen(opened: Any) -> None:
    assert "no medical device" in opened.locator("#head").inner_text()
    assert re.search(rf"{SHIPPED}.*zero-shot AUROC.*0\.\d{{3}} \[", opened.locator("#head").inner_text())
    expect(opened.locator("#pair img")).to_have_count(4)  # radiograph, findings outlined, two twins
    report = opened.get_by_label("Report – change it").input_value()
    assert "effusion" in report and "pacemaker" in report

    until(opened, "#pair >> text=/pneumothorax/", lambda: make_pair(opened, "pneumothorax", 5))
    expect(opened.get_by_label("Report – change it")).not_to_have_value(re.compile("pacemaker"))

    def choose_twice() -> None:
        choose(opened, "Finding 2", "pleural effusion")
        press(opened, "Make the pair")

    until(opened, "#impossible >> text=pleural effusion is chosen twice", choose_twice)
    expect(opened.locator("#pair img")).to_have_count(4)  # the last pair stays

    press(opened, "Draw another case")
    opened.wait_for_selector("#pair >> text=radiograph of patient 6")
    expect(opened.locator("#impossible")).to_be_hidden()


def test_an_edited_report_is_compared_with_the_radiograph(opened: Any) -> None:
    make_pair(opened, "pacemaker", 2)
    press(opened, "Compare the text with the radiograph")
    opened.wait_for_selector("#reading >> text=The text agrees with the radiograph")
    report = opened.get_by_label("Report – change it")
    report.fill(
        "FINDINGS: No pleural effusion. Right pacemaker. <img src=x onerror=alert(1)> Large pneumothorax."
    )
    press(opened, "Compare the text with the radiograph")
    said = opened.locator("#reading [role=alert]")
    said.wait_for()
    assert "pleural effusion: denied, but the radiograph shows it" in said.inner_text()
    assert "pneumothorax: stated, but the radiograph does not show it" in said.inner_text()
    likeness = {
        row.locator("th").inner_text(): float(row.locator("td.number").inner_text())
        for row in opened.locator("#reading table.bars tr").all()
    }
    assert likeness["its own report"] > likeness["the text as it stands"]
    expect(opened.locator("#reading img")).to_have_count(0)  # what is typed stays text


def test_a_sentence_is_mapped_onto_the_radiograph(opened: Any) -> None:
    go(opened, "Map")
    press(opened, "Draw the map")
    opened.wait_for_selector("#map img >> nth=1")
    assert (
        "“Large right pleural effusion.”: cosine with the whole image" in opened.locator("#map").inner_text()
    )
    first = opened.locator("#map img").nth(1).get_attribute("src")
    opened.get_by_role("textbox", name="Sentence", exact=True).fill("Pacemaker.")
    press(opened, "Draw the map")
    opened.wait_for_selector("#map >> text=“Pacemaker.”")
    assert opened.locator("#map img").nth(1).get_attribute("src") != first
    opened.get_by_role("textbox", name="Sentence", exact=True).fill(" ")
    press(opened, "Draw the map")
    opened.wait_for_selector("#map >> text=Type a sentence.")


def test_an_upload_is_scored_and_not_kept(opened: Any, tmp_path: Path) -> None:
    go(opened, "Upload")
    opened.set_input_files("input[type=file]", save_dicom(tmp_path / "chest.dcm", radiograph()))
    opened.wait_for_selector("#answers table.bars")
    assert opened.locator("text=chest.dcm: the middle square").is_visible()
    expect(opened.locator("#answers table.bars tr")).to_have_count(4)
    expect(opened.locator("#answers blockquote")).to_have_count(3)
    opened.get_by_label("Prompts, one a line").fill("a<b | no a<b")
    press(opened, "Score")
    opened.wait_for_selector("#answers table.bars th >> text=a<b")
    opened.get_by_label("Prompts, one a line").fill("one | two | three")
    press(opened, "Score")
    opened.wait_for_selector("text=/prompt 'one | two | three'/")
    kept = Path(os.environ["GRADIO_TEMP_DIR"])
    assert [path for path in kept.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_a_bad_upload_is_answered_in_the_page(opened: Any, tmp_path: Path) -> None:
    go(opened, "Upload")
    problem = opened.locator("#problem [role=alert]")
    (tmp_path / "notes.png").write_text("no picture")
    opened.set_input_files("input[type=file]", tmp_path / "notes.png")
    problem.wait_for()
    assert problem.inner_text().startswith("notes.png: ") and "table" not in problem.inner_text()
    expect(opened.locator("#answers table")).to_have_count(0)
    colour = np.zeros((40, 40, 3), np.uint8) + np.array([200, 20, 20], np.uint8)
    colour[:20] //= 2
    opened.set_input_files("input[type=file]", save(tmp_path / "red.png", colour))
    opened.wait_for_selector("#problem >> text=red.png: in colour")
    assert "tick the box that turns it grey" in problem.inner_text()
    opened.get_by_label("Prompts, one a line").fill("")
    opened.get_by_label("Turn a picture in colour grey").check()
    opened.set_input_files("input[type=file]", tmp_path / "red.png")
    opened.wait_for_selector("#answers table.bars")
    expect(opened.locator("#problem")).to_be_hidden()
    whole_catalogue = 30  # without a prompt
    expect(opened.locator("#answers table.bars tr")).to_have_count(whole_catalogue)


def test_generators_draw_the_same_case(opened: Any) -> None:
    make_pair(opened, "pacemaker", 3)
    go(opened, "Generators")
    press(opened, "Draw the case of the first tab")
    opened.wait_for_selector("#generators >> text=/tiny – .* s an image/")
    expect(opened.locator("#generators img")).to_have_count(4)
    assert opened.locator("#generators >> text=/cosine with the report/").count() >= 4


def test_the_page_fits_a_narrow_window(site: tuple[Any, str], browser: Any) -> None:
    with visit(browser, site[1], 390) as tab:
        shown = {"Pair": "#reading table", "Map": "#map img", "Upload": "#answers table"}
        buttons = ("Compare the text with the radiograph", "Draw the map", "Score")
        for (name, answer), button in zip(shown.items(), buttons, strict=True):
            go(tab, name)
            press(tab, button)
            tab.wait_for_selector(answer)
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390, name
        go(tab, "Generators")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_browser_asks_no_other_server_for_this_page(opened: Any) -> None:
    refused = "fetch('https://example.org/').then(() => 'asked', error => String(error))"
    blocked = (
        "new Promise(done => { addEventListener('securitypolicyviolation', event => done(event.blockedURI), "
        f"{{once: true}}); {refused}; }})"
    )
    assert opened.evaluate(blocked).startswith("https://example.org")


def test_only_this_computer_is_served(site: tuple[Any, str]) -> None:
    page, url = site
    assert url.startswith("http://127.0.0.1:") and page.server.config.host == "127.0.0.1"
    assert page.share is False and page.analytics_enabled is False


def test_what_is_missing_is_said(patients: Patients) -> None:
    texts = str(build_page(patients, None, {}).get_config_file())
    assert NO_ENCODER in texts and "No trained generator was given" in texts


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nowhere\.ckpt"):
        main([f"--encoder={tmp_path / 'nowhere.ckpt'}"])
    with pytest.raises(SystemExit, match=str(tmp_path)):
        main([f"--generator={tmp_path}"])
