"""The HTTP API, version 1. Handlers are plain functions: they wait for the ledger in FastAPI's threads."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Request, Response
from pydantic import BaseModel

from service.records import RecordedVerdict
from service.station import views
from service.station.access import Caller, allowed, scraper
from service.station.deps import Deps
from service.station.desk import PART_ID, Claim, Desk
from service.station.refusals import Refusal

MOST_LABELS = 10_000
KINDS = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}

router = APIRouter()

Inspector = Annotated[Caller, Depends(allowed("inspector"))]
Engineer = Annotated[Caller, Depends(allowed("engineer"))]


def _deps(request: Request) -> Deps:
    found: Deps = request.app.state.deps
    return found


class Receipt(BaseModel):
    """What became of a label."""

    part_id: str
    status: str
    reason: str


@router.post(
    "/v1/labels",
    tags=["labels"],
    responses={
        202: {"model": Receipt, "description": "recorded; its part is not there yet"},
        422: {"model": Receipt | Refusal},
    },
)
def add_labels(request: Request, response: Response, who: Inspector, body: Annotated[Any, Body()]) -> Any:
    """Takes one label, or a list of up to 10,000: part_id, label, inspector, labelled_at (optional; now).

    Answers a receipt for each once it is durable: status recorded, unchanged (the same again), waiting (recorded; its part is
    not there yet) or refused, with the reason. One label answers 200, 202 when waiting, 422 when refused; a list answers 200.
    `source` is accepted and not believed: it is set from the ledger.
    """
    rows = body if isinstance(body, list) else [body]
    if len(rows) > MOST_LABELS:
        raise HTTPException(413, f"{len(rows)} labels; expected at most {MOST_LABELS}")
    desk: Desk = request.app.state.desk
    receipts = [
        {"part_id": receipt.part_id, "status": receipt.status, "reason": receipt.reason}
        for receipt in desk.take([_claim(row) for row in rows], who)
    ]
    if isinstance(body, list):
        return receipts
    response.status_code = {"waiting": 202, "refused": 422}.get(receipts[0]["status"], 200)
    return receipts[0]


def _claim(row: object) -> Claim:
    if not isinstance(row, dict):
        return Claim(None, None)
    return Claim(row.get("part_id"), row.get("label"), row.get("inspector"), row.get("labelled_at"))


def _part(deps: Deps, part_id: str, who: Caller) -> RecordedVerdict:
    row = deps.ledger.parts([part_id]).get(part_id) if PART_ID.fullmatch(part_id) else None
    if row is None or not who.may_see(row.verdict.line):
        raise HTTPException(404, "there is no such part")
    return row


@router.get("/v1/parts/{part_id}", tags=["parts"])
def part(request: Request, who: Engineer, part_id: str) -> dict[str, Any]:
    """One part's record and its labels. Not for inspectors, whom it would bias."""
    deps = _deps(request)
    row = _part(deps, part_id, who)
    return views.part(row, deps.ledger.labels([part_id]).get(part_id, ()))


def picture_of(deps: Deps, row: RecordedVerdict) -> bytes:
    content = deps.images.load(row.verdict.image)
    if content is None:
        raise HTTPException(404, "this picture is no longer kept")
    return content


@router.get("/v1/parts/{part_id}/image", tags=["parts"], response_class=Response)
def image(request: Request, who: Inspector, part_id: str) -> Response:
    """The picture as the camera gave it."""
    deps = _deps(request)
    content = picture_of(deps, _part(deps, part_id, who))
    return as_picture(content)


def as_picture(content: bytes) -> Response:
    """With the type that it begins like."""
    kind = next((kind for start, kind in KINDS.items() if content.startswith(start)), None)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "image/webp"
    return Response(content, media_type=kind or "application/octet-stream")


@router.get("/v1/parts/{part_id}/heatmap", tags=["parts"], response_class=Response)
def heatmap(request: Request, who: Engineer, part_id: str) -> Response:
    """Where the model that judged the part looked, laid over the picture. Not for inspectors, whom it would bias."""
    deps = _deps(request)
    part = _part(deps, part_id, who)
    found = deps.heatmap(picture_of(deps, part), part.verdict.model)
    if found is None:
        raise HTTPException(404, "the model of this part has no heatmap, or is not in the models folder")
    return Response(found, media_type="image/png")


@router.get("/v1/quality", tags=["quality"])
def quality(request: Request, who: Inspector) -> dict[str, Any]:
    """Every estimate over closed buckets, provisional ones beside, and the evidence."""
    snapshot = request.app.state.snapshots()
    lines = [line for line in snapshot.lines.values() if who.may_see(line.line)]
    return views.quality(snapshot, lines, blind=who.own_name_only)


@router.get("/healthz", tags=["health"])
def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.get("/readyz", tags=["health"])
def readyz(request: Request) -> dict[str, str]:
    """The ledger can be read; 503 when not."""
    _deps(request).ledger.line_state()
    return {"status": "ready"}


@router.get("/metrics", tags=["health"], response_class=Response)
def metrics(request: Request, who: Annotated[Caller, Depends(scraper)]) -> Response:
    """The station's own metrics in Prometheus' text format."""
    return Response(_deps(request).metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")
