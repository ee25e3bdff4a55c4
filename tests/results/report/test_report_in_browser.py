"""The report as a browser shows it from a file, without a network."""

import itertools
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import optuna
import pytest
from browsing import barriers, in_browser
from results.report.studies import new_study, trial

from docclf.results.report.page import write_report

pytestmark = in_browser

SIZES = {"wide": (1400, 900), "tablet": (768, 1024), "narrow": (360, 740)}


class Visit:
    """A page that was opened offline, and everything that it complained of."""

    def __init__(self, browser: Any, path: Path, size: str = "wide", theme: str = "light") -> None:
        width, height = SIZES[size]
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, offline=True, has_touch=size == "narrow"
        )
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.requests: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        if path.name == "report.html":
            self.page.wait_for_selector("html[data-drawn=all]", state="attached", timeout=60_000)

    def column(self, number: int) -> list[str]:
        """Texts of a column of the table of trials."""
        cells = self.page.locator(f"#trials tbody tr > :nth-child({number + 1})")
        return [text.strip() for text in cells.all_inner_texts()]

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def report(search: tuple[optuna.Study, Path]) -> Path:
    study, folder = search
    pages = folder.parents[1] / "pages"
    return write_report(study, folder, pages=pages, command="cd here && python go_on")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_picture_is_drawn_without_an_error_or_a_request(
    browser: Any, report: Path, tmp_path: Path, size: str, theme: str
) -> None:
    visit = Visit(browser, report, size, theme)
    page = visit.page
    shots = Path(os.environ.get("REPORT_SCREENSHOTS", tmp_path))
    page.screenshot(path=str(shots / f"report-{theme}-{size}.png"), full_page=True)
    plots = page.locator(".plot")
    assert plots.count() == 12
    for i in range(plots.count()):
        box = plots.nth(i).locator("svg.main-svg").first.bounding_box()
        assert box["width"] > 200 and box["height"] > 90, plots.nth(i).get_attribute("id")
    marks = ".plot .point, .plot .js-line, .plot .hm image"
    drawn = page.evaluate(
        "(marks) => [...document.querySelectorAll('.plot')].filter(p => !p.querySelector(marks)).map(p => p.id)", marks
    )
    assert drawn == [], "pictures without a mark"
    images = page.locator("img")
    assert images.count() > 4
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith(("file://", "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0], "nothing sticks out sideways"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(16, 20, 26)") == (theme == "dark")
    visit.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_a_keyboard_and_a_screen_reader_get_all_of_it(browser: Any, report: Path, size: str, theme: str) -> None:
    for path in (report, report.parent / "0" / "index.html"):
        visit = Visit(browser, path, size, theme)
        assert barriers(visit.page) == []
        visit.close()


def test_names_are_shown_as_they_are_written_and_never_run(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    page = visit.page
    assert page.evaluate("window.hacked === undefined")
    assert page.locator("img[src=x]").count() == 0
    ticks = page.locator("#plot-classes .yaxislayer-above text, #plot-classes .ytick text").all_text_contents()
    assert {"계약서", "<script>window.hacked = 1</…", "--blue"} <= set(ticks)
    assert any(text.startswith("<b>bill</b>") for text in ticks)
    assert "서류 <img src=x onerror='window.hacked=2'>" in page.locator(".overline").inner_text()
    assert "<script>window.hacked = 1</script>" in page.locator(".pairs").inner_text()
    visit.close()


def test_a_heading_sorts_the_table_and_says_so(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    heading = visit.page.locator("#trials thead th").nth(2)
    assert visit.column(0) == [str(i) for i in range(12)]
    heading.locator("button").click()
    values = [float(text) for text in visit.column(2) if text]
    assert values == sorted(values, reverse=True) and len(values) == 8
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").press("Enter")
    assert [float(text) for text in visit.column(2) if text] == sorted(values)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert visit.page.locator("#trials thead th[aria-sort]").count() == 1
    visit.close()


def test_trials_without_a_value_stay_at_the_end_either_way(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    headings = visit.page.locator("#trials thead th").all_inner_texts()
    rescored = headings.index("rescored")
    for _ in range(2):
        visit.page.locator("#trials thead th button").nth(rescored).click()
        texts = visit.column(rescored)
        assert all(texts[:2]) and not any(texts[2:])
    visit.close()


def test_the_table_is_filtered_by_words_and_by_state(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    page = visit.page
    page.select_option("#state", "pruned")
    assert visit.column(0) == ["2", "5", "8", "11"]
    assert page.locator("#count").inner_text() == "4 of 12 trials"
    page.select_option("#state", "")
    page.fill("#find", "BASELINE complete")
    assert visit.column(0) == ["0"]
    page.fill("#find", "nothing like it")
    assert visit.column(0) == []
    visit.close()


def test_every_link_leads_to_a_file_that_is_there(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    links = visit.page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
    places = {Path(unquote(link.removeprefix("file://").partition("#")[0])) for link in links}
    assert {report.parent / str(i) / "index.html" for i in range(12)} <= places
    assert {place for place in places if not place.exists()} <= {report.parent / "trials.csv"}
    visit.page.locator("#trials tbody a").first.click()
    visit.page.wait_for_url("**/0/index.html")
    assert visit.page.locator("h1").inner_text().startswith("Trial 0")
    assert visit.page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    visit.page.locator(".overline a").click()
    visit.page.wait_for_url("**/report.html")
    assert visit.complaints == []
    visit.close()


def test_the_switch_redraws_in_the_other_colours_and_is_remembered(browser: Any, report: Path) -> None:
    visit = Visit(browser, report)
    page = visit.page
    ticks = "getComputedStyle(document.querySelector('#plot-classes .ytick text')).fill"
    before = page.evaluate(ticks)
    page.keyboard.press("Tab")  # the link that skips
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("html[data-theme=dark][data-drawn=all]", state="attached")
    assert page.evaluate(ticks) != before
    assert page.locator("#theme").get_attribute("aria-pressed") == "true"
    page.reload()
    page.wait_for_selector("html[data-theme=dark][data-drawn=all]", state="attached")
    assert visit.complaints == []
    visit.close()


# WCAG 2.2, 1.4.3: the contrast of text is (L1 + 0.05) / (L2 + 0.05) of the relative luminances, at least 4.5.
CONTRAST = """
() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *:not(script):not(style):not(noscript)")) {
    if (element.closest(".bar, :disabled") || !element.getClientRects().length) continue;
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own) continue;
    const svg = element.ownerSVGElement;
    const text = parse(svg ? getComputedStyle(element).fill : getComputedStyle(element).color);
    if (element.closest(".annotation")) continue; // on a cell of a matrix, which is not its ancestor
    const [a, b] = [light(text), light(ground(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(`${element.tagName} ${element.textContent.slice(0, 30)}`);
  }
  return poor;
}
"""


def test_what_is_printed_is_drawn_whole_as_wide_as_paper_and_light(browser: Any, report: Path) -> None:
    visit = Visit(browser, report, theme="dark")
    page = visit.page
    widths = "() => [...document.querySelectorAll('.plot')].map(p => (p.querySelector('.main-svg') || {}).clientWidth)"
    wide = page.evaluate(widths)
    page.evaluate("document.querySelectorAll('.plot').forEach((p) => Plotly.purge(p))")
    assert page.evaluate(widths) == [None] * 12
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(widths) == [600] * 12
    assert page.locator("html[data-theme=light]").count() == 1
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_selector("html[data-theme=dark][data-drawn=all]", state="attached")
    assert page.evaluate(widths) == wide
    visit.close()


def test_the_axes_of_few_trials_have_whole_numbers_and_exponents(browser: Any, tmp_path: Path) -> None:
    trials = [trial(i) for i in range(3)]
    for rate, one in zip((2e-5, 3e-5, 5e-5), trials, strict=True):
        one.params["optimizer.lr"] = rate
    visit = Visit(browser, write_report(new_study(trials), None, output=tmp_path / "report.html"))
    ticks = "(key) => [...document.querySelectorAll(`#plot-${key} .xtick text`)].map((text) => text.textContent)"
    assert visit.page.evaluate(ticks, "history-0") == ["0", "1", "2"]
    keys = visit.page.evaluate("[...document.querySelectorAll('.plot')].map((p) => p.id.slice(5))")
    texts = [text for key in keys for text in visit.page.evaluate(ticks, key)]
    assert "2e\u22125" in texts and not [text for text in texts if "\u03bc" in text], "not 20 millionths by a letter"
    visit.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_texts_have_the_contrast_that_wcag_asks_for(browser: Any, report: Path, theme: str) -> None:
    for path in (report, report.parent / "0" / "index.html"):
        visit = Visit(browser, path, theme=theme)
        assert visit.page.evaluate(CONTRAST) == []
        visit.close()


def test_a_reader_who_hears_the_page_gets_headings_in_order_and_a_text_for_every_picture(
    browser: Any, report: Path
) -> None:
    visit = Visit(browser, report)
    page = visit.page
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    plots = page.locator(".plot")
    assert all(len(plots.nth(i).get_attribute("aria-label")) > 30 for i in range(plots.count()))
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("html[lang=en]").count() == 1
    visit.close()
