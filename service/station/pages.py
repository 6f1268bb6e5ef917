"""The pages people open: `/` says whether the line can be trusted, `/review` is where parts are labelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from service.quality.paired import in_words
from service.records import ALL, Comparison, LineSnapshot, Role, Snapshot, WindowQuality
from service.station import views
from service.station.access import COOKIE, RANK, Caller, allowed, caller, hash_secret, refuse_other_sites
from service.station.deps import Deps

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(directory=Path(__file__).parent / "templates")

BAND_WIDTH = 240
WORDS = {
    "PROVEN": "the lower limit is at or above the threshold",
    "BELOW": "the upper limit is under the threshold",
    "UNDECIDED": "the threshold lies within the limits",
    "UNKNOWN": "nothing can be said",
}


@dataclass(frozen=True, slots=True)
class Band:
    """Where limits, point and threshold lie in a drawing BAND_WIDTH wide; point and threshold may be absent."""

    lower: float
    upper: float
    point: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class ShownRow:
    """provisional: the same row with the open buckets in it. needed: the evidence that is still missing, in words."""

    row: WindowQuality
    provisional: WindowQuality
    band: Band | None
    word: str
    needed: str


def _visitor(request: Request) -> Caller:
    """As for the API, but somebody without a token is led to where one is asked for."""
    try:
        return caller(request)
    except HTTPException as refusal:
        if refusal.status_code == 401:
            raise HTTPException(303, headers={"Location": "/sign-in"}) from refusal
        raise


Visitor = Annotated[Caller, Depends(_visitor)]
Inspector = Annotated[Caller, Depends(allowed("inspector"))]


@router.get("/", response_class=HTMLResponse)
def today(request: Request, who: Visitor) -> Response:
    """Every line: recall with its limits against the threshold, in words; what is due; who is at work."""
    snapshot: Snapshot = request.app.state.snapshots()
    lines = [line for line in snapshot.lines.values() if who.may_see(line.line)]
    threshold = request.app.state.deps.threshold
    shown = [
        {
            "line": line,
            "rows": _rows(line, threshold),
            "lag": _median_lag(line),
            "pages": [page for page in line.pages if page.standing],
            "names": _names(request, line),
            "shadows": _beside(line),
        }
        for line in lines
    ]
    again = {line.line: len(request.app.state.deps.monitor.second_looks(line.line)) for line in lines}
    context = {
        "lines": shown,
        "engineer": RANK.get(who.role, 0) >= RANK["engineer"],
        "advice": views.advice(lines, again),
        "second_looks": again,
        "now": snapshot.as_of,
        "width": BAND_WIDTH,
    }
    return templates.TemplateResponse(request, "today.html", context)


def _rows(line: LineSnapshot, threshold: Callable[[str, str, int], float | None]) -> list[ShownRow]:
    """With one kind of defect, ALL says the same again and is left out."""
    kinds = len(line.defects) - 1
    found = []
    for row, provisional in zip(line.quality, line.provisional, strict=True):
        if not (row.defect == ALL and kinds == 1):
            limit = threshold(line.line, row.defect, kinds)
            needed = views.evidence_needed(row)
            found.append(ShownRow(row, provisional, _band(row, limit), WORDS[row.state.value], needed))
    return found


def _names(request: Request, line: LineSnapshot) -> dict[str, str]:
    """What the models of the line are called, by digest."""
    deps: Deps = request.app.state.deps
    return {model.digest: f"{model.name} {model.digest[:12]}" for model in deps.ledger.model_history(line.line)}


def _beside(line: LineSnapshot) -> list[tuple[Comparison, str]]:
    """The shadow in force against the active model, row by row, each with its sentence."""
    in_force = {model.role: model.digest for model in line.models}
    pair = in_force.get(Role.ACTIVE), in_force.get(Role.SHADOW)
    kinds = len(line.defects) - 1
    return [
        (one, in_words(one))
        for one in line.comparisons
        if (one.active, one.shadow) == pair and not (one.defect == ALL and kinds == 1)
    ]


def _band(row: WindowQuality, threshold: float | None) -> Band | None:
    recall = row.recall
    if not recall.estimable:
        return None
    point = None if recall.point is None else recall.point * BAND_WIDTH
    limit = None if threshold is None else threshold * BAND_WIDTH
    return Band(recall.lower * BAND_WIDTH, recall.upper * BAND_WIDTH, point, limit)


def _median_lag(line: LineSnapshot) -> float | None:
    """The upper bound of the histogram's bucket that holds the median label, seconds."""
    lag = line.label_lag
    total = lag.counts[-1]
    if not total:
        return None
    return next(bound for bound, count in zip(lag.bounds, lag.counts, strict=True) if count * 2 >= total)


@router.get("/review", response_class=HTMLResponse)
def review(request: Request, who: Visitor) -> Response:
    """One part after the other, without the line's opinion of it."""
    return templates.TemplateResponse(request, "review.html", {"name": who.name, "fixed": who.own_name_only})


@router.get("/sign-in", response_class=HTMLResponse)
def sign_in(request: Request) -> Response:
    return templates.TemplateResponse(request, "sign-in.html", {"wrong": False})


@router.post("/sign-in", response_class=HTMLResponse)
def signed_in(request: Request, token: Annotated[str, Form()]) -> Response:
    """Keeps the token in a cookie that no script and no other site gets to see."""
    refuse_other_sites(request)  # else somebody could be signed in under another's name
    deps: Deps = request.app.state.deps
    if deps.ledger.token(hash_secret(token.strip())) is None:
        return templates.TemplateResponse(request, "sign-in.html", {"wrong": True}, status_code=401)
    answer = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token.strip(), httponly=True, samesite="strict", secure=secure, max_age=43_200)
    return answer


def _clock_time(seconds: float | None) -> str:
    """UTC, as everywhere."""
    return "never" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


templates.env.filters |= {"clock": _clock_time, "duration": _duration, "share": _share}
