"""Challenge parts by HTTP: registered before they are sent through, or reported after they went."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from service.errors import InvalidInput
from service.records import ChallengePart, ModelInForce
from service.station.access import HERE, NO_NUL, RANK, Caller, allowed, note
from service.station.deps import Deps
from service.thresholds import seconds

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}")
SHIFT: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")

router = APIRouter(tags=["challenge"])
Inspector = Annotated[Caller, Depends(allowed("inspector"))]


class Registration(BaseModel):
    """A challenge part and when it is due. every, within: durations such as 8h; shifts: HH:MM, UTC."""

    model_config = ConfigDict(extra="forbid")

    line: str
    name: str
    expected: str
    every: str | None = None
    shifts: Annotated[list[str], Field(max_length=24)] = []
    after_change: bool = False
    within: str = "15m"
    retired: bool = False


class Report(BaseModel):
    """A part that the line has recorded was a pass of the challenge part `name`."""

    model_config = ConfigDict(extra="forbid")

    part_id: Annotated[str, Field(max_length=128, pattern=NO_NUL)]
    name: Annotated[str, Field(max_length=64, pattern=NO_NUL)]


def challenge_part(asked: Registration, models: Sequence[ModelInForce], by: str) -> ChallengePart:
    """Checked, its time left to the ledger. Raises InvalidInput: what, where, what was expected."""
    model = next((model for model in models if model.line == asked.line and model.role == "active"), None)
    if model is None:
        raise InvalidInput(f"line: there is no line {asked.line!r} with a model; start its worker first")
    if not NAME.fullmatch(asked.name) or ".." in asked.name:
        raise InvalidInput("name: expected up to 64 letters, digits and . _ : @ -, without ..")
    if asked.expected not in model.classes:
        raise InvalidInput(f"expected: {asked.expected!r} is no class; expected one of {', '.join(model.classes)}")
    starts = [SHIFT.fullmatch(shift) for shift in asked.shifts]
    if not all(starts):
        raise InvalidInput(f"shifts: {', '.join(asked.shifts)}; expected times such as 06:00, UTC")
    try:
        every = None if asked.every is None else seconds(asked.every)
        within = seconds(asked.within)
    except ValueError as error:
        raise InvalidInput(f"every, within: {error}") from error
    return ChallengePart(
        line=asked.line,
        name=asked.name,
        expected=asked.expected,
        recorded_at=0.0,
        every=every,
        shifts=tuple(sorted({int(start[1]) * 3600.0 + int(start[2]) * 60.0 for start in starts if start})),
        after_change=asked.after_change,
        within=within,
        retired=asked.retired,
        by=by,
    )


@router.post("/v1/challenge")
def challenge(request: Request, who: Inspector, body: Registration | Report) -> dict[str, Any]:
    """Registers a challenge part (engineers), or reports that a part was one. Durable when answered.

    A part whose id is `name`, or `name~` and anything, is a pass of it without a report.
    """
    deps: Deps = request.app.state.deps
    by = who.name or HERE
    try:
        if isinstance(body, Registration):
            if RANK.get(who.role, 0) < RANK["engineer"]:
                raise HTTPException(403, f"role {who.role} may report challenge parts; registering needs engineer")
            _must_be_his(who, body.line)
            models, *_ = deps.ledger.line_state()
            part = deps.challenges.register_challenge(challenge_part(body, models, by))
            note(request, who, "registered a challenge part", f"{part.line}, {part.name}")
            return {"status": "registered", "line": part.line, "name": part.name, "expected": part.expected}
        row = deps.ledger.parts([body.part_id]).get(body.part_id)
        _must_be_his(who, row.verdict.line if row else "")
        report = deps.challenges.report_challenge(body.part_id, body.name, by)
        note(request, who, "reported a challenge part", f"{report.line}, {report.name}, {report.part_id}")
        return {"status": "reported", "line": report.line, "name": report.name, "part_id": report.part_id}
    except InvalidInput as error:
        raise HTTPException(422, str(error)) from error


def _must_be_his(who: Caller, line: str) -> None:
    if not who.may_see(line):
        raise HTTPException(404, "there is no such line or part")


@router.get("/v1/challenge")
def challenges(request: Request, who: Inspector) -> list[dict[str, Any]]:
    """How the challenge parts of each line fare, and which are overdue."""
    snapshot = request.app.state.snapshots()
    return [
        {
            "line": line.line,
            "caught": line.challenges.caught,
            "missed": line.challenges.missed,
            "last_passed_at": line.challenges.last_passed_at,
            "overdue": [{"name": name, "due_at": due} for name, due in sorted(line.challenges.overdue.items())],
        }
        for line in snapshot.lines.values()
        if who.may_see(line.line)
    ]
