"""What is answered to somebody who may not, or asks for what is not there: a page for people, JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from service.station.pages import templates


def add_refusals(app: FastAPI) -> None:
    """Handlers for both kinds of refusal. A redirect is none."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code < 400:
            return await http_exception_handler(request, error)
        return answer(request, error.status_code, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> Response:
        if not _is_read_by_somebody(request):
            return await request_validation_exception_handler(request, error)
        first = error.errors()[0]
        return answer(request, 422, f"{first['loc'][-1]}: {first['msg']}")


def answer(request: Request, status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    """As a page where somebody reads it."""
    if not _is_read_by_somebody(request):
        return JSONResponse({"detail": why}, status, headers)
    context = {"status": status, "title": HTTPStatus(status).phrase, "why": why}
    return templates.TemplateResponse(request, "refused.html", context, status_code=status, headers=headers)


def _is_read_by_somebody(request: Request) -> bool:
    """Browsers say so when an address is opened; scripts, also those of our pages, ask for anything."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")
