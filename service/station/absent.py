"""The list of parts that nobody judged, for whoever holds them or looks at them by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import StreamingResponse

from service.records import Snapshot
from service.station.access import Caller, allowed, note
from service.station.csvfile import csv_row, iso
from service.station.deps import Deps

ROWS_AT_ONCE = 1000
COLUMNS = ("part_id", "camera", "trigger", "captured_at", "reason", "verdict", "recorded_at")

router = APIRouter(tags=["parts"])
Engineer = Annotated[Caller, Depends(allowed("engineer"))]


@router.get("/v1/not-inspected.csv", response_class=StreamingResponse)
def not_inspected_csv(request: Request, who: Engineer, line: str) -> StreamingResponse:
    """All of the line, the oldest first. verdict: what the line was told. trigger: empty where it is not known."""
    snapshot: Snapshot = request.app.state.snapshots()
    if line not in snapshot.lines or not who.may_see(line):
        raise HTTPException(404, "there is no such line")
    note(request, who, "fetched the parts that were not inspected", line)
    headers = {"Content-Disposition": 'attachment; filename="not-inspected.csv"'}
    rows = _rows(request.app.state.deps, line)
    return StreamingResponse(rows, media_type="text/csv; charset=utf-8", headers=headers)


def _rows(deps: Deps, line: str) -> Iterator[str]:
    yield csv_row(COLUMNS)
    last = 0
    while found := deps.ledger.not_inspected_after(last, ROWS_AT_ONCE):
        for _, recorded_at, one in found:
            if one.line == line:
                trigger = "" if one.trigger is None else str(one.trigger)
                told = one.reason, one.outcome.value
                yield csv_row((one.part_id, one.camera, trigger, iso(one.captured_at), *told, iso(recorded_at)))
        last = found[-1][0]
