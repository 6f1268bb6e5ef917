"""Challenge parts, reports and acknowledgements in the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.errors import InvalidInput
from service.ledger.store import SqlLedger
from service.records import ALL, ChallengePart, Outcome
from tests.ledger.rows import verdict

RABBIT = ChallengePart("a", "R_1", "crack", 0.0, every=60.0, shifts=(0.0, 3600.0), after_change=True, by="eva")


def test_what_was_said_is_read_back_in_order(ledger: SqlLedger) -> None:
    """With the moment that the ledger gave it; what was read before is not read again."""
    first = ledger.register_challenge(RABBIT)
    second = ledger.register_challenge(replace(RABBIT, retired=True))
    assert second.recorded_at > first.recorded_at
    ((one, _), (two, _)) = rows = ledger.challenge_parts_after(0)
    assert [part for _, part in rows] == [first, second]
    assert [part for _, part in ledger.challenge_parts_after(one)] == [second]
    assert ledger.challenge_parts_after(two) == []
    said = ledger.acknowledge("a", ALL, "eva", "lens cleaned")
    assert [row for _, row in ledger.acknowledgements_after(0)] == [said]


def test_a_report_is_made_once(ledger: SqlLedger) -> None:
    """The same again is no change; another name for the same part, an unknown part or name are refused."""
    ledger.record([verdict("p")])
    ledger.register_challenge(RABBIT)
    ledger.register_challenge(replace(RABBIT, name="other"))
    ledger.report_challenge("p", "R_1", "eva")
    ledger.report_challenge("p", "R_1", "eva")
    assert len(ledger.challenge_reports_after(0)) == 1
    for part_id, name, says in (
        ("p", "other", "reported as"),
        ("q", "R_1", "no part"),
        ("p", "RR", "no challenge part"),
    ):
        with pytest.raises(InvalidInput, match=says):
            ledger.report_challenge(part_id, name, "eva")


def test_nobody_is_asked_to_label_a_challenge_part(ledger: SqlLedger) -> None:
    """By name while it is registered, or by report; a name that merely looks alike is production, and so is one that was retired."""
    ledger.record([verdict("R_1~0", outcome=Outcome.AUDIT)])
    ledger.register_challenge(RABBIT)
    ids = ["R_1", "R_1~2", "Rx1~3", "R_12", "reported", "plain"]
    ledger.record([verdict(part_id, outcome=Outcome.AUDIT) for part_id in ids])
    ledger.report_challenge("reported", "R_1", "eva")
    ledger.register_challenge(replace(RABBIT, retired=True))
    ledger.record([verdict("R_1~later", outcome=Outcome.AUDIT)])
    due = [row.verdict.part_id for row in ledger.unlabelled("a", 10)]
    assert due == ["R_1~0", "Rx1~3", "R_12", "plain", "R_1~later"]


def test_parts_at_risk_are_the_passed_ones_of_the_line(ledger: SqlLedger) -> None:
    """From an ordinal on, in pages, counted by lot in the order of production."""
    kinds = [Outcome.PASS, Outcome.REJECT, Outcome.AUDIT, Outcome.PASS]
    ledger.record([verdict(f"p{n}", outcome=kinds[n % 4], lot=f"lot{n // 4}") for n in range(12)])
    ledger.record([verdict("other", line="b")])
    first = ledger.at_risk("a", 3, 0, 4)
    assert [row.verdict.part_id for row in first] == ["p3", "p4", "p6", "p7"]
    rest = ledger.at_risk("a", 3, first[-1].sequence, 10)
    assert [row.verdict.part_id for row in rest] == ["p8", "p10", "p11"]
    assert ledger.lots_at_risk("a", 3) == [("lot0", 1), ("lot1", 3), ("lot2", 3)]
