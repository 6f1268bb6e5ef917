"""Labelling in a real Chromium: by keyboard, blind, through a cut network, with nothing lost and nothing counted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Route

from service.records import Label, Outcome, RecordedVerdict
from service.station.access import COOKIE
from tests.line import LINE
from tests.servers import until
from tests.station.conftest import Station
from tests.station.study import asked, known_parts, planner

Person = Callable[..., BrowserContext]
NONE_KEPT = "Object.keys(localStorage).every(key => !key.startsWith('redrabbit answer'))"
SIZES = ((1280, 800), (800, 1280))
CROPPED = """() => {
    const [stage, image] = ["#stage", "#stage img"].map(one => document.querySelector(one).getBoundingClientRect());
    return image.top < stage.top || image.bottom > stage.bottom || image.left < stage.left || image.right > stage.right;
}"""


def _fill(station: Station, rejects: int = 0, audits: int = 0) -> None:
    for number in range(rejects + audits):
        station.clock.now += 1
        station.part(f"p{number:03}", Outcome.REJECT if number < rejects else Outcome.AUDIT)


@contextmanager
def _reviewing(station: Station, person: Person, name: str) -> Iterator[Page]:
    """The review page, with its first part on it."""
    page = person(base_url=station.base, viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"/review?inspector={name}")
    page.locator("#stage img").wait_for()
    yield page
    page.close()


def _labels(station: Station) -> dict[str, list[tuple[str, str]]]:
    """{part: [(inspector, label)]}, in the order in which they were recorded."""
    found = station.ledger.labels([f"p{number:03}" for number in range(200)])
    return {part: [(row.label.inspector, row.label.label) for row in rows] for part, rows in found.items()}


def _press(page: Page, key: str, parts: int) -> None:
    """So many parts, each once the one before has gone."""
    for _ in range(parts):
        before = page.locator("#stage img").get_attribute("src")
        page.keyboard.press(key)
        page.locator(f'#stage img[src="{before}"]').wait_for(state="detached")


def test_fifty_parts_by_keyboard_one_taken_back_a_second_and_a_third_look(station: Station, person: Person) -> None:
    """Each part once; the one that was gone back to counts as last said. An audited defect goes to a second inspector and never
    to the first again; where they differ it goes to a third."""
    _fill(station, rejects=45, audits=5)
    with _reviewing(station, person, "ines") as page:
        _press(page, "1", 20)
        page.keyboard.press("Backspace")
        page.get_by_text("Another answer corrects it").wait_for()
        _press(page, "g", 1)
        _press(page, "1", 30)
        page.get_by_text("Nothing is due").wait_for()
        until(lambda: sum(map(len, _labels(station).values())) == 51, "all answers")
        labels = _labels(station)
        assert len(labels) == 50 and {name for rows in labels.values() for name, _ in rows} == {"ines"}
        assert [rows for rows in labels.values() if len(rows) == 2] == [[("ines", "crack"), ("ines", "good")]]
    seconds = sum(
        rows[-1] == ("ines", "crack") and part >= "p045" for part, rows in labels.items()
    )  # audited parts that ines calls defective
    assert seconds >= 4
    with _reviewing(station, person, "otto") as page:
        _press(page, "g", seconds)
        page.get_by_text("Nothing is due").wait_for()
        until(
            lambda: sum(name == "otto" for rows in _labels(station).values() for name, _ in rows) == seconds, "otto's"
        )
    with _reviewing(station, person, "uwe") as page:
        _press(page, "1", seconds)
        page.get_by_text("Nothing is due").wait_for()
    until(lambda: sum(name == "uwe" for rows in _labels(station).values() for name, _ in rows) == seconds, "uwe's")
    assert {name for rows in _labels(station).values() for name, _ in rows if len(rows) == 3} == {"ines", "otto", "uwe"}


def test_two_inspectors_never_have_the_same_part(station: Station, person: Person) -> None:
    """Each has three at once, and all of them are labelled once."""
    _fill(station, rejects=12)
    with _reviewing(station, person, "ines") as one, _reviewing(station, person, "otto") as other:
        for _ in range(3):
            _press(one, "1", 1)
            _press(other, "1", 1)
        until(lambda: len(_labels(station)) == 6, "six labels")
        assert all(len(rows) == 1 for rows in _labels(station).values())


def test_what_is_answered_while_more_is_asked_for_does_not_come_again(station: Station) -> None:
    """Even at the worst moment, when the queue has just read what is due."""
    _fill(station, rejects=1)
    client = station.client()
    asked = {"inspector": "ines", "want": 1}
    assert len(client.post("/v1/review/next", json=asked).json()["parts"]) == 1
    read = station.ledger.unlabelled

    def then_answered(*args: Any) -> Sequence[RecordedVerdict]:
        found = read(*args)
        station.ledger.add_labels([Label("p000", "good", "ines", station.clock.now)])
        return found

    with patch.object(station.ledger, "unlabelled", then_answered):
        assert client.post("/v1/review/next", json=asked).json()["parts"] == []


def test_the_network_is_cut_and_comes_back(station: Station, person: Person) -> None:
    """Answers are kept, in order, and sent once; the page says how many, also after it was closed and opened again."""
    _fill(station, rejects=6)
    context = person(base_url=station.base)
    page = context.new_page()
    page.goto("/review?inspector=ines")
    page.locator("#stage img").wait_for()
    until(lambda: len(station.ledger.leases([LINE])) == 3, "two more parts ahead")
    page.wait_for_load_state("networkidle")
    context.set_offline(True)
    for key in ("1", "g", "1"):
        _press(page, key, 1)
    page.get_by_text("3 answers are kept").wait_for()
    assert _labels(station) == {}
    page.close()
    page = context.new_page()
    context.set_offline(False)
    page.goto("/review?inspector=ines")
    until(lambda: len(_labels(station)) == 3, "the answers")
    page.locator("#stage img").wait_for()
    _press(page, "1", 3)
    until(lambda: len(_labels(station)) == 6, "the rest")
    assert sorted(len(rows) for rows in _labels(station).values()) == [1] * 6
    assert sum(rows == [("ines", "good")] for rows in _labels(station).values()) == 1


def test_nothing_that_reaches_the_browser_tells_what_the_model_said(station: Station, person: Person) -> None:
    """Not the page, not its source, not an answer, not a header, not an address: parts of all kinds look the same."""
    _fill(station, rejects=3, audits=3)
    context = person(base_url=station.base)
    page = context.new_page()
    heard: list[str] = []

    def relay(route: Route) -> None:
        answer = route.fetch()
        if "/static/" not in route.request.url:
            heard.append(f"{route.request.url}\n{answer.headers}")
            heard.append("" if "image" in answer.headers.get("content-type", "") else answer.text())
        route.fulfill(response=answer)

    context.route("**/*", relay)
    page.goto("/review?inspector=ines")
    page.locator("#stage img").wait_for()
    _press(page, "1", 2)
    until(lambda: page.evaluate(NONE_KEPT), "answers sent")  # asks the page: only then are its requests relayed
    assert len(_labels(station)) == 2
    said = "\n".join(heard) + page.content()
    context.unroute_all(behavior="ignoreErrors")
    assert "/v1/review/next" in said and "/v1/review/answers" in said
    for word in ("exceedance", "outcome", "reject", "audit", "band", "0.9", "weight", "second", "p00"):
        assert word not in said.replace("navigat", ""), word


def test_the_models_view_comes_after_the_label_and_ends_corrections(station: Station, person: Person) -> None:
    """Asked for before, it is refused by the server; once shown, the same inspector cannot label the part anew."""
    _fill(station, rejects=3)
    client = station.client()
    (part, *_) = client.post("/v1/review/next", json={"inspector": "ines"}).json()["parts"]
    view = f"/v1/review/{part['lease']}/view?inspector=ines"
    assert client.get(view).status_code == 409
    assert client.get(view.replace("view", "heatmap")).status_code == 404
    answer = {"inspector": "ines", "lease": part["lease"], "label": "good"}
    assert client.post("/v1/review/answers", json=answer).status_code == 200
    assert client.get(view).json()["predicted"] == "crack"
    assert client.get(view.replace("view?", "heatmap?")).status_code == 200
    refused = client.post("/v1/review/answers", json=answer | {"label": "crack"})
    assert refused.status_code == 422 and "seen what the model said" in refused.json()["reason"]
    assert client.get(view.replace("ines", "otto")).status_code == 404


@pytest.mark.parametrize("broken", [True, False], ids=["broken", "gone"])
def test_a_picture_that_cannot_be_shown(station: Station, person: Person, tmp_path: Path, broken: bool) -> None:
    """It is said, can be put aside, and the next part comes."""
    verdict = station.part("p000")
    for file in (tmp_path / "images").rglob("*"):
        if file.is_file():
            file.write_bytes(b"\x89PNG rubbish") if broken else file.unlink()
    assert verdict.image
    page = person(base_url=station.base).new_page()
    page.goto("/review?inspector=ines")
    page.get_by_text("This picture cannot be shown").wait_for()
    page.keyboard.press("s")
    page.get_by_text("Nothing is due").wait_for()
    assert _labels(station) == {} and station.client().get("/v1/queue?inspector=otto").json()["part_id"] == "p000"


def test_a_session_that_ends_keeps_the_answers(start: Callable[..., Station], person: Person) -> None:
    """The person is told to sign in again; then what was kept is sent under the same name."""
    station = start(open_on_loopback=False)
    _fill(station, rejects=4)
    secret = station.token("ines", "inspector")
    context = person(base_url=station.base)
    context.add_cookies([{"name": "redrabbit", "value": secret, "url": station.base}])
    page = context.new_page()
    page.goto("/review")
    page.locator("#stage img").wait_for()
    until(lambda: len(station.ledger.leases([LINE])) == 3, "two more parts ahead")
    page.wait_for_load_state("networkidle")
    context.clear_cookies()
    page.keyboard.press("1")
    page.get_by_text("Sign in again").wait_for()
    context.add_cookies([{"name": "redrabbit", "value": secret, "url": station.base}])
    until(lambda: len(_labels(station)) == 1, "the kept answer")


def _cut_off(station: Station, context: BrowserContext, address: str, parts: int) -> Page:
    """A review page whose network is cut, with all parts but one ahead."""
    page = context.new_page()
    page.goto(address)
    page.locator("#stage img").wait_for()
    until(lambda: len(station.ledger.leases([LINE])) == parts, "the parts ahead")
    page.wait_for_load_state("networkidle")
    context.set_offline(True)
    return page


def test_two_tabs_send_what_was_kept_once(station: Station, person: Person) -> None:
    """Both find the same answers when the network is back; neither loses what the other has not sent."""
    _fill(station, rejects=3)
    context = person(base_url=station.base)
    page = _cut_off(station, context, "/review?inspector=ines", 3)
    other = context.new_page()
    for key in ("1", "g", "1"):
        _press(page, key, 1)
    page.get_by_text("3 answers are kept").wait_for()
    context.set_offline(False)
    other.goto("/review?inspector=ines")
    until(lambda: len(_labels(station)) == 3, "all answers")
    until(lambda: page.evaluate(NONE_KEPT), "answers sent")
    assert [len(rows) for rows in _labels(station).values()] == [1, 1, 1]


def test_what_one_inspector_left_waits_until_he_comes_back(start: Callable[..., Station], person: Person) -> None:
    """Another signs in on the same tablet, in another tab and in this one: nothing goes out under his name, and nothing is lost."""
    station = start(open_on_loopback=False)
    _fill(station, rejects=3)
    cookies = {
        name: {"name": COOKIE, "value": station.token(name, "inspector"), "url": station.base}
        for name in ("ines", "otto")
    }
    context = person(base_url=station.base)
    context.add_cookies([cookies["ines"]])
    page = _cut_off(station, context, "/review", 3)
    for key in ("1", "g", "1"):
        _press(page, key, 1)
    page.get_by_text("3 answers are kept").wait_for()
    context.add_cookies([cookies["otto"]])
    context.set_offline(False)
    page.get_by_text("Sign in again").wait_for()
    page.goto("/review")
    page.get_by_text("Nothing is due").wait_for()
    assert _labels(station) == {}
    context.add_cookies([cookies["ines"]])
    page.goto("/review")
    until(lambda: len(_labels(station)) == 3, "the answers of ines")
    assert {name for rows in _labels(station).values() for name, _ in rows} == {"ines"}


def test_an_empty_queue_looks_again_by_itself(station: Station, person: Person) -> None:
    """It says that nothing is due, and shows the next part when there is one."""
    page = person(base_url=station.base).new_page()
    page.goto("/review?inspector=ines")
    page.get_by_text("Nothing is due").wait_for()
    station.part("p000")
    page.locator("#stage img").wait_for()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_page_is_good_to_everybody(station: Station, person: Person, size: tuple[int, int]) -> None:
    """axe finds nothing serious, nothing jumps when the next part comes, buttons are large, nothing is asked of another host."""
    _fill(station, rejects=6)
    page = person(base_url=station.base, viewport={"width": size[0], "height": size[1]}).new_page()
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => { for (const one of list.getEntries()) window.shift += one.value; })"
        ".observe({ type: 'layout-shift', buffered: true });"
    )
    page.goto("/review?inspector=ines")
    page.locator("#stage img").wait_for()
    page.wait_for_load_state("networkidle")
    page.evaluate("window.shift = 0")
    _press(page, "1", 2)
    assert page.evaluate("window.shift") < 0.02
    assert page.evaluate(CROPPED) is False
    serious = [one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    assert serious == []
    small = page.evaluate(
        "[...document.querySelectorAll('#review button')].filter(one => one.offsetParent && one.getBoundingClientRect().height < 44).length"
    )
    assert small == 0 and hosts == {station.base.split("/")[2]}


def test_parts_of_a_study_look_like_any_other_and_their_answers_are_no_labels(station: Station, person: Person) -> None:
    """Three parts of a study among four that are due: seven keys, seven pictures; four labels, three answers of the study."""
    known_parts(station)
    planner(station).study(asked(parts=3, trials=1, inspectors="ines"))
    _fill(station, rejects=4)
    before = len(station.ledger.labels_after(0, 10_000))
    with _reviewing(station, person, "ines") as page:
        _press(page, "1", 7)
        page.get_by_text("Nothing is due").wait_for()
    until(lambda: len(station.ledger.study_answers("first")) == 3, "the answers of the study")
    until(lambda: len(station.ledger.labels_after(0, 10_000)) == before + 4, "the labels")
    assert sorted(_labels(station)) == ["p000", "p001", "p002", "p003"]
