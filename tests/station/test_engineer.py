"""The pages of a quality engineer, in a real Chromium: live, reachable by keyboard and by ear, still, and of this machine alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from service.records import Label, Outcome
from service.station.access import COOKIE
from tests.line import LINE
from tests.station.conftest import Station
from tests.station.scene import MISSES, RETURN, fill, name

Person = Callable[..., BrowserContext]

MISS = name(next(iter(MISSES)))
PATHS = (
    "/",
    "/parts",
    "/parts?id=nothing",
    "/parts?since=yesterday",
    f"/parts/{MISS}",
    f"/parts/{name(RETURN)}",
    "/misses",
    "/confusion",
    "/containment?line=a",
    "/pages",
    "/parts/nothing",
    "/trail?before=yesterday",
)
SIZES = ((1280, 800), (800, 1280))
LATER = 8000


@pytest.fixture
def paged(station: Station) -> Station:
    """The filled line, and then so many misses that a page is raised."""
    fill(station)
    for number in range(200, 240):
        verdict = station.part(f"q{number}", Outcome.AUDIT if number % 2 else Outcome.REJECT)
        names = ("ines", "otto") if number % 2 else ("ines",)
        station.ledger.add_labels([Label(verdict.part_id, "crack", who, station.clock.now) for who in names])
        station.clock.now += 1
    station.clock.now += 120
    return station


@contextmanager
def _watching(page: Page, base: str) -> Iterator[list[str]]:
    """Collects what must not happen: requests to elsewhere, errors of scripts, and what the policy forbids."""
    wrong: list[str] = []
    page.on("request", lambda asked: None if asked.url.startswith((base, "data:")) else wrong.append(asked.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    yield wrong


@pytest.mark.parametrize("path", PATHS)
def test_everybody_can_use_every_page(paged: Station, person: Person, path: str) -> None:
    """axe finds nothing serious; everything that can be pressed is reached by Tab and large enough for a glove; nothing jumps
    while the page loads; nobody else is asked for anything; the width of a tablet is enough."""
    for width, height in SIZES:
        page = person(base_url=paged.base, viewport={"width": width, "height": height}).new_page()
        page.add_init_script(
            "window.jumped = 0; new PerformanceObserver(list => list.getEntries().forEach(one => window.jumped += one.value))"
            ".observe({type: 'layout-shift', buffered: true})"
        )
        with _watching(page, paged.base) as wrong:
            page.goto(path, wait_until="networkidle")
            found = Axe().run(page).response["violations"]
            assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
            assert width < height or _unreached(page) == []  # the order is the same at both sizes
            assert page.evaluate(SMALL) == []
            assert page.evaluate("window.jumped") < 0.02
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert wrong == []


SMALL = """[...document.querySelectorAll('button, input:not([type=hidden]), select, summary, .button, header nav a')]
    .filter(one => one.getBoundingClientRect().height < 44).map(one => one.outerHTML)"""


def _unreached(page: Page) -> list[str]:
    """What can be pressed or filled in, and is not reached by Tab."""
    page.evaluate(
        "document.activeElement.blur(); window.reached = new Set(); document.body.tabIndex = -1; document.body.focus()"
    )
    wanted = "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary')].filter(one => one.checkVisibility())"
    for _ in range(int(page.evaluate(f"{wanted}.length")) * 3 + 12):  # a field for date and time has seven stops
        page.keyboard.press("Tab")
        page.evaluate("window.reached.add(document.activeElement)")
    unreached: list[str] = page.evaluate(f"{wanted}.filter(one => !window.reached.has(one)).map(one => one.outerHTML)")
    return unreached


def _figures(page: Page) -> tuple[float, float, float]:
    """Limits and evidence as Today shows them."""
    figures = page.locator("#line-a .figures").first
    evidence = page.locator("#line-a [data-evidence]").first.get_attribute("data-evidence")
    return (
        float(figures.get_attribute("data-lower") or "nan"),
        float(figures.get_attribute("data-upper") or "nan"),
        float(evidence or "nan"),
    )


def _said(station: Station) -> tuple[float, float, float]:
    """The same as /v1/quality says it."""
    lines: list[Any] = station.client().get("/v1/quality").json()["lines"]
    line = next(one for one in lines if one["line"] == LINE)
    row = next(row for row in line["quality"] if row["defect"] == "crack")
    return row["recall"]["lower"], row["recall"]["upper"], line["evidence"][0]["evidence"]


def test_today_follows_the_labels_and_keeps_the_place(station: Station, person: Person) -> None:
    """Labels come in; limits and evidence change without reloading, and are those of /v1/quality. What was open stays open, the
    focus and the half-filled view stay where they were."""
    fill(station)
    page = person(base_url=station.base, viewport={"width": 800, "height": 400}).new_page()
    page.goto("/")
    before = _figures(page)
    assert before == pytest.approx(_said(station))
    page.evaluate("window.never_reloaded = true")
    page.locator("#more-a summary").click()
    page.locator("#camera-a-left a").focus()
    page.evaluate("window.scrollTo(0, 60)")  # below it something may grow, and nothing above
    labels = [
        {"part_id": name(number), "label": "crack", "inspector": who}
        for number in (65 + 4, 73, 81)
        for who in ("eva", "olga")
    ]
    labels += [{"part_id": name(number), "label": "crack", "inspector": "zoe"} for number in (73, 81)]
    assert {one["status"] for one in station.client().post("/v1/labels", json=labels).json()} == {"recorded"}
    station.clock.now += 1
    expect(page.locator("#line-a .figures").first).not_to_have_attribute("data-lower", str(before[0]), timeout=LATER)
    after = _figures(page)
    assert after == pytest.approx(_said(station))
    assert after[0] < before[0] and after[2] > before[2]
    assert page.evaluate("window.never_reloaded") and page.evaluate("window.scrollY") == 60
    assert page.locator("#more-a").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.closest('li')?.id") == "camera-a-left"


def test_a_note_that_is_being_written_is_not_lost(paged: Station, person: Person) -> None:
    """While the page goes on being fresh around it."""
    page = person(base_url=paged.base).new_page()
    page.goto("/")
    page.get_by_role("textbox", name="note").fill("lens cl")
    foot = page.locator(".foot").inner_text()
    paged.clock.now += 5
    expect(page.locator(".foot")).not_to_have_text(foot, timeout=LATER)
    page.keyboard.type("eaned")
    expect(page.get_by_role("textbox", name="note")).to_have_value("lens cleaned")


def test_a_station_that_does_not_answer_is_not_believed(station: Station, person: Person) -> None:
    """The page says so, and of when its figures are; when the station is back, so is the page."""
    fill(station)
    context = person(base_url=station.base)
    page = context.new_page()
    page.goto("/")
    context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("The station does not answer. What you see is of", timeout=LATER)
    context.set_offline(False)
    expect(page.locator("#stale")).to_have_text("", timeout=LATER)


def test_a_page_is_taken_on_with_a_note_that_stays(paged: Station, person: Person) -> None:
    """From Today to what is to be held, lot by lot; the note stands in the list of all pages for whoever comes after."""
    context = person(base_url=paged.base)
    page = context.new_page()
    page.goto("/")
    said = page.locator("#advice").inner_text()
    page.get_by_role("link", name="What to hold, lot by lot").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Hold these parts of line a")
    held = paged.client().get("/v1/containment", params={"line": LINE}).json()
    rows = page.locator(".lots tbody tr")
    assert rows.count() == len(held["lots"])
    assert sum(int(cell) for cell in page.locator(".lots tbody td:nth-child(2)").all_inner_texts()) == held["parts"]
    assert f"Hold the {held['parts']} parts" in said  # the challenge part among them is nobody's to hold
    page.get_by_label("What is being done").fill("lens cleaned, lots held")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page).to_have_url(f"{paged.base}/")
    page.goto("/pages")
    expect(page.locator(".pages")).to_contain_text("acknowledged")
    expect(page.locator(".pages")).to_contain_text("lens cleaned, lots held")
    page.goto("/containment?line=a")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such page stands")


def test_from_a_miss_to_its_part_and_on_to_the_neighbours(station: Station, person: Person) -> None:
    """Picture and heatmap are there, the two inspectors, what it stands for; the next part of the line is one press away."""
    fill(station)
    page = person(base_url=station.base).new_page()
    page.goto("/misses")
    page.locator(f'.gallery a[href="/parts/{MISS}"]').click()
    expect(page.get_by_role("heading", level=1)).to_have_text(MISS)
    expect(page.locator("main")).to_contain_text("stands for 8 passed parts")
    for picture in page.locator("img.picture").all():
        assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
    page.locator('.beside a[rel="next"]').click()
    expect(page.get_by_role("heading", level=1)).to_have_text("p050")


def test_a_picture_that_is_broken_says_so(station: Station, person: Person) -> None:
    """In its place, and the page goes on."""
    verdict = station.part("p1")
    file = next(path for path in station.images._kept.rglob("*") if path.name.startswith(verdict.image))
    file.write_bytes(b"\x89PNG rubbish")
    page = person(base_url=station.base).new_page()
    page.goto("/parts/p1")
    expect(page.locator("main")).to_contain_text("No picture to show: the picture of part p1")
    expect(page.locator("main")).to_contain_text("Scores")
    answer = station.client().get("/parts/p1/picture.jpg")
    assert answer.status_code == 404 and "cannot be shown" in answer.json()["detail"]


def test_who_is_signed_out_meanwhile_is_led_to_the_door(station: Station, person: Person) -> None:
    """Old figures do not stay on the screen of somebody who may not see them any more."""
    context = person(base_url=station.base)
    context.add_cookies([{"name": COOKIE, "value": station.token("eva", "engineer"), "url": station.base}])
    page = context.new_page()
    page.goto("/")
    station.ledger.revoke_token("eva")
    expect(page).to_have_url(f"{station.base}/sign-in", timeout=LATER)
