"""The review in a real browser, by keyboard and by pointer."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browsing import barriers, in_browser
from review_command import WRONG, Review

pytestmark = in_browser

Start = Callable[..., Review]
DECIDED = "number => facts.pages[number].new !== null"


class Visit:
    """The page, what it complained of and what it asked for."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector(".page:focus")

    @property
    def focused(self) -> int:
        found: int = self.page.evaluate("cards.indexOf(document.activeElement)")
        return found

    def go_to(self, number: int) -> None:
        while self.focused != number:
            self.page.keyboard.press("ArrowRight" if self.focused < number else "ArrowLeft")


def decisions(place: Path) -> dict[str, tuple[str, str]]:
    with (place / "run" / "corrections.csv").open(encoding="utf-8", newline="") as file:
        return {row["ID"]: (row["old"], row["new"]) for row in csv.DictReader(file)}


def test_a_screen_reader_gets_all_of_it(browser: Any, review: Start) -> None:
    visit = Visit(browser, review("run").address)
    assert barriers(visit.page) == []


def test_labels_are_decided_by_keyboard_and_what_is_decided_stays(browser: Any, review: Start, place: Path) -> None:
    command = review("run")
    visit = Visit(browser, command.address)
    first, second = WRONG
    one, other = command.number(first), command.number(second)
    visit.go_to(one)
    visit.page.keyboard.press("s")
    visit.page.wait_for_function(DECIDED, arg=one)
    assert decisions(place) == {first: ("7", "0")}, "on disk before anything else is done"
    visit.go_to(other)
    visit.page.keyboard.press("r")
    visit.page.keyboard.type("letter")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_function(DECIDED, arg=other)
    visit.go_to(one)
    for key, new in (("k", "7"), ("d", ""), ("s", "0")):
        visit.go_to(one)
        visit.page.keyboard.press(key)
        visit.page.wait_for_function("([number, value]) => facts.pages[number].new === value", arg=[one, new])
        assert decisions(place)[first] == ("7", new)
    assert decisions(place)[second] == ("0", "10")
    command.kill()

    visit.go_to(one)
    visit.page.keyboard.press("d")
    visit.page.wait_for_selector("#error:visible")
    assert "the command has ended" in visit.page.locator("#error").inner_text()
    assert visit.page.locator(".page").nth(one).get_attribute("data-state") == "relabel", "as it is on disk"

    again = Visit(browser, review("run").address)
    states = [again.page.locator(".page").nth(number).get_attribute("data-state") for number in (one, other)]
    assert states == ["relabel", "relabel"]
    assert again.page.locator("#count").inner_text().startswith("2 of ")
    again.go_to(one)
    again.page.keyboard.press("u")
    again.page.wait_for_function("number => facts.pages[number].new === null", arg=one)
    assert decisions(place) == {second: ("0", "10")}
    assert again.complaints == []


def test_everything_comes_from_this_machine_and_pages_are_seen(browser: Any, review: Start) -> None:
    command = review("run")
    visit = Visit(browser, command.address)
    page = visit.page
    images = page.locator(".page img")
    images.first.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.page img')].every(i => i.complete && i.naturalWidth > 0)"
    )
    page.keyboard.press("z")
    page.wait_for_function("() => document.querySelector('#large img').naturalHeight === 1100")
    page.keyboard.press("Escape")
    assert all(url.startswith((command.address, "data:")) for url in visit.requests)
    assert visit.complaints == []


def test_names_are_shown_as_they_are_and_the_same_page_stands_together(
    browser: Any, review: Start, place: Path
) -> None:
    issues = place / "run" / "label_issues.csv"
    name = "<img src=x onerror='window.hacked=1'>.png"
    lines = ["ID,given,suggested,score,same_as", f"{name},0,7,0.1,10 쪽 3.jpg", "7 쪽 1.jpg,7,0,0.2,"]
    issues.write_text("\n".join([*lines, f"10 쪽 3.jpg,10,10,0.9,{name}"]), encoding="utf-8")
    visit = Visit(browser, review("run").address)
    groups = visit.page.locator(".group")
    assert [groups.nth(i).locator(".page").count() for i in range(2)] == [2, 1]
    assert groups.nth(0).get_attribute("class") == "group same"
    assert name in groups.nth(0).inner_text() and "계약서" in groups.nth(1).inner_text()
    assert visit.page.evaluate("window.hacked === undefined")
    drop = groups.nth(0).get_by_role("button", name="drop").first
    drop.click()
    visit.page.wait_for_function(DECIDED, arg=0)
    assert decisions(place) == {name: ("0", "")}
    drop.click()
    visit.page.wait_for_function("() => facts.pages[0].new === null")
    assert decisions(place) == {}
