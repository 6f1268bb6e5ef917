"""Signing in and out, and the trail of who did what."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network
from threading import BoundedSemaphore
from typing import Annotated, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from service.records import Deed
from service.station.access import (
    IDLE,
    NO_NUL,
    SESSION_PREFIX,
    Caller,
    cookie_name,
    hash_secret,
    new_secret,
    note,
    refuse_other_sites,
    where_from,
)
from service.station.deps import Deps
from service.station.pages import known_visitor, templates

PER_NAME, PER_ADDRESS = parse("10/15minutes"), parse("60/15minutes")
"""Tries to sign in. Of a name so few that guessing leads nowhere; of an address so many that a shift can come in by one."""
ROWS: Final = 100
HASHER: Final = PasswordHasher()
NOBODY: Final = HASHER.hash(new_secret())
"""What a password is held against where there is nobody of that name: it takes as long to be wrong."""

HASHING: Final = BoundedSemaphore(2)
"""Each takes 64 MiB while it lasts."""

router = APIRouter(include_in_schema=False)


class Tries:
    """How often somebody has tried. Forgotten by itself once it no longer counts."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)

    def refuse_too_many(self, name: str, source: str) -> None:
        """Counts one more. Raises HTTPException 429."""
        # The address first: else somebody could have us remember a name for every try.
        for limit, key in ((PER_ADDRESS, f"from {_network(source)}"), (PER_NAME, f"name {hash_secret(name)}")):
            if not self._limiter.hit(limit, key):
                raise HTTPException(429, "too many tries; wait", {"Retry-After": str(self._wait(limit, key))})

    def _wait(self, limit: RateLimitItem, key: str) -> int:
        return max(1, round(self._limiter.get_window_stats(limit, key).reset_time - time.time()))


def _network(source: str) -> str:
    """An address, or the network of an IPv6 one: who has one of those has 2^64 addresses."""
    try:
        address = ip_address(source)
    except ValueError:
        return source
    return source if address.version == 4 else str(ip_network((int(address) >> 64 << 64, 64)))


@router.get("/sign-in", response_class=HTMLResponse)
def sign_in(request: Request, next: Annotated[str, Query()] = "/") -> Response:
    return templates.TemplateResponse(request, "sign-in.html", {"wrong": False, "next": _path(next)})


@router.post("/sign-in", response_class=HTMLResponse)
def signed_in(
    request: Request,
    name: Annotated[str, Form(max_length=200, pattern=NO_NUL)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    token: Annotated[str, Form(max_length=200)] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    """By name and password, or by a token. Keeps the secret in a cookie that no script and no other site gets to see."""
    refuse_other_sites(request)  # else somebody could be signed in under another's name
    deps: Deps = request.app.state.deps
    tries: Tries = request.app.state.tries
    secret, source = token.strip(), where_from(request)
    tries.refuse_too_many(name, source)
    if secret:
        found = deps.ledger.token(hash_secret(secret))
        name = found.name if found else ""
    elif found := deps.people.person(name) if right(deps, name, password) else None:
        secret = new_secret(SESSION_PREFIX)
        deps.people.begin_session(name, hash_secret(secret))
    if found is None:
        deps.people.note(Deed("", source, "failed to sign in", name[:64]))
        return templates.TemplateResponse(
            request, "sign-in.html", {"wrong": True, "next": _path(next)}, status_code=401
        )
    deps.people.note(Deed(name, source, "signed in"))
    answer = RedirectResponse(_path(next), 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        cookie_name(request), secret, httponly=True, samesite="strict", secure=secure, max_age=int(IDLE), path="/"
    )
    return answer


def right(deps: Deps, name: str, password: str) -> bool:
    """Whether this is somebody's password; takes as long where there is nobody of that name."""
    person = deps.people.person(name)
    try:
        with HASHING:
            return HASHER.verify(person.password if person else NOBODY, password) and person is not None
    except (VerificationError, InvalidHashError):
        return False


@router.post("/sign-out")
def sign_out(request: Request, who: Annotated[Caller, Depends(known_visitor)]) -> Response:
    """Ends the session on both sides; a token only leaves this browser."""
    deps: Deps = request.app.state.deps
    deps.people.end_session(hash_secret(request.cookies.get(cookie_name(request), "")))
    note(request, who, "signed out")
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(
        cookie_name(request), path="/", secure=request.url.scheme == "https", httponly=True, samesite="strict"
    )
    return answer


def _path(next: str) -> str:
    """A page of ours to go on to: no other site's, however it is written."""
    ours = next.startswith("/") and not next.startswith(("//", "/\\")) and next.isprintable()
    return next if ours and "\\" not in next else "/"


def _admin(who: Annotated[Caller, Depends(known_visitor)]) -> Caller:
    if who.role != "admin":
        raise HTTPException(403, f"role {who.role} may not see this; expected admin")
    return who


@router.get("/trail", response_class=HTMLResponse)
def trail(
    request: Request,
    who: Annotated[Caller, Depends(_admin)],
    name: str = "",
    before: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
) -> Response:
    """Who did what, the newest first."""
    deps: Deps = request.app.state.deps
    rows = deps.people.deeds(before, ROWS, name)
    older = rows[-1].sequence if len(rows) == ROWS else None
    return templates.TemplateResponse(request, "trail.html", {"rows": rows, "asked": name, "older": older})
