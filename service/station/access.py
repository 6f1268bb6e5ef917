"""Who is asking, and what they may do. Tokens and sessions are random secrets; the ledger holds their hash only."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from service.records import Deed
from service.station.deps import Deps

RANK: Final = {"inspector": 1, "engineer": 2, "admin": 3}
NO_NUL: Final = r"^[^\x00]*$"
"""What a database is asked about."""
COOKIE: Final = "redrabbit"
SECURE_COOKIE: Final = "__Host-redrabbit"
"""Over https: no other host, no plain http and no path of it can set this one."""
PREFIX: Final = "rr_"
SESSION_PREFIX: Final = "rs_"
IDLE: Final = 12 * 3600.0
"""Seconds after which a session that nobody uses ends."""


HERE: Final = "this machine"
"""How somebody is called who needs no name, as he sits at it."""


def new_secret(prefix: str = PREFIX) -> str:
    """256 random bits behind a prefix by which a leaked one is recognised."""
    return prefix + secrets.token_urlsafe(32)


def cookie_name(request: Request) -> str:
    return SECURE_COOKIE if request.url.scheme == "https" else COOKIE


def hash_secret(secret: str) -> str:
    """SHA-256 hex. The secret is random and long, so a slow hash would protect nothing more."""
    return sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Caller:
    """name: of the token, "" for whoever sits at this machine. lines: () is every line."""

    name: str
    role: str
    lines: tuple[str, ...] = ()

    def may_see(self, line: str) -> bool:
        """Of a line with recipes, all its recipes' lines: LINE:RECIPE."""
        return not self.lines or line in self.lines or line.partition(":")[0] in self.lines

    @property
    def own_name_only(self) -> bool:
        """An inspector labels as himself; others may bring labels of somebody else."""
        return self.role == "inspector"


def caller(request: Request) -> Caller:
    """Raises HTTPException 401 for nobody we know, 403 for a page of another site that borrows somebody's browser."""
    deps: Deps = request.app.state.deps
    refuse_other_sites(request)
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return _known(deps, secret.strip())
    secret = request.cookies.get(cookie_name(request), "")
    if secret:
        return _known(deps, secret)
    if deps.open_on_loopback and _from_here(request):
        return Caller("", "admin")
    raise HTTPException(401, "expected a bearer token; `redrabbit token add` makes one", {"WWW-Authenticate": "Bearer"})


def _known(deps: Deps, secret: str) -> Caller:
    hashed = hash_secret(secret)
    found = deps.people.session(hashed, IDLE) if secret.startswith(SESSION_PREFIX) else deps.ledger.token(hashed)
    if found is None:
        raise HTTPException(
            401, "this token or session is not known, revoked or expired", {"WWW-Authenticate": "Bearer"}
        )
    return Caller(found.name, found.role, found.lines)


def allowed(least: str) -> object:
    """A dependency: the caller, who must have this role or a higher one."""

    def check(request: Request) -> Caller:
        found = caller(request)
        if RANK.get(found.role, 0) < RANK[least]:
            raise HTTPException(403, f"role {found.role} may not do this; expected {least} or above")
        return found

    return check


def scraper(request: Request) -> Caller:
    """A dependency: whoever may read /metrics."""
    found = caller(request)
    if found.role != "scrape" and RANK.get(found.role, 0) < RANK["engineer"]:
        raise HTTPException(403, f"role {found.role} may not do this; expected scrape, engineer or admin")
    return found


def _netloc(text: str) -> str:
    """HOST:PORT of a URL as it stands there, "" where it cannot be read."""
    try:
        return urlsplit(text).netloc
    except ValueError:
        return ""


def _host(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _from_here(request: Request) -> bool:
    """The peer is this machine, and was asked for by a name of this machine: a foreign name that resolves to it is a trick.

    What a proxy on this machine hands on comes from anywhere.
    """
    if "forwarded" in request.headers or "x-forwarded-for" in request.headers:
        return False
    try:
        peer = ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    return peer.is_loopback and _host(request) in ("127.0.0.1", "localhost", "::1")


def refuse_other_sites(request: Request) -> None:
    """Raises HTTPException 403 for a change that another site's page makes a browser ask for. Every browser says from where it asks; who
    says nothing is none, and then brings no cookie either."""
    if request.method in ("GET", "HEAD"):
        return
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is not None:
        ours = _netloc(origin) == request.headers.get("host")
    else:
        ours = site in ("same-origin", "none") or (site is None and not request.cookies)
    if not ours:
        raise HTTPException(403, "a page of another site may not do this")


def where_from(request: Request) -> str:
    """The address that asks, for the trail; behind a proxy the proxy's."""
    return request.client.host if request.client else ""


def note(request: Request, who: Caller, what: str, about: str = "") -> None:
    """Into the trail."""
    deps: Deps = request.app.state.deps
    deps.people.note(Deed(who.name or HERE, where_from(request), what, about))
