"""The gallery of misses and the confusion table count what the estimate counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from urllib.parse import quote

import pytest

from service.monitor import Monitor
from service.records import ALL, Label, WindowQuality
from tests.line import LINE, MODEL
from tests.station.conftest import OTHER, THRESHOLDS, Station
from tests.station.scene import MISSES, RABBIT, RETURN, SLIP, fill, name

Start = Callable[..., Station]


@pytest.fixture
def filled(station: Station) -> Station:
    fill(station)
    return station


def _row(station: Station, defect: str = "crack") -> WindowQuality:
    """What Today shows, reckoned anew from the ledger."""
    line = Monitor(station.ledger, lambda: THRESHOLDS, station.clock).snapshot().lines[LINE]
    return next(row for row in line.quality if row.defect == defect)


def _page(station: Station, path: str, status: int = 200) -> str:
    answer = station.client(station.token(f"e{len(station.ledger.tokens())}", "engineer")).get(path)
    assert answer.status_code == status, answer.text
    return unescape(answer.text)


def _numbers(pattern: str, page: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, page)]


def test_the_weights_of_the_gallery_are_the_escapes_of_the_estimate(filled: Station) -> None:
    """Each audited miss with its weight, scaled for audits that did not return; the largest comes first."""
    row, page = _row(filled), _page(filled, "/misses")
    assert row.recall.events == len(MISSES)
    (total,) = _numbers(r'data-sum="([\d.]+)"', page)
    assert total == pytest.approx(row.recall.denominator - row.recall.numerator)
    assert total > sum(MISSES.values())  # one audit of band 1 never came back
    shown = re.findall(r'href="/parts/([^"?]+)"', page)
    assert shown == [name(number) for number in (53, 49, 57, RETURN)]
    assert f"<b>{row.true_positive}</b> that were caught" in page


def test_a_miss_says_who_said_so_and_a_return_stands_for_nothing(filled: Station) -> None:
    """A defect that one inspector alone has seen is no miss yet, and a challenge part never is."""
    page = _page(filled, "/misses?line=a&defect=crack")
    assert "ines: crack, otto: crack" in page and "came back" in page
    assert "1 more waits for a second look" in page
    for number in (SLIP, RABBIT):
        assert name(number) not in page


def test_the_cells_of_the_table_are_the_counts_of_the_estimate(filled: Station) -> None:
    """Plain and weighted; each cell leads to exactly the parts that it has counted."""
    row, page = _row(filled), _page(filled, "/confusion")
    cells = {
        (actual, said): (weighted, int(parts), link)
        for link, actual, said, weighted, parts in re.findall(
            r'href="(/parts\?[^"]*actual=(\w+)&predicted=(\w+))".*?data-weighted="([\d.]+)".*?data-parts="(\d+)"', page
        )
    }
    assert cells["crack", "crack"][1] == row.true_positive
    assert cells["good", "crack"][1] == row.false_positive
    assert float(cells["crack", "good"][0]) == pytest.approx(row.recall.denominator - row.recall.numerator)
    assert cells["crack", "good"][1] == row.false_negative - 1  # the return is known and was not drawn
    assert cells["good", "good"][1] == row.true_negative
    for _, parts, link in cells.values():
        found = _page(filled, link)
        assert len(re.findall(r'class="id"', found)) == parts
        assert name(RETURN) not in found


def test_parts_of_starved_and_open_buckets_are_in_no_window(station: Station) -> None:
    """What the estimate leaves out, the gallery leaves out."""
    fill(station)
    for number in range(200, 215):  # one full bucket of rejects that nobody looked at, and an open one
        station.part(f"p{number}")
    station.clock.now += 120
    monitor = Monitor(station.ledger, lambda: THRESHOLDS, station.clock)
    snapshot = monitor.snapshot()
    contents = monitor.contents(LINE, "100 parts")
    assert contents is not None
    rows = {row.verdict.part_id: row for row in station.ledger.parts_after(0, 1000)}
    assert not contents.holds(rows["p200"]) and not contents.holds(rows["p214"]) and contents.holds(rows["p060"])
    held = sum(after - first for first, after in contents.spans)
    assert held == snapshot.lines[LINE].quality[0].parts + sum(
        contents.holds(row) for row in rows.values() if row.verdict.part_id.startswith("RR-7")
    )


def test_a_defect_under_another_name_has_a_cell_of_its_own(station: Station) -> None:
    """Caught, and not named right: beside the diagonal, and in no gallery."""
    station.ledger.register(
        replace(MODEL, classes=("good", "crack", "dent"), decision_thresholds={"crack": 0.5, "dent": 0.5})
    )
    fill(station)
    for number in (95, 100):
        station.ledger.add_labels([Label(name(number), "dent", "ines", station.clock.now)])
    station.clock.now += 1
    row, page = _row(station, ALL), _page(station, "/confusion")
    assert _numbers(r'predicted=crack" aria-label="[\d.]+ parts are dent.*?data-parts="(\d+)"', page) == [2]
    assert _numbers(r'predicted=crack" aria-label="[\d.]+ parts are crack.*?data-parts="(\d+)"', page) == [
        row.true_positive - 2
    ]
    assert row.named_right.numerator == row.true_positive - 2
    assert "No miss is known" in _page(station, "/misses?defect=dent")
    today = _page(station, "/")
    assert [today.count(f"<b>{defect}</b>") for defect in (ALL, "crack", "dent")] == [1, 1, 2]  # line b knows dents too


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/misses?line=nowhere", 404),
        ("/misses?defect=dent", 404),
        ("/misses?window=last+year", 404),
        ("/confusion?line=nowhere", 404),
        ("/confusion?window=" + quote("<script>"), 404),
    ],
)
def test_what_is_not_there_is_404(filled: Station, path: str, status: int) -> None:
    """A line, window or defect that nobody has."""
    _page(filled, path, status)


@pytest.mark.parametrize(
    "path", ["/misses", "/confusion", "/parts", "/parts/p049", "/parts/p049/picture.jpg", "/containment?line=a"]
)
def test_verdicts_are_for_engineers_of_the_line(filled: Station, path: str) -> None:
    """An inspector is refused; whoever is not signed in is led to the door; another line's engineer sees nothing of it."""
    assert filled.client(filled.token("ines", "inspector")).get(path).status_code == 403
    nobody = filled.client("rr_wrong").get(path)
    assert (nobody.status_code, nobody.headers["location"]) == (303, f"/sign-in?next={quote(path, safe='')}")
    other = filled.client(filled.token("olga", "engineer", OTHER)).get(path)
    assert "p049" not in other.text.replace("/parts/p049", "")


def test_a_line_without_parts_has_no_misses_and_says_so(start: Start) -> None:
    """No closed bucket, no line at all: words, not an error."""
    station = start()
    assert "No miss is known in this window" in _page(station, "/misses")
    assert "No part of this window has been labelled yet" in _page(station, "/confusion")
