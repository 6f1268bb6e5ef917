"""The page on which parts are labelled, and what it asks for. Nothing here says verdict, score or why a part is in the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from service.errors import InvalidInput
from service.records import Lease, LineSnapshot, ModelInForce, Sample, Snapshot
from service.station.access import NO_NUL, Caller, allowed
from service.station.api import as_picture, picture_of
from service.station.deps import Deps
from service.station.desk import INSPECTOR, Claim, Desk
from service.station.pages import Visitor, templates
from service.station.queue import Queue
from service.station.refusals import Refusal
from service.station.views import hour

MOST = 3
"""Parts that a browser may have before it at once, the shown one included."""

router = APIRouter(tags=["labels"])
Inspector = Annotated[Caller, Depends(allowed("inspector"))]
Id = Annotated[str, Field(max_length=64, pattern=NO_NUL)]
Ids = Annotated[list[Id], Field(max_length=20)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inspector: Annotated[str, Field(max_length=64)] = ""
    line: str = ""


class More(_Asked):
    """have: leases that are looked at or wait in the browser; want: how many on top."""

    have: Ids = []
    want: Annotated[int, Field(ge=0, le=MOST)] = 1


class Back(_Asked):
    """leases: that nobody looks at any more; aside: because the inspector could not judge them."""

    leases: Ids
    aside: bool = False


class Answer(_Asked):
    """labelled_at: seconds UTC, when the key was pressed; the same again is no change."""

    lease: Id
    label: Annotated[str, Field(max_length=128)]
    labelled_at: float | None = None


@router.get("/review", response_class=HTMLResponse, include_in_schema=False)
def review(request: Request, who: Visitor) -> Response:
    """One part after the other, without the line's opinion of it."""
    return templates.TemplateResponse(request, "review.html", {"own": who.name, "fixed": who.own_name_only})


@router.get("/v1/queue")
def queue(request: Request, who: Inspector, inspector: str = "", line: Annotated[str, Query()] = "") -> dict[str, Any]:
    """The next part for this inspector, leased for five minutes: nothing of verdict, score or why it is here."""
    name, mine = _name(who, inspector), _lines(request, who, line)
    lease, due = _queue(request).next(sorted(mine), name)
    if lease is None:
        return {"part_id": None, "due": due}
    return {
        "part_id": lease.part_id,
        "line": lease.line,
        "image": f"/v1/parts/{lease.part_id}/image",
        "classes": list(mine[lease.line].classes),
        "leased_until": lease.until,
        "due": due,
    }


@router.post("/v1/review/next")
def more(request: Request, who: Inspector, body: More) -> dict[str, Any]:
    """Parts for this inspector, by leases of five minutes that asking again makes longer; how many are left, and by when."""
    _refuse_another(who, body.inspector)
    name, mine = _name(who, body.inspector), _lines(request, who, body.line)
    found = _queue(request).fill(sorted(mine), name, min(body.want, max(0, MOST - len(body.have))), body.have)
    snapshot: Snapshot = request.app.state.snapshots()
    known = [snapshot.lines[line] for line in mine if line in snapshot.lines]
    deps: Deps = request.app.state.deps
    return {
        "parts": [
            {
                "lease": lease.id,
                "line": lease.line,
                "image": f"/v1/review/{lease.id}/image",
                "classes": list(mine[lease.line].classes),
                "good": mine[lease.line].good,
            }
            for lease in found
        ],
        "left": _left(known),
        "words": _good_for(known),
        "now": deps.clock(),
    }


@router.post("/v1/review/back")
def back(request: Request, who: Inspector, body: Back) -> dict[str, str]:
    """Leases are given back. What was put aside does not come to this inspector for a quarter of an hour."""
    _queue(request).give_back(body.leases, _name(who, body.inspector), body.aside)
    return {"status": "given back"}


class Outcome(BaseModel):
    """What became of an answer."""

    status: str
    reason: str


@router.post("/v1/review/answers", responses={422: {"model": Outcome | Refusal}})
def answer(request: Request, response: Response, who: Inspector, body: Answer) -> dict[str, str]:
    """One label, durable when answered; run out or not, the lease says what it is about. Status 422: refused, with the reason.

    An answer after the model's view was shown is refused: it would no longer be blind.
    """
    _refuse_another(who, body.inspector)
    deps: Deps = request.app.state.deps
    lease = _lease(request, who, body.lease, body.inspector)
    if lease.seen:
        response.status_code = 422
        return {"status": "refused", "reason": "you have seen what the model said of this part"}
    if lease.sample:
        at = deps.clock() if body.labelled_at is None else body.labelled_at
        try:
            deps.samples.answered(Sample(lease.sample, lease.part_id, lease.line), lease.inspector, body.label, at)
        except InvalidInput as error:
            response.status_code = 422
            return {"status": "refused", "reason": str(error)}
        status, reason = "recorded", ""
        _queue(request).give_back([lease.id], lease.inspector)  # of a label the ledger knows it
    else:
        desk: Desk = request.app.state.desk
        claim = Claim(lease.part_id, body.label, lease.inspector, body.labelled_at)
        (receipt,) = desk.take([claim], who)
        status, reason = receipt.status, receipt.reason
    response.status_code = 422 if status == "refused" else 200
    return {"status": "recorded" if status == "unchanged" else status, "reason": reason}


