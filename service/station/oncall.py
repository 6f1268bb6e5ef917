"""For whoever is paged: the pages, the parts and lots that they touch, and taking them on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.quality.truth import settled
from service.records import ALL, LineSnapshot, Outcome, Page, Snapshot
from service.station.access import Caller, allowed
from service.station.csvfile import iso, safe
from service.station.deps import Deps

ROWS_AT_ONCE = 1000
COLUMNS = ("part_id", "lot", "camera", "captured_at", "verdict", "exceedance", "known")

Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]

router = APIRouter(tags=["pages"])
Inspector = Annotated[Caller, Depends(allowed("inspector"))]
Engineer = Annotated[Caller, Depends(allowed("engineer"))]


class Taken(BaseModel):
    """Somebody takes on the pages of a line that stand. defect: all, or one."""

    model_config = ConfigDict(extra="forbid")

    line: str
    defect: str = ALL
    note: Note = Field(default="")


@router.get("/v1/pages")
def pages(request: Request, who: Inspector) -> list[dict[str, Any]]:
    """Every page that was ever raised, oldest first, with how it ended; a page that a correction took back stays, marked."""
    return [view(page, line) for line in _lines(request, who) for page in line.pages]


def view(page: Page, line: LineSnapshot) -> dict[str, Any]:
    """A page as JSON. parts_at_risk is counted while it stands."""
    state = (
        "standing"
        if page.standing
        else "taken back"
        if page.taken_back_at
        else "acknowledged"
        if page.acknowledged_at
        else "cleared"
    )
    return {
        "line": page.line,
        "defect": page.defect,
        "detector": page.detector.value,
        "state": state,
        "raised_at": page.raised_at,
        "taken_back_at": page.taken_back_at,
        "cleared_at": page.cleared_at,
        "acknowledged_at": page.acknowledged_at,
        "acknowledged_by": page.acknowledged_by,
        "note": page.note,
        "at_risk_from": page.at_risk_from,
        "began_with": page.began_ordinal,
        "parts_at_risk": line.at_risk.get(page.defect) if page.standing else None,
    }


@router.post("/v1/pages/acknowledge")
def acknowledge(request: Request, who: Engineer, body: Taken) -> list[dict[str, Any]]:
    """Takes on the pages that stand, for good: the next one needs evidence of its own. Answers them; 404 when none stands."""
    return [view(page, line) for line, page in _taken(request, who, body)]


@router.post("/acknowledge", include_in_schema=False)
def acknowledged(
    request: Request,
    who: Engineer,
    line: Annotated[str, Form()],
    defect: Annotated[str, Form()],
    note: Annotated[Note, Form()] = "",
) -> Response:
    """The same, from the form on `/`."""
    _taken(request, who, Taken(line=line, defect=defect, note=note))
    return RedirectResponse("/", 303)


def _taken(request: Request, who: Caller, asked: Taken) -> list[tuple[LineSnapshot, Page]]:
    line, standing = _standing(request, who, asked.line, asked.defect)
    deps: Deps = request.app.state.deps
    deps.challenges.acknowledge(asked.line, asked.defect, who.name or "this machine", asked.note)
    request.app.state.snapshots.forget()
    return [(line, page) for page in standing]


def _standing(request: Request, who: Caller, name: str, defect: str) -> tuple[LineSnapshot, list[Page]]:
    """The pages of a row that stand. Raises HTTPException 404 when there are none."""
    line = next((line for line in _lines(request, who) if line.line == name), None)
    standing = [page for page in line.pages if page.standing and defect in (ALL, page.defect)] if line else []
    if line is None or not standing:
        raise HTTPException(404, "no such page stands")
    return line, standing


def _lines(request: Request, who: Caller) -> list[LineSnapshot]:
    snapshot: Snapshot = request.app.state.snapshots()
    return [line for line in snapshot.lines.values() if who.may_see(line.line)]


@router.get("/v1/containment")
def containment(request: Request, who: Engineer, line: str, defect: str = ALL) -> dict[str, Any]:
    """How many passed parts, of which lots, the pages that stand touch: all since recall was last known to be good."""
    found, standing = _standing(request, who, line, defect)
    first = min(page.at_risk_from for page in standing)
    lots = request.app.state.deps.ledger.lots_at_risk(found.line, first)
    return {
        "line": found.line,
        "defects": sorted({page.defect for page in standing}),
        "from_ordinal": first,
        "parts": sum(count for _, count in lots),
        "lots": [{"lot": lot, "parts": count} for lot, count in lots],
    }


@router.get("/v1/containment.csv", response_class=StreamingResponse)
def containment_csv(request: Request, who: Engineer, line: str, defect: str = ALL) -> StreamingResponse:
    """The same part by part. known: what an inspector has found it to be, empty where nobody has looked."""
    found, standing = _standing(request, who, line, defect)
    first = min(page.at_risk_from for page in standing)
    rows = _rows(request.app.state.deps, found.line, first)
    name = f'attachment; filename="parts-at-risk-{int(min(page.raised_at for page in standing))}.csv"'
    return StreamingResponse(rows, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


def _rows(deps: Deps, line: str, first: int) -> Iterator[str]:
    yield _text(COLUMNS)
    models, *_ = deps.ledger.line_state()
    good = next((model.good for model in models if model.line == line and model.role == "active"), "good")
    last = 0
    while rows := deps.ledger.at_risk(line, first, last, ROWS_AT_ONCE):
        labels = deps.ledger.labels([row.verdict.part_id for row in rows])
        for row in rows:
            one = row.verdict
            known = settled(labels.get(one.part_id, ()), Outcome.AUDIT, good, second_look=True)
            yield _text(
                (
                    one.part_id,
                    one.lot,
                    one.camera,
                    iso(one.captured_at),
                    one.outcome.value,
                    f"{one.exceedance:.4f}",
                    known or "",
                )
            )
        last = rows[-1].sequence


def _text(cells: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(safe(cells))
    return line.getvalue()
