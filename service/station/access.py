"""Who is asking, and what they may do. Tokens are random secrets; the ledger holds their hash only."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from service.station.deps import Deps

RANK: Final = {"inspector": 1, "engineer": 2, "admin": 3}
COOKIE: Final = "redrabbit_token"
PREFIX: Final = "rr_"


def new_secret() -> str:
    """256 random bits behind a prefix by which a leaked one is recognised."""
    return PREFIX + secrets.token_urlsafe(32)


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
        return not self.lines or line in self.lines

    @property
    def own_name_only(self) -> bool:
        """An inspector labels as himself; others may bring labels of somebody else."""
        return self.role == "inspector"


def caller(request: Request) -> Caller:
    """Raises HTTPException 401 for nobody we know, 403 for a page of another site that borrows somebody's browser."""
    deps: Deps = request.app.state.deps
    refuse_other_sites(request)
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        secret = request.cookies.get(COOKIE, "")
    if secret:
        token = deps.ledger.token(hash_secret(secret.strip()))
        if token is None:
            raise HTTPException(401, "this token is not known, revoked or expired", {"WWW-Authenticate": "Bearer"})
        return Caller(token.name, token.role, token.lines)
    if deps.open_on_loopback and _from_here(request):
        return Caller("", "admin")
    raise HTTPException(401, "expected a bearer token; `redrabbit token add` makes one", {"WWW-Authenticate": "Bearer"})


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
    """Raises HTTPException 403: a browser may be made to ask, but says from which page."""
    origin = request.headers.get("origin")
    if origin and request.method not in ("GET", "HEAD") and _netloc(origin) != request.headers.get("host"):
        raise HTTPException(403, "a page of another site may not do this")
