"""The one picture of a multipart form, without a copy of what else somebody puts in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

ENCODINGS = ("", "binary", "8bit", "7bit")


class NoForm(Exception):
    """This is no form with one picture in it: one line that says why."""


class _One:
    """Callbacks of the parser; the second part ends it, so that a million of them cost nothing."""

    def __init__(self) -> None:
        self.content: list[bytes] = []
        self.parts = 0
        self.complete = False
        self._name = self._value = b""

    def on_part_begin(self) -> None:
        self.parts += 1
        if self.parts > 1:
            raise NoForm("a form of several parts; expected one, the picture")

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        encoding = self._value.decode("latin-1").strip().lower()
        if self._name.lower() == b"content-transfer-encoding" and encoding not in ENCODINGS:
            raise NoForm(f"a picture encoded as {encoding[:40]!a}; expected its bytes as they are")
        self._name = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.content.append(data[start:end])

    def on_end(self) -> None:
        self.complete = True


def file_of(kind: str, content: bytes) -> bytes:
    """kind: the header Content-Type. Raises NoForm."""
    _, options = parse_options_header(kind)
    boundary, found = options.get(b"boundary", b""), _One()
    told: MultipartCallbacks = {
        "on_part_begin": found.on_part_begin,
        "on_header_field": found.on_header_field,
        "on_header_value": found.on_header_value,
        "on_header_end": found.on_header_end,
        "on_part_data": found.on_part_data,
        "on_end": found.on_end,
    }
    try:
        if boundary:
            MultipartParser(boundary, told).write(content)
    except (FormParserError, MultipartParseError) as error:
        raise NoForm("no multipart form; expected one part, the picture") from error
    if not found.complete or found.parts != 1:
        raise NoForm("no whole multipart form; expected one part, the picture")
    return b"".join(found.content)
