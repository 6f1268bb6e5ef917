"""The agreement page and a study's report: in a browser, as JSON, as a file, and from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from typer.testing import CliRunner

from service.cli import app
from service.demo.replay import SimulatedClock
from service.errors import InvalidInput
from service.ledger.images import FolderImages
from service.ledger.store import open_ledger
from service.records import Label
from tests.line import LINE, MODEL
from tests.station.conftest import OTHER, Station
from tests.station.study import answer_all, asked, known_parts, planner

SIZES = ({"width": 1280, "height": 800}, {"width": 800, "height": 1280})
Person = Callable[..., BrowserContext]


@pytest.fixture
def done(station: Station) -> Station:
    """Eva is always right, Max calls one crack good each time; Li has not begun the second study."""
    known_parts(station)
    planner(station).study(asked(inspectors="eva max"))
    missed = next(part.part_id for part in station.ledger.study_parts("first") if part.reference == "crack")
    answer_all(station, "eva")
    answer_all(station, "max", wrong=missed)
    planner(station).study(asked("second", inspectors="li eva"))
    answer_all(station, "eva")
    return station


def fits(page: Page) -> bool:
    """Nothing is wider than the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def faults(page: Page) -> list[str]:
    """What axe finds serious."""
    return [
        f"{rule['id']}: {rule['nodes'][0]['html']}"
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("size", SIZES, ids=["wide", "tall"])
def test_the_agreement_page_leads_to_the_reports(done: Station, person: Person, size: dict[str, int]) -> None:
    """By keyboard alone; it fits the screen, reads aloud, and asks nobody else for anything."""
    page = person(base_url=done.base, viewport=size).new_page()
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    page.goto("/agreement")
    expect(page.get_by_role("row", name="ida and otto (Cohen)")).to_contain_text("1.00")
    expect(page.get_by_role("row", name="second")).to_contain_text("12 of 24")
    assert fits(page) and faults(page) == []
    page.get_by_role("link", name="first").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Study first")).to_be_visible()
    assert fits(page) and faults(page) == []
    assert all(url.startswith(done.base) for url in asked_for)


def test_a_report_says_who_erred_and_where(done: Station, person: Person) -> None:
    """Max is not acceptable, by what, and the part that he missed is there with its picture; Eva is."""
    page = person(base_url=done.base, viewport=SIZES[0]).new_page()
    page.goto("/studies/first")
    advice = page.locator(".advice")
    expect(advice).to_contain_text("eva: acceptable by the figures; so few parts do not prove it.")
    expect(advice).to_contain_text("max: not acceptable by miss share.")
    against = page.get_by_role("table").first
    expect(against.get_by_role("row", name="max")).to_contain_text("5 of 6 parts")
    figure = page.get_by_role("figure")
    expect(figure).to_have_count(1)
    expect(figure).to_contain_text("max: good, good")
    assert figure.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.goto("/studies/second")
    expect(page.locator(".advice")).to_contain_text("Not complete: 12 of 24 answers are missing")
    expect(page.locator(".advice")).to_contain_text("li: nothing to judge by yet.")


def test_a_report_prints_without_the_page_around_it(done: Station, person: Person) -> None:
    """No header, no links back, black on white."""
    page = person(base_url=done.base, viewport=SIZES[1]).new_page()
    page.goto("/studies/first")
    page.emulate_media(media="print")
    expect(page.locator("body > header")).to_be_hidden()
    expect(page.get_by_role("link", name="Agreement")).to_be_hidden()
    expect(page.get_by_role("heading", name="Study first")).to_be_visible()


def test_who_may_see_a_study(done: Station) -> None:
    """Engineers of its line. An inspector would learn which parts it is about; another line's engineer finds nothing."""
    secrets = {
        name: done.token(name, role, *lines)
        for name, role, lines in (("eva", "inspector", ()), ("e1", "engineer", (LINE,)), ("e2", "engineer", (OTHER,)))
    }
    for path in ("/agreement", "/studies/first", "/v1/studies/first"):
        assert done.client(secrets["eva"]).get(path).status_code == 403
        assert done.client(secrets["e1"]).get(path).status_code == 200
    assert done.client(secrets["e2"]).get("/studies/first").status_code == 404
    assert "/studies/first" not in done.client(secrets["e2"]).get("/agreement").text
    assert done.client().get("/studies/none").json() == {"detail": "there is no such study"}


def test_the_report_as_json(done: Station) -> None:
    """Each figure with limits, counts and words; null and a reason where there is none."""
    found = done.client().get("/v1/studies/second").json()
    assert (found["state"], found["answers"]) == ("open", {"given": 12, "asked_for": 24})
    assert found["parts"] == {"total": 6, "defects": found["parts"]["defects"], "defect": 2, "good": 2, "borderline": 2}
    li, eva = found["inspectors"]
    assert (li["missed"]["point"], li["missed"]["lower"], li["missed"]["reason"]) == (
        None,
        None,
        "no defect was answered yet",
    )
    assert eva["effectiveness"]["point"] == 1.0 and eva["effectiveness"]["lower"] < 0.6
    assert eva["effectiveness"]["in_words"] == "acceptable (limits: acceptable to not acceptable)"
    assert found["kappa_of_all"]["kappa"] is None


def test_names_that_somebody_made_up_stay_text(station: Station) -> None:
    """An inspector's name and a label in a report are words, not a page."""
    known_parts(station)
    station.ledger.add_labels([Label("a-good-0", "crack", "<b>x</b>", station.clock.now)])
    page = station.client().get("/agreement").text
    assert "&lt;b&gt;x&lt;/b&gt;" in page and "<b>x</b>" not in page


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A line.yaml over a ledger with known parts of 1970: long ago."""
    (tmp_path / "thresholds.yaml").write_text("defaults: {}\n")
    (tmp_path / "line.yaml").write_text(f"line: {LINE}\nmodel: m.onnx\ncameras: {{left: 'folder://{tmp_path}'}}\n")
    clock = SimulatedClock()
    (tmp_path / "var").mkdir()
    with closing(open_ledger(f"sqlite:///{tmp_path}/var/redrabbit.db", clock)) as ledger:
        ledger.register(MODEL)
        known_parts(Station("", ledger, FolderImages(tmp_path / "var/images", 10**6), clock))
    yield tmp_path


def test_a_study_from_the_command_line(home: Path, person: Person) -> None:
    """Set up, listed, reported on the screen and as files that stand alone, closed; bad input is one line."""

    def study(*words: str) -> str:
        found = CliRunner().invoke(app, ["study", *words, "--config", str(home / "line.yaml")])
        return str(found.exception) if isinstance(found.exception, InvalidInput) else found.stdout

    made = study("new", "--name", "first", "--inspectors", "eva, max", "--parts", "6", "--trials", "2", "--share", "1")
    assert made.startswith("first: 6 parts, ") and "24 answers in all; report at /studies/first" in made
    assert study("samples", "--name", "hidden", "--parts", "30").startswith(
        "hidden: 12 known parts, 6 of them defective; 2 %"
    )
    (home / "truth.csv").write_text("part_id;label\na-good-0;good\na-defect-0;crack\n")
    by_file = ("--inspectors", "eva", "--reference", str(home / "truth.csv"), "--parts", "2", "--mix", "1:1:0")
    study("new", "--name", "filed", *by_file)
    with closing(open_ledger(f"sqlite:///{home}/var/redrabbit.db", SimulatedClock())) as ledger:
        station = Station("", ledger, FolderImages(home / "var/images", 10**6), SimulatedClock())
        ledger.close_study("filed", "test")
        answer_all(station, "eva", wrong=ledger.study_parts("first")[0].part_id)
    listed = study("list").splitlines()
    assert [line.split()[:3] for line in listed] == [
        ["first", "a", "open"],
        ["hidden", "a", "standing"],
        ["filed", "a", "closed"],
    ]
    assert "Not complete: 12 of 24 answers are missing" in study("report", "first")
    study("report", "first", "--out", str(home / "first.json"))
    assert json.loads((home / "first.json").read_text())["answers"]["given"] == 12
    study("report", "first", "--out", str(home / "first.html"))
    page = person(viewport=SIZES[0], offline=True).new_page()
    page.goto((home / "first.html").as_uri())
    expect(page.get_by_role("figure").locator("img")).to_be_visible()
    assert page.locator("figure img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
    assert study("close", "first") == "first: closed\n"
    for words, said in (
        (("report", "nothing"), "study 'nothing': there is none of that name"),
        (("report", "first", "--out", "x.pdf"), "expected a name that ends in .html or .json"),
        (("new", "--name", "first", "--inspectors", "eva"), "there is one of that name"),
        (("new", "--name", "x", "--inspectors", "eva", "--mix", "1:nan:1"), "--mix 1:nan:1: expected"),
        (("new", "--name", "x", "--inspectors", "eva", "--parts", "90"), "4 of 30 defect parts"),
        (("samples", "--older-than", "soon"), "--older-than soon"),
    ):
        refused = study(*words)
        assert said in refused and "\n" not in refused
