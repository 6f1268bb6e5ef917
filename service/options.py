"""The options of a URL, read strictly: unknown, double or unreadable ones are one clear line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import SplitResult, parse_qsl

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
    """Base of the options of each kind of URL. Defaults are given as the parsed value."""

    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=Options)


def parsed(kind: type[T], url: SplitResult, whose: str, text: str | None = None) -> T:
    """The options in `text` (the URL's query unless given) as `kind`. whose: begins the line. Raises InvalidInput."""
    pairs = parse_qsl(url.query if text is None else text, keep_blank_values=True)
    known = ", ".join(kind.model_fields) or "none"
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise unusable(whose, url, f"option {name!r} is given twice")
        if name not in kind.model_fields:
            raise unusable(whose, url, f"unknown option {name[:40]!r}; known options: {known}")
    try:
        return kind.model_validate(dict(pairs))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        about = f"option {first['loc'][0]}: {message}" if first["loc"] else message
        found = "" if isinstance(first["input"], dict) else f", found {str(first['input'])[:80]!r}"
        raise unusable(whose, url, about + found) from None


def unusable(whose: str, url: SplitResult, why: str) -> InvalidInput:
    """The one line for a URL that cannot be used."""
    return InvalidInput(f"{whose}: {redacted(url)}: {why}")
