"""Model orders, answers and shadows' verdicts in the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.errors import LedgerUnavailable
from service.ledger.store import SqlLedger
from service.records import ModelAnswer, ModelOrder, RecordedOrder, Role, ShadowVerdict, Taken
from tests.ledger.conftest import Opener
from tests.line import MODEL

ORDER = ModelOrder("a", Role.ACTIVE, "d" * 64, "m", "eva", "new lens")
SHADOW = ShadowVerdict("p", "a", "e" * 64, (0.7, 0.1 + 0.2), 0.6, "good", False)


def test_an_order_is_read_back_with_its_answers(ledger: SqlLedger, opened: Opener) -> None:
    """In order, of its line alone, by any process; the newest answer says what became of it."""
    first, other, second = (ledger.order_model(replace(ORDER, line=line)) for line in "aba")
    assert first.sequence < other.sequence < second.sequence and first.open
    trying = ModelAnswer(first.sequence, "a", "w", Taken.TRYING)
    refused = replace(trying, outcome=Taken.REFUSED, why="no memory")
    assert ledger.answer_order(trying, 0)
    assert ledger.model_orders("a")[0].open
    assert not ledger.answer_order(refused, 0), "another was first"
    assert ledger.answer_order(refused, 1)
    found = opened(read_only=True).model_orders("a")
    assert found == [replace(first, answers=(trying, refused)), second]
    assert (found[0].outcome, found[0].why, found[0].open) == (Taken.REFUSED, "no memory", False)
    assert ledger.model_orders("b") == [RecordedOrder(other.sequence, other.recorded_at, replace(ORDER, line="b"))]


def test_an_answer_and_its_model_are_one(ledger: SqlLedger, opened: Opener) -> None:
    """A model is in force by the very transaction that says so, or neither is there."""
    sequence = ledger.order_model(ORDER).sequence
    taken = ModelAnswer(sequence, "a", "w", Taken.TAKEN)
    ledger.answer_order(taken, 0, MODEL)
    assert ledger.line_state()[0] == [MODEL] and ledger.model_orders("a")[0].outcome is Taken.TAKEN
    with pytest.raises(LedgerUnavailable):
        opened(read_only=True).answer_order(taken, 1, replace(MODEL, digest="f" * 64))
    assert ledger.line_state()[0] == [MODEL] and len(ledger.model_orders("a")[0].answers) == 1


def test_a_shadow_that_has_ended_is_not_in_force(ledger: SqlLedger) -> None:
    """Its end is a row like any other; the history keeps what judged before, and a later shadow is in force again."""
    shadow = replace(MODEL, role=Role.SHADOW, digest="e" * 64)
    gone = replace(shadow, digest="")
    for model in (MODEL, shadow, gone):
        ledger.register(model)
    assert ledger.line_state()[0] == [MODEL]
    ledger.register(shadow)
    assert ledger.line_state()[0] == [MODEL, shadow]
    assert ledger.model_history("a") == [MODEL, shadow, gone, shadow] and ledger.model_history("b") == []


def test_what_a_shadow_said_is_recorded_once(ledger: SqlLedger) -> None:
    """Per part and model, exactly; read on from where one was."""
    other = replace(SHADOW, model="f" * 64)
    ledger.record_shadow([SHADOW, replace(SHADOW, part_id="q"), SHADOW])
    ledger.record_shadow([replace(SHADOW, predicted="crack"), other])
    rows = ledger.shadow_verdicts_after(0, 10)
    assert [row.verdict for row in rows] == [SHADOW, replace(SHADOW, part_id="q"), other]
    assert [row.verdict for row in ledger.shadow_verdicts_after(rows[0].sequence, 1)] == [rows[1].verdict]
    assert rows[0].recorded_at < rows[2].recorded_at
    assert isinstance(rows[0].verdict.scores, tuple) and rows[0].verdict.flagged is False
