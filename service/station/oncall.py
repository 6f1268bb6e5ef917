"""For whoever is paged: the pages, the parts and lots that they touch, and taking them on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.quality.truth import settled
from service.records import ALL, LineSnapshot, Outcome, Page, Snapshot
from service.station.access import HERE, Caller, allowed, note
from service.station.csvfile import csv_row, iso
from service.station.deps import Deps
from service.station.pages import EngineerVisitor, Visitor, templates

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


def ending(page: Page) -> str:
    """How a page ended, or that it stands."""
    if page.standing:
        return "standing"
    if page.taken_back_at:
        return "taken back"
    return "acknowledged" if page.acknowledged_at else "cleared"


def view(page: Page, line: LineSnapshot) -> dict[str, Any]:
    """A page as JSON. parts_at_risk is counted while it stands."""
    return {
        "line": page.line,
        "defect": page.defect,
        "detector": page.detector.value,
        "state": ending(page),
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
    line, standing = standing_pages(request, who, asked.line, asked.defect)
    deps: Deps = request.app.state.deps
    deps.challenges.acknowledge(asked.line, asked.defect, who.name or HERE, asked.note)
    note(request, who, "acknowledged", f"{asked.line}, {asked.defect}")
    request.app.state.snapshots.forget()
    return [(line, page) for page in standing]


def standing_pages(request: Request, who: Caller, name: str, defect: str) -> tuple[LineSnapshot, list[Page]]:
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
    _, standing = standing_pages(request, who, line, defect)
    return _touched(request.app.state.deps, line, standing)


def _touched(deps: Deps, line: str, standing: list[Page]) -> dict[str, Any]:
    first = min(page.at_risk_from for page in standing)
    lots = deps.ledger.lots_at_risk(line, first)
    return {
        "line": line,
        "defects": sorted({page.defect for page in standing}),
        "from_ordinal": first,
        "parts": sum(count for _, count in lots),
        "lots": [{"lot": lot, "parts": count} for lot, count in lots],
    }


@router.get("/containment", response_class=HTMLResponse, include_in_schema=False)
def held(request: Request, who: EngineerVisitor, line: str, defect: str = ALL) -> Response:
    """The same to read: what to hold, lot by lot, the list of the parts, and a note for whoever comes after."""
    try:
        snapshot, standing = standing_pages(request, who, line, defect)
    except HTTPException:  # acknowledged meanwhile, or never raised: the list of all pages says which
        return templates.TemplateResponse(request, "containment.html", {"line": line, "defect": defect}, 404)
    deps: Deps = request.app.state.deps
    found = _touched(deps, line, standing)
    first = deps.ledger.at_risk(line, found["from_ordinal"], 0, 1)
    context = {
        "line": line,
        "defect": defect,
        "found": found,
        "standing": standing,
        "first": first[0].verdict if first else None,
        "newest": snapshot.last_captured_at,
        "most": max((lot["parts"] for lot in found["lots"]), default=1),
    }
    return templates.TemplateResponse(request, "containment.html", context)


@router.get("/pages", response_class=HTMLResponse, include_in_schema=False)
def history(request: Request, who: Visitor) -> Response:
    """Every page that was ever raised, newest first: how it ended, who took it on, and with which note."""
    rows = [(page, ending(page), line.at_risk.get(page.defect)) for line in _lines(request, who) for page in line.pages]
    rows.sort(key=lambda row: row[0].raised_at, reverse=True)
    return templates.TemplateResponse(request, "pages.html", {"rows": rows})


@router.get("/v1/containment.csv", response_class=StreamingResponse)
def containment_csv(request: Request, who: Engineer, line: str, defect: str = ALL) -> StreamingResponse:
    """The same part by part. known: what an inspector has found it to be, empty where nobody has looked."""
    found, standing = standing_pages(request, who, line, defect)
    first = min(page.at_risk_from for page in standing)
    note(request, who, "fetched the parts at risk", f"{line}, {defect}")
    rows = _rows(request.app.state.deps, found.line, first)
    name = f'attachment; filename="parts-at-risk-{int(min(page.raised_at for page in standing))}.csv"'
    return StreamingResponse(rows, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


def _rows(deps: Deps, line: str, first: int) -> Iterator[str]:
    yield csv_row(COLUMNS)
    models, *_ = deps.ledger.line_state()
    good = next((model.good for model in models if model.line == line and model.role == "active"), "good")
    last = 0
    while rows := deps.ledger.at_risk(line, first, last, ROWS_AT_ONCE):
        labels = deps.ledger.labels([row.verdict.part_id for row in rows])
        for row in rows:
            one = row.verdict
            known = settled(labels.get(one.part_id, ()), Outcome.AUDIT, good, second_look=True)
            yield csv_row(
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
