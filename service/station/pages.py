"""The pages people open: `/` says whether the line can be trusted, `/review` is where parts are labelled."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.templating import Jinja2Templates

from service.errors import LedgerUnavailable
from service.records import Snapshot
from service.station.access import RANK, Caller, caller
from service.station.today import today as shown_today
from service.station.views import hour

router = APIRouter(include_in_schema=False)


def _standing(request: Request) -> dict[str, Any]:
    """For the head of every page: an inspector is not offered what would bias him. The runbook is there whatever happens."""
    try:
        who = caller(request)
    except (HTTPException, LedgerUnavailable):
        return {"engineer": False, "admin": False, "name": ""}
    return {"engineer": is_engineer(who), "admin": who.role == "admin", "name": who.name}


templates = Jinja2Templates(directory=Path(__file__).parent / "templates", context_processors=[_standing])


def is_engineer(who: Caller) -> bool:
    """Or above: may see verdicts and scores."""
    return RANK.get(who.role, 0) >= RANK["engineer"]


def known_visitor(request: Request) -> Caller:
    """As for the API, but somebody whom nobody knows is led to where he can sign in."""
    try:
        return caller(request)
    except HTTPException as refusal:
        if refusal.status_code == 401:
            raise HTTPException(303, headers={"Location": f"/sign-in{_and_back(request)}"}) from refusal
        raise


def visitor(request: Request) -> Caller:
    """Who may label: everybody but machines that scrape."""
    return _at_least("inspector", request)


def engineer_visitor(request: Request) -> Caller:
    """A visitor who may see verdicts and scores."""
    return _at_least("engineer", request)


def _at_least(role: str, request: Request) -> Caller:
    who = known_visitor(request)
    if RANK.get(who.role, 0) < RANK[role]:
        raise HTTPException(403, f"role {who.role} may not see this; expected {role} or above")
    return who


def _and_back(request: Request) -> str:
    """Where somebody is led once he has signed in; a form cannot be sent again for him."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "" if asked == "/" or request.method != "GET" else f"?next={quote(asked, safe='')}"


Visitor = Annotated[Caller, Depends(visitor)]
EngineerVisitor = Annotated[Caller, Depends(engineer_visitor)]


@router.get("/", response_class=HTMLResponse)
def today(request: Request, who: Visitor) -> Response:
    """Every line: recall with its limits against the threshold, in words; what is due; who is at work."""
    snapshot: Snapshot = request.app.state.snapshots()
    lines = [line for line in snapshot.lines.values() if who.may_see(line.line)]
    context = shown_today(request.app.state.deps, snapshot, lines, engineer=is_engineer(who))
    return templates.TemplateResponse(request, "today.html", context)


def _clock_time(seconds: float | None) -> str:
    """UTC, as everywhere."""
    return "never" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    seconds = max(0.0, seconds)  # what came since the figures were taken
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _evidence(value: float) -> str:
    """Three figures; from 1 to a million that is easier to read than powers of ten."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def _weight(value: float) -> str:
    """How many parts one stands for; whole where it is."""
    return f"{value:,.0f}" if abs(value - round(value)) < 0.05 else f"{value:,.1f}"


templates.env.filters |= {
    "clock": _clock_time,
    "duration": _duration,
    "evidence": _evidence,
    "hour": hour,
    "share": _share,
    "weight": _weight,
}
