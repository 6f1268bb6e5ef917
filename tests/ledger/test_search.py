"""Looking for parts: what is found, in which order, and how it scales."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from service.ledger.store import SqlLedger
from service.ports import Wanted
from service.records import ChallengePart, Outcome
from tests.ledger.rows import label, verdict
from tests.line import MODEL

EVERY = 50


def _fill(ledger: SqlLedger) -> None:
    """A hundred parts of line a, one a second, and one of another line."""
    ledger.record(
        [
            verdict(
                f"p{number:03d}",
                captured_at=1000.0 + number,
                camera="left" if number % 2 else "right",
                lot=f"lot{number // EVERY}",
                outcome=Outcome.REJECT if number % 10 == 0 else Outcome.AUDIT if number % 10 == 1 else Outcome.PASS,
            )
            for number in range(100)
        ]
    )
    ledger.record([verdict("p999", line="b")])
    ledger.add_labels([label("p010", "crack"), label("p020"), label("p020", "crack", "otto"), label("p011")])


def _ids(ledger: SqlLedger, wanted: Wanted, limit: int = 3) -> list[str]:
    return [row.verdict.part_id for row in ledger.find(wanted, limit)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted("a"), ["p099", "p098", "p097"]),
        (Wanted("a", prefix="p01"), ["p019", "p018", "p017"]),
        (Wanted("a", prefix="p0_"), []),
        (Wanted("a", since=1003.0, until=1005.0), ["p004", "p003"]),
        (Wanted("a", lot="lot0"), ["p049", "p048", "p047"]),
        (Wanted("a", camera="right"), ["p098", "p096", "p094"]),
        (Wanted("a", outcome=Outcome.REJECT), ["p090", "p080", "p070"]),
        (Wanted("a", outcome=Outcome.PASS, lot="lot0"), ["p049", "p048", "p047"]),
        (Wanted("a", label="crack"), ["p020", "p010"]),
        (Wanted("a", label="crack", prefix="p01"), ["p010"]),
        (Wanted("a", label="crack", outcome=Outcome.AUDIT), []),
        (Wanted("b"), ["p999"]),
        (Wanted("b", prefix="p0"), []),
        (Wanted("nowhere", label="crack"), []),
    ],
)
def test_what_is_asked_for_is_found_newest_first(ledger: SqlLedger, wanted: Wanted, expected: list[str]) -> None:
    """By one thing or several; of the line and of no other."""
    _fill(ledger)
    assert _ids(ledger, wanted) == expected


def test_pages_go_on_where_the_last_one_ended(ledger: SqlLedger) -> None:
    """No part twice and none left out, though all were captured in the same moment."""
    ledger.record([verdict(f"p{number}", captured_at=5.0) for number in range(7)])
    seen, before = [], None
    while rows := ledger.find(Wanted("a", prefix="p"), 3, before):
        seen += [row.verdict.part_id for row in rows]
        before = (rows[-1].verdict.captured_at, rows[-1].sequence)
    assert seen == [f"p{number}" for number in reversed(range(7))]


def test_neighbours_are_those_of_the_line_or_of_the_camera(ledger: SqlLedger) -> None:
    """In capture time; the first has none before it."""
    _fill(ledger)
    part = ledger.parts(["p050"])["p050"]
    assert ledger.beside(part) == ("p049", "p051")
    assert ledger.beside(part, "right") == ("p048", "p052")
    assert ledger.beside(ledger.parts(["p000"])["p000"]) == (None, "p001")


def test_labelled_parts_of_a_stretch(ledger: SqlLedger) -> None:
    """Those that somebody has labelled, in order, without challenge parts and without what lies outside."""
    ledger.register_challenge(ChallengePart("a", "p030", "crack", 0.0))
    _fill(ledger)
    ledger.add_labels([label("p030", "crack"), label("p999")])
    assert [row.verdict.part_id for row in ledger.labelled("a", 10, 20)] == ["p010", "p011"]
    assert [row.verdict.part_id for row in ledger.labelled("a", 11, 100)] == ["p011", "p020"]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Wanted("a"), "parts_by_time"),
        (Wanted("a", since=1.0, until=2.0), "parts_by_time"),
        (Wanted("a", prefix="p01"), "part_id>?"),
        (Wanted("a", camera="left"), "parts_by_camera"),
        (Wanted("a", lot="lot0"), "parts_by_lot"),
        (Wanted("a", outcome=Outcome.AUDIT), "parts_by_outcome"),
        (Wanted("a", label="crack"), "labels_by_word"),
    ],
)
def test_no_search_reads_the_whole_ledger(ledger: SqlLedger, wanted: Wanted, index: str) -> None:
    """The database says by which index it goes, and that it sorts nothing but the few that ids and labels lead to."""
    ledger.register(MODEL)
    _fill(ledger)
    asked: list[tuple[str, object]] = []
    engine = ledger._reader
    event.listen(engine, "before_cursor_execute", lambda _c, _u, text, values, *_: asked.append((text, values)))
    ledger.find(wanted, 3)
    statement, values = asked[-1]
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # so few rows are quicker read than looked up
            plan = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values)]  # type: ignore[arg-type]
            index = "Index"  # which one is the best is a matter of what the table holds
        else:
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]  # type: ignore[arg-type]
    assert any(index in step for step in plan), plan
    assert not any(step.startswith("SCAN parts") or "Seq Scan on parts" in step for step in plan), plan
    assert wanted.prefix or wanted.label or not any("TEMP B-TREE" in step for step in plan), plan
