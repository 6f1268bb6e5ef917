"""What is answered to somebody who may not, or asks for what is not there: a page for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from service.station.pages import templates

FAULTS: Final = 10
"""So many are told of one request."""


class Fault(BaseModel):
    """One field that is not as described. loc: where it stands."""

    type: str
    loc: list[str]
    msg: str


class Refusal(BaseModel):
    """Why nothing was done: in words, or field by field."""

    detail: str | list[Fault]


REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Refusal, "description": HTTPStatus(status).phrase}
    for status in (400, 401, 403, 404, 408, 413, 422, 503)
}
"""What every call may be answered beside what it is for."""


def add_refusals(app: FastAPI) -> None:
    """Handlers for both kinds of refusal. A redirect is none."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code < 400:
            return await http_exception_handler(request, error)
        return answer(request, error.status_code, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> Response:
        faults = [
            {"type": one["type"], "loc": [str(step)[:80] for step in one["loc"]], "msg": one["msg"][:200]}
            for one in error.errors()[:FAULTS]
        ]
        if _is_read_by_somebody(request):
            return answer(request, 422, f"{faults[0]['loc'][-1]}: {faults[0]['msg']}")
        # FastAPI's own answer repeats what came: megabytes, numbers that are none in JSON, half characters that cannot be written.
        return Response(json.dumps({"detail": faults}), 422, media_type="application/json")


def answer(request: Request, status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    """As a page where somebody reads it."""
    if not _is_read_by_somebody(request):
        return JSONResponse({"detail": why}, status, headers)
    context = {"status": status, "title": HTTPStatus(status).phrase, "why": why}
    return templates.TemplateResponse(request, "refused.html", context, status_code=status, headers=headers)


def _is_read_by_somebody(request: Request) -> bool:
    """Browsers say so when an address is opened; scripts, also those of our pages, ask for anything."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")
