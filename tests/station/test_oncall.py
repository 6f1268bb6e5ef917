"""What whoever is paged finds at the station: pages, parts at risk, acknowledgement, challenge parts."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest

from service.records import FailSafe, Label, Outcome
from tests.ledger.rows import missing
from tests.line import LINE
from tests.station.conftest import OTHER, Station

Start = Callable[..., Station]


@pytest.fixture
def paged(start: Start) -> Station:
    """A station whose line has a page: ten parts a bucket, half of them audited and all of those defects that were passed."""
    station = start()
    for number in range(40):
        verdict = station.part(f"p{number}", Outcome.AUDIT if number % 2 else Outcome.REJECT)
        names = ("ines", "otto") if number % 2 else ("ines",)
        station.ledger.add_labels([Label(verdict.part_id, "crack", name, station.clock.now) for name in names])
        station.clock.now += 1
    for number in range(40, 45):
        station.part(f"=p{number}" if number == 44 else f"p{number}", Outcome.PASS)
    station.clock.now += 120
    return station


def test_a_page_is_listed_with_the_parts_at_risk_and_can_be_taken_on(paged: Station) -> None:
    """The engineer sees how many, fetches them as CSV, acknowledges with a note; then nothing stands, and the page stays listed."""
    client = paged.client(paged.token("eva", "engineer"))
    (page,) = client.get("/v1/pages").json()
    assert (page["state"], page["defect"], page["detector"], page["parts_at_risk"]) == (
        "standing",
        "crack",
        "audit",
        25,
    )
    touched = client.get("/v1/containment", params={"line": LINE}).json()
    assert (touched["parts"], touched["defects"], touched["lots"]) == (25, ["crack"], [{"lot": "", "parts": 25}])
    table = client.get("/v1/containment.csv", params={"line": LINE})
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert len(rows) == 25
    assert (rows[0]["part_id"], rows[0]["verdict"], rows[0]["known"]) == ("p1", "audit", "crack")
    assert rows[-1]["part_id"] == "'=p44"  # no formula for a spreadsheet
    (taken,) = client.post("/v1/pages/acknowledge", json={"line": LINE, "note": "lens cleaned"}).json()
    assert taken["line"] == LINE
    paged.clock.now += 1
    (page,) = client.get("/v1/pages").json()
    assert (page["state"], page["acknowledged_by"], page["note"]) == ("acknowledged", "eva", "lens cleaned")
    assert client.post("/v1/pages/acknowledge", json={"line": LINE}).status_code == 404
    assert client.get("/v1/containment", params={"line": LINE}).status_code == 404


def test_the_page_on_the_front_shows_what_to_hold(paged: Station) -> None:
    """In words, with the list behind a link, and a form that takes it on."""
    client = paged.client(paged.token("eva", "engineer"))
    text = client.get("/").text
    assert "Hold the 25 parts at risk" in text
    assert "/v1/containment.csv?line=a&amp;defect=crack" in text
    sent = client.post("/acknowledge", data={"line": LINE, "defect": "crack", "note": "on it"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/")
    paged.clock.now += 1
    assert "at risk" not in client.get("/").text


@pytest.mark.parametrize(
    ("role", "lines", "path", "status"),
    [
        ("inspector", (), "/v1/containment?line=a", 403),
        ("inspector", (), "/v1/containment.csv?line=a", 403),
        ("engineer", (OTHER,), "/v1/containment?line=a", 404),
        ("engineer", (OTHER,), "/v1/containment.csv?line=a", 404),
        ("engineer", (), "/v1/containment?line=nowhere", 404),
        ("engineer", (), "/v1/containment?line=a&defect=dent", 404),
    ],
)
def test_parts_at_risk_are_for_engineers_of_the_line(
    paged: Station, role: str, lines: tuple[str, ...], path: str, status: int
) -> None:
    """Verdicts and scores would bias an inspector; another line's parts are nobody else's business."""
    assert paged.client(paged.token("x", role, *lines)).get(path).status_code == status


def test_only_engineers_of_the_line_take_pages_on(paged: Station) -> None:
    """And nothing is written for anybody else, nor from a page of another site, nor for a note that is none."""
    for role, lines, expected in (("inspector", (), 403), ("engineer", (OTHER,), 404)):
        client = paged.client(paged.token(f"x{role}", role, *lines))
        assert client.post("/v1/pages/acknowledge", json={"line": LINE}).status_code == expected
    client = paged.client(paged.token("eva", "engineer"))
    foreign = {"Origin": "http://elsewhere.example"}
    assert client.post("/acknowledge", data={"line": LINE, "defect": "all"}, headers=foreign).status_code == 403
    for note in ("x" * 501, "a\nb", "\x00"):
        assert client.post("/v1/pages/acknowledge", json={"line": LINE, "note": note}).status_code == 422
    assert paged.ledger.acknowledgements_after(0) == []


def test_a_challenge_part_is_registered_sent_and_reported(start: Start) -> None:
    """By an engineer, with its schedule; an inspector may say that a part was one. Nobody is asked to label it."""
    station = start()
    engineer, inspector = (station.client(station.token(role, role)) for role in ("engineer", "inspector"))
    asked = {
        "line": LINE,
        "name": "RR-7",
        "expected": "crack",
        "every": "8h",
        "shifts": ["06:00", "14:00"],
        "within": "30m",
    }
    assert engineer.post("/v1/challenge", json=asked).json()["status"] == "registered"
    ((_, part),) = station.ledger.challenge_parts_after(0)
    assert (part.every, part.shifts, part.within, part.by) == (28_800.0, (21_600.0, 50_400.0), 1800.0, "engineer")
    station.part("RR-7~1", Outcome.REJECT)
    station.part("p1", Outcome.AUDIT)
    said = inspector.post("/v1/challenge", json={"part_id": "p1", "name": "RR-7"})
    assert (said.status_code, said.json()["status"]) == (200, "reported")
    assert inspector.post("/v1/challenge", json={"part_id": "p1", "name": "RR-7"}).status_code == 200
    station.clock.now += 2
    (state,) = [one for one in inspector.get("/v1/challenge").json() if one["line"] == LINE]
    assert (state["caught"], state["missed"], state["overdue"]) == (1, 1, [])
    assert inspector.get("/v1/queue").json()["part_id"] is None


REGISTER = {"line": LINE, "name": "RR", "expected": "crack"}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (REGISTER | {"expected": "dent"}, 422, "expected one of good, crack"),
        (REGISTER | {"line": "nowhere"}, 422, "no line 'nowhere'"),
        (REGISTER | {"name": "../etc"}, 422, "name: expected"),
        (REGISTER | {"name": "a~b"}, 422, "name: expected"),
        (REGISTER | {"every": "8"}, 422, "8h"),
        (REGISTER | {"shifts": ["25:00"]}, 422, "06:00"),
        (REGISTER | {"within": "-1h"}, 422, "duration"),
        ({"part_id": "nobody", "name": "RR"}, 422, "no part 'nobody'"),
        ({"part_id": "p1", "name": "RR"}, 422, "no challenge part 'RR'"),
        ({"part_id": "p1"}, 422, ""),
        ([], 422, ""),
        (REGISTER | {"surprise": 1}, 422, ""),
    ],
)
def test_a_bad_challenge_part_gets_one_clear_line(start: Start, body: object, status: int, says: str) -> None:
    """What, where, what was expected; nothing is written."""
    station = start()
    station.part("p1")
    answer = station.client(station.token("eva", "engineer")).post("/v1/challenge", json=body)
    assert answer.status_code == status and says in answer.text
    assert station.ledger.challenge_parts_after(0) == [] == station.ledger.challenge_reports_after(0)


def test_challenge_parts_of_another_line_are_out_of_reach(start: Start) -> None:
    """Registering and reporting: as if the line were not there. An inspector registers nothing."""
    station = start()
    station.part("p1")
    other = station.client(station.token("olga", "engineer", OTHER))
    assert other.post("/v1/challenge", json=REGISTER).status_code == 404
    assert other.post("/v1/challenge", json={"part_id": "p1", "name": "RR"}).status_code == 404
    assert {one["line"] for one in other.get("/v1/challenge").json()} <= {OTHER}
    inspector = station.client(station.token("ines", "inspector"))
    assert inspector.post("/v1/challenge", json=REGISTER).status_code == 403


def test_quality_says_provisional_first_reported_and_worst(paged: Station) -> None:
    """Everything that is known about the number stands beside it."""
    (line,) = [
        one
        for one in paged.client(paged.token("i", "inspector")).get("/v1/quality").json()["lines"]
        if one["line"] == LINE
    ]
    (row,) = [row for row in line["quality"] if row["defect"] == "crack"]
    assert {"recall_worst_lower", "recall_ceiling", "named_right", "observed_recall"} <= set(row)
    assert not row["provisional"] and all(row["provisional"] for row in line["provisional"])
    assert line["first_reported"] == line["quality"]
    assert line["audit"]["weights"] and line["agreement"]["pairs"][0]["inspectors"] == ["ines", "otto"]
    assert "hint" in line["expected_recall"]["reason"]


def test_parts_that_nobody_judged_are_shown_and_listed(start: Start) -> None:
    """On Today as soon as there are some, and louder where they passed; the list is for engineers of the line, and is no formula."""
    station = start()
    engineer, inspector = (station.client(station.token(role, role)) for role in ("engineer", "inspector"))
    assert "not inspected" not in engineer.get("/").text
    of_other = missing("other", OTHER)
    station.ledger.record_not_inspected([missing("n"), missing("=m", trigger=None, reason="broken"), of_other])
    station.app.state.snapshots.forget()
    text = engineer.get("/").text
    assert "<b>2</b> parts" in text and "none of them passed" in text
    assert "/v1/not-inspected.csv?line=a" in text
    assert "/v1/not-inspected.csv" not in inspector.get("/").text
    rows = list(csv.DictReader(io.StringIO(engineer.get("/v1/not-inspected.csv", params={"line": LINE}).text)))
    assert [(row["part_id"], row["trigger"], row["reason"], row["verdict"]) for row in rows] == [
        ("n", "7", "no_picture", "reject"),
        ("'=m", "", "broken", "reject"),
    ]
    station.ledger.record_not_inspected([missing("p", outcome=FailSafe.PASS)])
    station.app.state.snapshots.forget()
    assert "1 passed" in engineer.get("/").text
    assert engineer.get("/v1/not-inspected.csv", params={"line": "nowhere"}).status_code == 404
