"""Builds the station's application: API, pages, limits, and the fence that lets no traceback out."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from threading import Lock
from typing import Final

import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import LedgerUnavailable
from service.records import Snapshot
from service.station import api, challenge, oncall, pages, parts, review, runbook, sessions, studies, window
from service.station.deps import Deps, Watcher
from service.station.desk import Desk
from service.station.queue import Queue
from service.station.refusals import add_refusals, answer

MAX_BODY: Final = 8 * 1024 * 1024
PATIENCE: Final = 20.0
FRESH: Final = 1.0
CLOSE: Final = {"Connection": "close"}
HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # without any a browser says of our own forms that they come from nowhere
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
)

log = structlog.get_logger()


def create_app(deps: Deps, patience: float = PATIENCE) -> FastAPI:
    """The station over the given parts; it owns none of them. patience: seconds for the next piece of a body."""
    app = FastAPI(title="redrabbit station", docs_url=None, redoc_url=None)
    app.state.deps = deps
    app.state.desk = Desk(deps.ledger, deps.labels, deps.clock, deps.meter)
    app.state.tries = sessions.Tries()
    app.state.snapshots = _Snapshots(deps.monitor)
    app.state.queue = Queue(deps.ledger, deps.leases, deps.samples, deps.monitor, deps.clock, app.state.snapshots)
    app.include_router(api.router)
    app.include_router(challenge.router)
    app.include_router(oncall.router)
    app.include_router(pages.router)
    app.include_router(review.router)
    app.include_router(sessions.router)
    app.include_router(parts.router)
    app.include_router(window.router)
    app.include_router(runbook.router)
    app.include_router(studies.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")

    @app.exception_handler(LedgerUnavailable)
    def unavailable(request: Request, error: LedgerUnavailable) -> Response:
        log.error("ledger unavailable", path=request.url.path, why=str(error))
        deps.meter.ledger_unavailable()
        return answer(request, 503, "the ledger is not available just now", {"Retry-After": "2"})

    add_refusals(app)
    app.add_middleware(_Fence, deps=deps, patience=patience)
    return app


class _Snapshots:
    """One snapshot for all who ask within a second."""

    def __init__(self, monitor: Watcher) -> None:
        self._monitor = monitor
        self._lock = Lock()
        self._taken = float("-inf")
        self._newest: Snapshot | None = None

    def __call__(self) -> Snapshot:
        with self._lock:
            if self._newest is None or time.monotonic() - self._taken > FRESH:
                self._newest = self._monitor.snapshot()
                self._taken = time.monotonic()
            return self._newest

    def forget(self) -> None:
        """Somebody has just changed what the next one who asks must see."""
        with self._lock:
            self._newest = None


class _Fence:
    """Around every request: bodies have a limit, headers are added, the time is taken, and what fails says nothing of itself."""

    def __init__(self, app: ASGIApp, deps: Deps, patience: float) -> None:
        self._app = app
        self._patience = patience
        self._meter = deps.meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, size = time.monotonic(), 0, 0

        async def limited() -> Message:
            nonlocal size
            try:
                message = await asyncio.wait_for(receive(), self._patience)
            except TimeoutError as error:
                raise HTTPException(408, "the body took too long", CLOSE) from error
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes", CLOSE)
            return message

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            await self._app(scope, limited, with_headers)
        except Exception:
            log.exception("request failed", path=scope["path"])
            if not status:
                failed = JSONResponse({"detail": "internal error; the station's log says more"}, 500)
                await failed(scope, receive, with_headers)
        route = getattr(scope.get("route"), "path", "unmatched")
        self._meter.request(route, status, time.monotonic() - started)
