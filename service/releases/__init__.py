"""Where verdicts go once they are on disk: one file per kind, chosen by the scheme of its URL.

Another release is one file, one line in KINDS, its tests. None of them may hold up the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from service.errors import InvalidInput
from service.ports import Release
from service.releases.log import LogRelease
from service.releases.webhook import Webhook

KINDS: Final[Mapping[str, Callable[[SplitResult], Release]]] = {
    "log": LogRelease,
    "webhook+http": Webhook,
    "webhook+https": Webhook,
    "http": Webhook,
    "https": Webhook,
}


def open_release(url: str) -> Release:
    """The release behind `url`. Raises InvalidInput: one line, without the URL's password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidInput(f"release: not a URL: {str(error)[:80]!r}") from None
    if parts.scheme not in KINDS:
        raise InvalidInput(f"release: unknown scheme {parts.scheme[:40]!r}; known schemes: {', '.join(sorted(KINDS))}")
    return KINDS[parts.scheme](parts)
