"""The options of a camera's URL, read strictly: unknown, double or unreadable ones are one clear line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from service.errors import InvalidInput
from service.urls import redacted

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3}


def _number_with_unit(text: str, units: dict[str, float] | dict[str, int], example: str) -> float:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([A-Za-z]{1,2})", text)
    if match is None or match[2] not in units:
        raise ValueError(f"expected a number with one of the units {', '.join(units)}, such as {example}")
    return float(match[1]) * units[match[2]]


def _seconds(text: str) -> float:
    return _number_with_unit(text, _SECONDS, "1s")


def _bytes(text: str) -> int:
    return int(_number_with_unit(text, _BYTES, "32MB"))


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("expected an absolute path")
    return path


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0.0)]
Bytes = Annotated[int, BeforeValidator(_bytes), Field(gt=0)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Options(BaseModel):
    """Base of each camera's options. Defaults are given as the parsed value."""

    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=Options)


def parsed(kind: type[T], url: SplitResult, camera: str, text: str | None = None) -> T:
    """The options in `text` (the URL's query unless given) as `kind`. Raises InvalidInput."""
    pairs = parse_qsl(url.query if text is None else text, keep_blank_values=True)
    known = ", ".join(kind.model_fields) or "none"
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise unusable(camera, url, f"option {name!r} is given twice")
        if name not in kind.model_fields:
            raise unusable(camera, url, f"unknown option {name[:40]!r}; known options: {known}")
    try:
        return kind.model_validate(dict(pairs))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        why = f"option {first['loc'][0]}: {message}, found {str(first['input'])[:80]!r}"
        raise unusable(camera, url, why) from None


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
    return InvalidInput(f"camera {camera}: {redacted(url)}: {why}")
