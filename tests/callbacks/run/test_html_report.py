"""The page of a run says what its summary says, and needs nothing but itself."""

from __future__ import annotations

import inspect
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import callbacks
from callbacks import FeatureCollector, RunSummary
from callbacks.run.html_report import HEADLINES, panels, picture_of, write_report


class Page(HTMLParser):
    """Figures by name, addresses and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.figures: dict[str, float | None] = {}
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tags.append(tag)
        self.addresses += [str(told[name]) for name in ("src", "href") if name in told]
        if "data-figure" in told:
            self.figures[str(told["data-figure"])] = json.loads(str(told["data-value"]))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    (directory / "config.yaml").write_text("model: <b>small</b> & quiet\n")
    tiny.trainer(directory, max_epochs=1).fit(tiny.Model(), tiny.Data(n=40))
    return directory


def test_every_figure_is_that_of_the_summary(run: Path) -> None:
    page = Page((run / "summary.html").read_text())
    summary = json.loads((run / "summary.json").read_text())
    expected = {key: v for key, v in summary.items() if key.split("/")[0] == "val"}
    assert page.figures == expected and len(expected) > 50
    assert f"{summary['val/probe/auroc_macro']:.3f}" in page.text
    low, high = summary["details"]["val/probe"]["intervals"]["auroc_macro"]
    assert f"[{low:.3f}, {high:.3f}]" in page.text


def test_it_needs_nothing_else(run: Path) -> None:
    page = Page((run / "summary.html").read_text())
    assert "script" not in page.tags and "link" not in page.tags
    assert all(address.startswith(("#", "data:image/webp;base64,")) for address in page.addresses)
    pictures = [address for address in page.addresses if address.startswith("data:")]
    assert len(pictures) == len(list(run.glob("pictures/*.png"))) - 1  # curves are drawn here
    assert page.tags.count("polyline") >= 4 and "model: <b>small</b> & quiet" in page.text
    assert "torch 2." in page.text


def test_the_closing_lines_link_it(tiny, tmp_path, capsys) -> None:
    chosen = [FeatureCollector(), RunSummary()]
    tiny.trainer(tmp_path, callbacks=chosen).test(tiny.Model(), tiny.Data(n=12))
    assert (tmp_path / "summary.html").as_uri() in capsys.readouterr().out.split()


def test_a_summary_alone_is_enough(tmp_path: Path) -> None:
    details = '{"test/report": {"note": "scored at < test"}}'
    figures = '"test/vqa/accuracy": 0.5, "test/loss": null'
    (tmp_path / "summary.json").write_text(f'{{{figures}, "details": {details}}}')
    page = Page(write_report(tmp_path).read_text())
    assert "report: scored at < test" in page.text
    assert page.figures == {"test/vqa/accuracy": 0.5, "test/loss": None} and not page.addresses[3:]


@pytest.mark.parametrize("name", HEADLINES)
def test_what_stands_on_top_is_a_figure_of_an_evaluation(name: str) -> None:
    documented = " ".join(str(found.__doc__) for found in vars(callbacks).values() if inspect.isclass(found))
    named = re.escape(re.sub("[it]2[it]_hit", "{i2t,t2i}_hit", name.partition("@")[0]))
    assert re.search(rf"`{named}[@`]", documented)


def test_a_picture_is_named_by_its_file(tmp_path: Path) -> None:
    captions = {
        "val_retrieval_003": "val: retrieval, epoch 3",
        "test_twin_pairs_side": "test: twin pairs side",
    }
    for stem in captions:
        Image.new("L", (30, 20)).save(tmp_path / f"{stem}.png")
    found = {stem: picture_of(tmp_path / f"{stem}.png") for stem in captions}
    assert {stem: picture.caption for stem, picture in found.items()} == captions
    assert {(picture.width, picture.height) for picture in found.values()} == {(30, 20)}


def test_curves_without_a_range_are_drawn() -> None:
    (panel,) = panels({"train/loss": [(0, 1.0)], "val/loss": [(0, 1.0)], "epoch": [(0, 0.0)]})
    assert [line.name for line in panel.lines] == ["train/loss", "val/loss"]
    assert all("nan" not in line.points for line in panel.lines)
