"""A verdict as a machine on the floor is told it, in the words of OPC 40100-1 (Machine Vision) and OPC 40001-101 (result transfer)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final

from service.records import NotInspected, Verdict


class Say(IntEnum):
    """What is to become of the part, as a number that a PLC compares with. NOTHING: no verdict has been told yet."""

    NOTHING = 0
    PASS = 1
    REJECT = 2
    AUDIT = 3
    STOP = 4


@dataclass(frozen=True, slots=True)
class Told:
    """One message. number: counts the verdicts, those that were missed included. missed: of how many parts in a row, this one the last,
    the verdict has not arrived in time, so that `say` is the fail-safe; 0: it is this part's own verdict. missed_ever: since the
    worker began."""

    number: int
    say: Say
    verdict: Verdict | NotInspected
    missed: int
    missed_ever: int


COMPLETED, FAILED = 1, 4
"""ResultState of OPC 40100-1."""
OK, NOT_OK, NOT_DECIDABLE = 1, 2, 3
"""ResultEvaluation of OPC 40001-101."""

_EVALUATIONS: Final[Mapping[Say, int]] = {Say.PASS: OK, Say.REJECT: NOT_OK, Say.AUDIT: OK, Say.STOP: NOT_DECIDABLE}

FIELDS: Final = (
    "ResultId",
    "PartId",
    "JobId",
    "InternalRecipeId",
    "CreationTime",
    "IsPartial",
    "IsSimulated",
    "ResultState",
    "ResultEvaluation",
    "ResultEvaluationCode",
    "ResultEvaluationDetails",
    "Missed",
    "MissedTotal",
    "Sequence",
)
"""Of `result`, in its order."""

Value = str | int | bool | datetime


def result(told: Told) -> dict[str, Value]:
    """Field by field. Of a part that nobody judged the evaluation's details are the reason. Sequence is the one that says that the others are new; whoever writes them one by one writes it last."""
    verdict = told.verdict
    if isinstance(verdict, NotInspected):
        judged, lot, model, details = False, "", "", verdict.reason
    else:
        judged, lot, model, details = True, verdict.lot, verdict.model, verdict.predicted
    known = judged and not told.missed
    return {
        "ResultId": f"{verdict.line}/{told.number}/{verdict.part_id}",
        "PartId": verdict.part_id,
        "JobId": lot,
        "InternalRecipeId": verdict.line.partition(":")[2] or model,
        "CreationTime": datetime.fromtimestamp(verdict.captured_at, UTC),
        "IsPartial": False,
        "IsSimulated": False,
        "ResultState": COMPLETED if known else FAILED,
        "ResultEvaluation": _EVALUATIONS[told.say] if known else NOT_DECIDABLE,
        "ResultEvaluationCode": int(told.say),
        "ResultEvaluationDetails": "" if told.missed else details,
        "Missed": told.missed,
        "MissedTotal": told.missed_ever,
        "Sequence": told.number,
    }


def as_json(content: Mapping[str, Any]) -> str:
    """Times in ISO 8601."""
    return json.dumps(content, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value))