@router.get("/v1/review/{lease}/image", response_class=Response)
def image(request: Request, who: Inspector, lease: str, inspector: str = "") -> Response:
    """The picture as the camera gave it."""
    deps: Deps = request.app.state.deps
    found = _lease(request, who, lease, inspector)
    row = deps.ledger.parts([found.part_id]).get(found.part_id)
    if row is None:
        raise HTTPException(404, "there is no such part")
    return as_picture(picture_of(deps, row))


@router.get("/v1/review/{lease}/view", responses={409: {"model": Refusal}})
def model_view(request: Request, who: Inspector, lease: str, inspector: str = "") -> dict[str, Any]:
    """What the model and others said of a part that this inspector has labelled; from then on he cannot label it again.

    404 where known samples or a study are among the parts of the line: one that is not shown would be known by that.
    """
    deps: Deps = request.app.state.deps
    found = _lease(request, who, lease, inspector)
    if found.sample or any(study.line == found.line and study.closed_at is None for study in deps.ledger.studies()):
        raise HTTPException(404, "not shown on this line while inspectors are being studied")
    labels = deps.ledger.labels([found.part_id]).get(found.part_id, ())
    if not any(row.label.inspector == found.inspector for row in labels):
        raise HTTPException(409, "label it first")
    row = deps.ledger.parts([found.part_id])[found.part_id]
    deps.leases.show(found.id)
    classes = next(
        model.classes for model in deps.ledger.model_history(found.line) if model.digest == row.verdict.model
    )
    return {
        "verdict": row.verdict.outcome.value,
        "predicted": row.verdict.predicted,
        "scores": dict(zip(classes, row.verdict.scores, strict=True)),
        "others": [row.label.label for row in labels if row.label.inspector != found.inspector],
        "heatmap": f"/v1/review/{found.id}/heatmap",
    }


@router.get("/v1/review/{lease}/heatmap", response_class=Response)
def heatmap(request: Request, who: Inspector, lease: str, inspector: str = "") -> Response:
    """Where the model looked, once the inspector has been shown what it said."""
    deps: Deps = request.app.state.deps
    found = _lease(request, who, lease, inspector)
    row = deps.ledger.parts([found.part_id]).get(found.part_id)
    if not found.seen or row is None:
        raise HTTPException(404, "there is nothing to show")
    drawn = deps.heatmap(picture_of(deps, row), row.verdict.model)
    if drawn is None:
        raise HTTPException(404, "the model of this part has no heatmap, or is not in the models folder")
    return Response(drawn, media_type="image/png")


def _queue(request: Request) -> Queue:
    found: Queue = request.app.state.queue
    return found


def _refuse_another(who: Caller, asked: str) -> None:
    """Raises HTTPException 401 where the page was opened by one inspector and somebody else has signed in since: it keeps its answers."""
    if who.own_name_only and asked not in ("", who.name):
        raise HTTPException(401, f"signed in as {who.name}, not as {asked}")


def _name(who: Caller, asked: str) -> str:
    """As whom somebody labels. Raises HTTPException 422."""
    name = who.name if who.own_name_only or not asked else asked
    if not INSPECTOR.fullmatch(name):
        raise HTTPException(422, "inspector: expected a name of up to 63 letters, digits, spaces and . @ -")
    return name


def _lines(request: Request, who: Caller, line: str) -> Mapping[str, ModelInForce]:
    deps: Deps = request.app.state.deps
    models, *_ = deps.ledger.line_state()
    mine = {model.line: model for model in models if model.role == "active" and who.may_see(model.line)}
    if line and line not in mine:
        raise HTTPException(404, "there is no such line")
    return {line: mine[line]} if line else mine


def _lease(request: Request, who: Caller, id: str, inspector: str) -> Lease:
    """Of this inspector and a line of his. Raises HTTPException 404."""
    deps: Deps = request.app.state.deps
    found = deps.leases.lease(id)
    if found is None or not who.may_see(found.line) or (who.own_name_only and found.inspector != who.name):
        raise HTTPException(404, "there is no such lease")
    if inspector and not who.own_name_only and found.inspector != inspector:
        raise HTTPException(404, "there is no such lease")
    return found


def _left(lines: Sequence[LineSnapshot]) -> int:
    return sum(sum(line.pending.values()) for line in lines)


def _good_for(lines: Sequence[LineSnapshot]) -> str:
    """The next bucket that closes, and how many labels it waits for; "" where none does."""
    closing = [(*line.due, line.line) for line in lines if line.due]
    if not closing:
        return ""
    at, count, line = min(closing)
    return f"{count} before {hour(at)} keep recall of line {line} known"
