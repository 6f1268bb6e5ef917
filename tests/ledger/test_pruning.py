"""Older rows go and the rest is still a chain, whoever keeps it."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from service.errors import InvalidInput
from service.ledger.pruning import Plan, pictures, plan
from service.ledger.store import SqlLedger
from service.ledger.verifying import Finding, verify
from service.records import Deed, Kind, Outcome, Past, ShadowVerdict, Study, StudyPart
from tests.ledger.conftest import Opener
from tests.ledger.rows import label, missing, verdict

DEED = Deed("eva", "command line", "pruned the ledger", "most of it")


def _filled(ledger: SqlLedger) -> None:
    """Thirty parts of two lines by turns, each labelled after the next but one; a picture of each, the last one that of the first."""
    for number in range(30):
        outcome = Outcome.REJECT if number % 2 else Outcome.PASS
        ledger.record([verdict(f"p{number}", "ab"[number % 2], outcome=outcome, image=f"{number % 29:064x}")])
        ledger.record_shadow([ShadowVerdict(f"p{number}", "ab"[number % 2], "s" * 64, (0.5, 0.5), 0.5, "good", False)])
        if number > 1:
            ledger.add_labels([label(f"p{number - 2}")])
    ledger.acknowledge("a", "all", "eva", "")


def _planned(ledger: SqlLedger, until: float) -> Plan:
    """Buckets of four parts."""
    with ledger.still() as (_, connection):
        return plan(
            connection,
            until,
            needed=lambda _, ordinal: ordinal // 4 * 4,
            carry=lambda _, ordinal: Past(
                ordinal=-(-ordinal // 4) * 4, buckets=-(-ordinal // 4), size=4, first_captured_at=500.25
            ),
        )


def _found(ledger: SqlLedger) -> list[Finding]:
    with ledger.still() as (_, connection):
        return [*verify(connection)]


def _middle(ledger: SqlLedger) -> float:
    return ledger.parts_after(0, 30)[20].recorded_at


def test_the_oldest_rows_go(ledger: SqlLedger, opened: Opener) -> None:
    """Up to a bucket of each line; with them their labels but for those among later ones, and shadow verdicts. Numbers go on from there."""
    _filled(ledger)
    made = _planned(ledger, _middle(ledger))
    assert (made.last["parts"], made.last["labels"], made.last["shadow_verdicts"]) == (16, 14, 16)
    assert made.begins.labels == 16  # two that came after parts that stay
    assert {line: (made.ordinals[line], past.ordinal) for line, past in made.begins.lines.items()} == {
        "a": (8, 8),
        "b": (8, 8),
    }
    ledger.prune(made, DEED)
    assert _found(ledger) == []
    assert [row.ordinal for row in ledger.parts_after(0, 3)] == [8, 8, 9]
    assert ledger.begins() == made.begins
    assert ledger.deeds(None, 1)[0].deed == DEED
    again = opened()
    again.record([verdict("new", "b")])
    again.add_labels([label("new")])
    assert again.parts(["new"])["new"].ordinal == 15
    assert _found(again) == []


def test_what_was_not_inspected_stays(ledger: SqlLedger) -> None:
    """Its count is a counter's, and would fall."""
    ledger.record_not_inspected([missing("n")])
    _filled(ledger)
    ledger.prune(_planned(ledger, _middle(ledger)), DEED)
    assert [one.part_id for _, _, one in ledger.not_inspected_after(0, 9)] == ["n"]
    assert _found(ledger) == []


def test_a_line_in_the_middle_of_a_bucket(ledger: SqlLedger) -> None:
    """Its figures begin with the next one; its rows verify from where they begin."""
    _filled(ledger)
    ledger.record([verdict("alone", "a"), verdict("alone2", "a")])
    made = _planned(ledger, _middle(ledger))
    first = Plan({**made.last, "parts": 13}, made.rows, {"a": 7, "b": 6}, made.begins, made.oldest)
    ledger.prune(first, DEED)
    assert _found(ledger) == []


def test_pictures_that_go(ledger: SqlLedger) -> None:
    """Those that no part names which stays."""
    _filled(ledger)
    with ledger.still() as (_, connection):
        gone = [*pictures(connection, Plan(last={"parts": 16}))]
    assert gone == [f"{number:064x}" for number in range(1, 16)]
    assert set(ledger.kept_pictures()) == {f"{number % 29:064x}" for number in range(1, 30, 2)}


def test_a_picture_of_a_study_is_kept(ledger: SqlLedger) -> None:
    """Of a passed part too; and while the study runs its part stays."""
    _filled(ledger)
    ledger.add_study(Study("s", "a", "good", 1, ("eva",), 0.5, "x", "eva"), [StudyPart("p2", "good", Kind.GOOD)])
    assert f"{2:064x}" in ledger.kept_pictures()
    assert _planned(ledger, _middle(ledger)).last["parts"] == 2
    ledger.close_study("s", "eva")
    assert _planned(ledger, _middle(ledger)).last["parts"] == 16


def test_rows_of_record_stay_after_it(ledger: SqlLedger, database: Engine) -> None:
    """The database refuses a DELETE as before."""
    _filled(ledger)
    ledger.prune(_planned(ledger, _middle(ledger)), DEED)
    for table in ("parts", "labels", "shadow_verdicts"):
        with pytest.raises(DBAPIError, match=f"{table} only grows"), database.begin() as connection:
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608


def test_a_plan_that_is_out_of_date(ledger: SqlLedger) -> None:
    """Somebody else has pruned more meanwhile: nothing is done."""
    _filled(ledger)
    older, newer = _planned(ledger, ledger.parts_after(0, 30)[10].recorded_at), _planned(ledger, _middle(ledger))
    ledger.prune(newer, DEED)
    with pytest.raises(InvalidInput, match="pruned meanwhile"):
        ledger.prune(older, DEED)
    assert ledger.begins() == newer.begins
    assert _found(ledger) == []
