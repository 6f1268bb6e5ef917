"""Verdicts and labels with nothing special about them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from service.ledger.store import SqlLedger
from service.records import (
    NO_PICTURE,
    CameraReference,
    ChallengePart,
    Deed,
    DrawPolicy,
    FailSafe,
    Kind,
    Label,
    ModelAnswer,
    ModelOrder,
    NotInspected,
    Outcome,
    Person,
    Role,
    ShadowVerdict,
    Study,
    StudyAnswer,
    StudyPart,
    Taken,
    Verdict,
)
from tests.line import MODEL


class Ticking:
    """A clock that is a second later each time it is asked, from 1000 on."""

    def __init__(self) -> None:
        self._seconds = count(1000)

    def __call__(self) -> float:
        return float(next(self._seconds))


def verdict(part_id: str, line: str = "a", **changes: Any) -> Verdict:
    """A passed part; its predicted class and thresholds are told by `changes` where they matter."""
    fields: dict[str, Any] = {
        "camera": "left",
        "captured_at": 500.25,
        "model": "d" * 64,
        "thresholds": "t" * 64,
        "scores": (0.7, 0.1 + 0.2),
        "exceedance": 0.6,
        "predicted": "good",
        "outcome": Outcome.PASS,
        "band": 3,
        "weight": 40,
        "policy": 1,
    }
    return Verdict(part_id=part_id, line=line, **{**fields, **changes})


def verdicts(prefix: str, size: int, line: str = "a") -> Sequence[Verdict]:
    return [verdict(f"{prefix}-{number}", line) for number in range(size)]


def missing(part_id: str, line: str = "a", **changes: Any) -> NotInspected:
    """A part whose picture never came."""
    fields: dict[str, Any] = {"trigger": 7, "captured_at": 500.25, "reason": NO_PICTURE, "outcome": FailSafe.REJECT}
    return NotInspected(part_id, line, "left", **{**fields, **changes})


def label(part_id: str, name: str = "good", inspector: str = "anna", at: float = 600.0) -> Label:
    return Label(part_id, name, inspector, at)


def one_of_each(ledger: SqlLedger) -> None:
    """A row in every table of what happened."""
    ledger.record([verdict("p")])
    ledger.record_not_inspected([missing("n")])
    ledger.add_labels([label("p")])
    ledger.register(MODEL)
    ledger.set_draw_policy(DrawPolicy(0, "a", 0.0, (1,), 0.02))
    ledger.register_challenge(ChallengePart("a", "RR", "crack", 0.0))
    ledger.report_challenge("p", "RR", "eva")
    ledger.acknowledge("a", "all", "eva", "")
    order = ledger.order_model(ModelOrder("a", Role.ACTIVE, "d" * 64, "m", "eva"))
    ledger.answer_order(ModelAnswer(order.sequence, "a", "w", Taken.TAKEN), 0)
    ledger.record_shadow([ShadowVerdict("p", "a", "d" * 64, (1.0, 0.0), 0.1, "good", False)])
    ledger.keep_camera_reference(CameraReference("a", "left", "d" * 64, 100, 0.1, 0.5, 0.0, ""))
    ledger.put_person(Person("eva", "engineer", (), "h", disabled=False, by=""))
    ledger.note(Deed("eva", "127.0.0.1", "signed in"))
    ledger.add_study(Study("s", "a", "good", 1, ("eva",), 0.5, "seed", "eva"), [StudyPart("p", "good", Kind.GOOD)])
    ledger.answer_study(StudyAnswer("k", "s", "p", "eva", 1, "good", 600.0))
    ledger.close_study("s", "eva")
