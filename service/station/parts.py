"""One part with all that is known of it, and the search for parts. For engineers: verdicts and scores would bias an inspector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Annotated, Any, Final

import cv2
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response

from service.errors import BadImage
from service.images import decode
from service.records import RecordedLabel, RecordedVerdict
from service.station.access import Caller
from service.station.deps import Deps
from service.station.desk import PART_ID
from service.station.pages import EngineerVisitor, templates
from service.station.searching import Asked, Found, look
from service.station.window import accounts

router = APIRouter(include_in_schema=False)

SIDES: Final = (64, 2048)
"""Pixels: the smallest and the largest picture that a page asks for."""

DECODING: Final = BoundedSemaphore(4)
"""Pictures that are unpacked at once: a page asks for 120, and a large one takes 150 MB."""


@dataclass(frozen=True, slots=True)
class Score:
    """threshold: from which on the part is flagged, None for the good class and where the model is not known."""

    name: str
    value: float
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Beside:
    """A way to a neighbour in time; part_id None: there is none."""

    words: str
    part_id: str | None


@router.get("/parts", response_class=HTMLResponse)
def search(request: Request, who: EngineerVisitor, asked: Annotated[Asked, Query()]) -> Response:
    """Parts of one line, newest first. What cannot be asked so is answered with 422, and with the form as it was filled in."""
    snapshot = request.app.state.snapshots()
    lines = {line.line: line for line in snapshot.lines.values() if who.may_see(line.line)}
    if not asked.line:
        asked = asked.model_copy(update={"line": next(iter(lines), "")})
    deps: Deps = request.app.state.deps
    found = (
        look(deps, asked) if asked.line in lines else Found(fault=f"line {asked.line!r}: there is none of that name")
    )
    line = lines.get(asked.line)
    context = {
        "asked": asked,
        "found": found,
        "lines": list(lines),
        "cameras": sorted({camera for camera, _ in line.parts}) if line else [],
        "words": line.models[0].classes if line and line.models else (),
        "labels": accounts(deps.ledger.labels([row.verdict.part_id for row in found.rows])),
    }
    return templates.TemplateResponse(request, "parts.html", context, 422 if found.fault and lines else 200)


def _recorded(deps: Deps, part_id: str, who: Caller) -> RecordedVerdict:
    row = deps.ledger.parts([part_id]).get(part_id) if PART_ID.fullmatch(part_id) else None
    if row is None or not who.may_see(row.verdict.line):
        raise HTTPException(404, "there is no such part")
    return row


@router.get("/parts/{part_id}", response_class=HTMLResponse)
def part(request: Request, who: EngineerVisitor, part_id: str) -> Response:
    """The picture, where the model looked, its scores, who labelled it what, what it counts for, what was before and after it."""
    deps: Deps = request.app.state.deps
    row = _recorded(deps, part_id, who)
    request.app.state.snapshots()  # the monitor has to have seen it
    labels = deps.ledger.labels([part_id]).get(part_id, ())
    models = {model.digest: model for model in deps.ledger.model_history(row.verdict.line)}
    model = models.get(row.verdict.model)
    context = {
        "row": row,
        "one": row.verdict,
        "model": model,
        "names": {digest: one.name for digest, one in models.items()},
        "scores": _scores(row, model.classes if model else (), model.decision_thresholds if model else {}),
        "labels": sorted(labels, key=lambda label: label.sequence, reverse=True),
        "corrected": _corrected(labels),
        "shadows": [one.verdict for one in deps.ledger.shadow_verdicts([part_id]).get(part_id, ())],
        "beside": _beside(deps, row),
        **_known(deps, row, labels),
    }
    return templates.TemplateResponse(request, "part.html", context)


def _scores(row: RecordedVerdict, classes: Sequence[str], thresholds: Mapping[str, float]) -> list[Score]:
    values = row.verdict.scores
    names = classes if len(classes) == len(values) else [f"class {number}" for number in range(len(values))]
    return [Score(name, value, thresholds.get(name)) for name, value in zip(names, values, strict=True)]


def _corrected(labels: Sequence[RecordedLabel]) -> set[int]:
    """The rows (sequence) that a later one of the same inspector replaces."""
    newest = {
        label.label.inspector: label for label in sorted(labels, key=lambda row: (row.label.labelled_at, row.sequence))
    }
    return {label.sequence for label in labels} - {label.sequence for label in newest.values()}


def _known(deps: Deps, row: RecordedVerdict, labels: Sequence[RecordedLabel]) -> dict[str, Any]:
    """What the part was taken for when its bucket closed, and what it is taken for now."""
    closes_at = deps.monitor.closes_at(row.verdict.line, row.ordinal)
    rule = deps.monitor.settling(row.verdict.line)
    closed = closes_at is not None and closes_at <= deps.clock()
    in_time = [label for label in labels if closes_at is not None and label.recorded_at <= closes_at]
    return {
        "closes_at": closes_at,
        "closed": closed,
        "first_reported": rule.actual(row.verdict, in_time) if rule and closed else None,
        "known": rule.actual(row.verdict, labels) if rule else None,
        "good": rule.good if rule else "good",
    }


def _beside(deps: Deps, row: RecordedVerdict) -> list[Beside]:
    before, after = deps.ledger.beside(row)
    camera_before, camera_after = deps.ledger.beside(row, row.verdict.camera)
    return [
        Beside("before, on the line", before),
        Beside("after, on the line", after),
        Beside("before, by this camera", camera_before),
        Beside("after, by this camera", camera_after),
    ]


@router.get("/parts/{part_id}/picture.jpg", response_class=Response)
def picture(
    request: Request, who: EngineerVisitor, part_id: str, side: Annotated[int, Query(ge=SIDES[0], le=SIDES[1])] = 240
) -> Response:
    """The picture at most `side` pixels wide and high, in a format that every browser shows."""
    deps: Deps = request.app.state.deps
    content = deps.images.load(_recorded(deps, part_id, who).verdict.image)
    if content is None:
        raise HTTPException(404, "this picture is no longer kept")
    with DECODING:
        try:
            image = decode(content)
        except BadImage as fault:
            raise HTTPException(404, f"this picture cannot be shown: {fault}") from fault
        scale = min(1.0, side / max(image.shape[:2]))
        size = tuple(max(1, round(length * scale)) for length in image.shape[1::-1])
        done, small = cv2.imencode(".jpg", cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    if not done:
        raise HTTPException(404, "this picture cannot be shown")
    return Response(small.tobytes(), media_type="image/jpeg")
