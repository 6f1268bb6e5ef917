"""The options of a camera's URL, read strictly: unknown, double or unreadable ones are one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from service import options
from service.errors import InvalidInput
from service.options import AbsolutePath, Bytes, Options, Seconds

__all__ = ["AbsolutePath", "Bytes", "Options", "Seconds", "local_path", "parsed", "split", "unusable"]

T = TypeVar("T", bound=Options)


def parsed(kind: type[T], url: SplitResult, camera: str, text: str | None = None) -> T:
    """The options in `text` (the URL's query unless given) as `kind`. Raises InvalidInput."""
    return options.parsed(kind, url, f"camera {camera}", text)


def local_path(url: SplitResult, camera: str) -> Path:
    """The file or folder that the URL names. Raises InvalidInput unless it is scheme:///absolute/path."""
    path = unquote(url.path)
    if url.netloc or not path.startswith("/") or "\0" in path:
        raise unusable(camera, url, f"expected {url.scheme}:///an/absolute/path")
    return Path(path)


def split(url: str, camera: str) -> SplitResult:
    """The URL taken apart; InvalidInput, without repeating it, when it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidInput(f"camera {camera}: not a URL: {str(error)[:80]!r}") from None
    return parts


def unusable(camera: str, url: SplitResult, why: str) -> InvalidInput:
    """The one line for a camera that cannot be opened."""
    return options.unusable(f"camera {camera}", url, why)
