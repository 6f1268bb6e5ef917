"""One part, and the search for parts, over HTTP."""

from __future__ import annotations

import re
from html import unescape

import pytest

from service.records import Label, Outcome
from tests.servers import until
from tests.station.conftest import OTHER, Station
from tests.station.scene import MISSES, fill, name

START = "2026-01-01T00:00"


@pytest.fixture
def filled(station: Station) -> Station:
    fill(station)
    return station


def _get(station: Station, path: str, status: int = 200, **query: str) -> str:
    answer = station.client().get(path, params=query or None)
    assert answer.status_code == status, answer.text
    return unescape(answer.text)


def _found(page: str) -> list[str]:
    return re.findall(r'class="id" href="/parts/([^"]+)"', page)


@pytest.mark.parametrize(
    ("query", "count", "newest"),
    [
        ({"id": "p05"}, 10, "p059"),
        ({"lot": "lot-1"}, 25, "p049"),
        ({"outcome": "audit", "lot": "lot-1"}, 5, "p049"),
        ({"label": "crack", "outcome": "audit"}, 6, "RR-7~77"),
        ({"since": f"{START}:10", "until": f"{START}:13"}, 3, "p011"),
        ({"since": "2026-01-01T01:00:10+01:00", "until": f"{START}:13"}, 3, "p011"),
        ({"camera": "right", "lot": "lot-0"}, 9, "p024"),
        ({"line": OTHER}, 0, ""),
        ({"lot": "no such lot"}, 0, ""),
    ],
)
def test_parts_are_found_by_what_is_known_of_them(
    filled: Station, query: dict[str, str], count: int, newest: str
) -> None:
    """Newest first; times are UTC unless they say otherwise."""
    found = _found(_get(filled, "/parts", **query))
    assert len(found) == count
    assert found[:1] == ([newest] if newest else [])


def test_older_parts_are_a_page_further(filled: Station) -> None:
    """To the last one, none twice."""
    page, seen = _get(filled, "/parts"), list[str]()
    while True:
        seen += _found(page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        if following is None:
            break
        page = _get(filled, following[1])
    assert len(seen) == len(set(seen)) == 120


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"id": "../../etc/passwd"}, "id: expected the beginning of a part id"),
        ({"id": "%"}, "id: expected"),
        ({"since": "yesterday"}, "from 'yesterday': expected a date and a time"),
        ({"until": "0001-01-01T00:00"}, "until '0001-01-01T00:00': expected"),
        ({"outcome": "bad"}, "outcome 'bad': expected one of pass, reject, audit"),
        ({"before": "x"}, "before: expected what the link"),
        ({"window": "last year"}, "window 'last year': there is none"),
        ({"line": "nowhere"}, "line 'nowhere': there is none"),
        ({"lot": "x" * 200}, "at most 128"),
    ],
)
def test_what_cannot_be_asked_gets_one_clear_line(filled: Station, query: dict[str, str], says: str) -> None:
    """422: what, and what was expected; nothing that was typed comes back as markup."""
    assert says in _get(filled, "/parts", 422, **query)
    assert (
        "<script>alert" not in filled.client().get("/parts", params=query | {"lot": "<script>alert(1)</script>"}).text
    )


def test_a_part_says_what_was_first_reported_and_what_is_known(filled: Station) -> None:
    """An inspector who changes his mind after the bucket has closed changes the second and not the first."""
    miss = name(next(iter(MISSES)))
    page = _get(filled, f"/parts/{miss}")
    assert "It is <strong>crack</strong>: an escape" in page and "changed since" not in page
    filled.ledger.add_labels([Label(miss, "good", who, filled.clock.now) for who in ("ines", "otto")])
    page = _get(filled, f"/parts/{miss}")
    assert "It is <strong>good</strong>" in page and "changed since" in page
    assert re.search(r"first reported, [^<]*</dt><dd>crack</dd>", page)
    assert page.count("replaced by a later answer") == 2


def test_a_part_of_an_open_bucket_has_not_been_reported(station: Station) -> None:
    """It says when its bucket closes, once that is known."""
    station.part("p0", Outcome.AUDIT)
    assert "its bucket is not full yet" in _get(station, "/parts/p0")
    for number in range(1, 10):
        station.part(f"p{number}", Outcome.AUDIT)
    until(lambda: "its bucket closes 00:01 UTC on 1 Jan" in _get(station, "/parts/p0"), "the monitor has seen them")
    assert "Label 10 parts of line a before 00:01 UTC on 1 Jan" in _get(station, "/")
    station.ledger.add_labels([Label("p0", "good", "ines", station.clock.now)])
    until(lambda: "Label 9 parts of line a before 00:01" in _get(station, "/"), "the label counts")
    station.clock.now += 61  # closed without them: they still narrow the limits, and nothing hurries any more
    until(lambda: "Label 9 parts of line a: each one narrows the limits" in _get(station, "/"), "the bucket has closed")


def test_the_record_of_a_part_is_whole(filled: Station) -> None:
    """Scores against thresholds, model, draw, neighbours of the line and of the camera."""
    page = _get(filled, "/parts/p050")
    for words in (
        "0.900",
        "0.500",
        "bright",
        "d" * 12,
        "lot-2",
        "number 50 of the line",
        "1: every reject is looked at again",
    ):
        assert words in page, words
    assert re.findall(r'<a href="/parts/(p\d+)"[^>]*><small>', page) == ["p049", "p051", "p049", "p052"]


@pytest.mark.parametrize("part_id", ["nobody", "..%2f..%2fetc%2fpasswd", "%00", "a'%20OR%201=1", "p" * 5000, "%ff"])
def test_what_is_no_part_is_404(station: Station, part_id: str) -> None:
    """However the id looks."""
    for tail in ("", "/picture.jpg"):
        assert station.client().get(f"/parts/{part_id}{tail}").status_code == 404


def test_an_inspector_reads_nothing_that_could_bias_him(filled: Station) -> None:
    """Today without pictures, without which of the parts that are due are audits, and without links to verdicts."""
    filled.part("p999", Outcome.AUDIT)
    page = filled.client(filled.token("ines", "inspector")).get("/").text
    assert "picture" not in page.partition("</head>")[2] and "p999" not in page
    assert "<dt>audits</dt>" not in page and "<dt>rejects</dt>" not in page
    assert 'href="/parts' not in page and 'href="/misses' not in page
    quality = filled.client(filled.token("otto", "inspector")).get("/v1/quality").json()["lines"]
    assert next(line["pending"] for line in quality if line["line"] == "a") == {"all": 2}
    engineer = filled.client(filled.token("eva", "engineer")).get("/").text
    assert "<dt>audits</dt>" in engineer and 'href="/misses' in engineer and "p999" in engineer
