"""Builds the station's application: API, pages, limits, and the fence that lets no traceback out."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Lock
from typing import Final

import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import LedgerUnavailable
from service.records import Snapshot
from service.station import (
    absent,
    access,
    api,
    challenge,
    oncall,
    pages,
    parts,
    recipes,
    review,
    runbook,
    sessions,
    studies,
    window,
)
from service.station.deps import Deps, Watcher
from service.station.desk import Desk
from service.station.queue import Queue
from service.station.refusals import REFUSALS, add_refusals, answer

MAX_BODY: Final = 8 * 1024 * 1024
"""Of a list of labels, from somebody we know."""
SMALL: Final = 64 * 1024
"""Of everything else."""
LARGE_AT_ONCE: Final = 4
"""Bodies above SMALL that are in memory together; what JSON unfolds to may be twenty times as large."""
PATIENCE: Final = 20.0
FRESH: Final = 1.0
CLOSE: Final = {"Connection": "close"}
RETRY: Final = {"Retry-After": "2", **CLOSE}
LARGE: Final = ("/v1/labels",)
HOST: Final = re.compile(rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # without any a browser says of our own forms that they come from nowhere
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
)

log = structlog.get_logger()


def create_app(deps: Deps, patience: float = PATIENCE) -> FastAPI:
    """The station over the given parts; it owns none of them. patience: seconds for the next piece of a body."""
    app = FastAPI(title="redrabbit station", docs_url=None, redoc_url=None, responses=REFUSALS)
    app.state.deps = deps
    app.state.desk = Desk(deps.ledger, deps.labels, deps.clock, deps.meter)
    app.state.tries = sessions.Tries()
    app.state.snapshots = _Snapshots(deps.monitor)
    app.state.queue = Queue(deps.ledger, deps.leases, deps.samples, deps.monitor, deps.clock, app.state.snapshots)
    app.include_router(absent.router)
    app.include_router(api.router)
    app.include_router(challenge.router)
    app.include_router(oncall.router)
    app.include_router(pages.router)
    app.include_router(review.router)
    app.include_router(sessions.router)
    app.include_router(parts.router)
    app.include_router(window.router)
    app.include_router(recipes.router)
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
        self._large = asyncio.BoundedSemaphore(LARGE_AT_ONCE)

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
            before, size = size, size + len(message.get("body", b""))
            if size > MAX_BODY:
                raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes", CLOSE)
            if before <= SMALL < size:
                await self._let_in_large(scope, held)
            return message

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        async with AsyncExitStack() as held:
            try:
                await (_refusal(scope) or self._app)(scope, limited, with_headers)
            except Exception:
                log.exception("request failed", path=scope["path"])
                if not status:
                    failed = JSONResponse({"detail": "internal error; the station's log says more"}, 500)
                    await failed(scope, receive, with_headers)
        route = getattr(scope.get("route"), "path", "unmatched")
        self._meter.request(route, status, time.monotonic() - started)

    async def _let_in_large(self, scope: Scope, held: AsyncExitStack) -> None:
        """Before it is read any further: of people we know, a few at once, the others wait."""
        request = Request(scope)
        if scope["path"] not in LARGE:
            raise HTTPException(413, f"the body is larger than {SMALL} bytes", CLOSE)
        try:
            await run_in_threadpool(access.caller, request)
            await asyncio.wait_for(held.enter_async_context(self._large), self._patience)
        except HTTPException as refusal:
            raise HTTPException(refusal.status_code, refusal.detail, {**(refusal.headers or {}), **CLOSE}) from refusal
        except LedgerUnavailable as error:
            raise HTTPException(503, "the ledger is not available just now", RETRY) from error
        except TimeoutError as error:
            raise HTTPException(503, "too many large bodies at once; come again", RETRY) from error


def _refusal(scope: Scope) -> ASGIApp | None:
    """Of what everything behind takes for granted: a host that can be read, and no NUL, which no database keeps."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) > 1 or not all(HOST.fullmatch(host) for host in hosts):
        return JSONResponse({"detail": "expected one header Host, with the name of a host"}, 400, CLOSE)
    if b"%00" in scope["query_string"]:
        return JSONResponse({"detail": "a NUL in the query"}, 400)
    return JSONResponse({"detail": "there is no such page"}, 404) if "\0" in scope["path"] else None
