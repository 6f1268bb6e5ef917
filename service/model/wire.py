"""How much an ONNX file unfolds to, seen before it is unfolded: two bytes of it may be a message that takes three hundred in memory."""

from __future__ import annotations

from typing import Final

import onnx
from google.protobuf.descriptor import Descriptor

from service.errors import InvalidInput

MOST_MESSAGES: Final = 1_000_000
MOST_FIELDS: Final = 5_000_000
"""A network of a hundred thousand nodes has a fifth of either."""
VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5


def check(content: bytes) -> None:
    """Raises InvalidInput for more messages or fields than that. What is malformed is left to protobuf, which says so."""
    messages = fields = 0
    inside: list[tuple[int, int, Descriptor]] = [(0, len(content), onnx.ModelProto.DESCRIPTOR)]
    try:
        while inside:
            at, end, kind = inside.pop()
            below = {number: field.message_type for number, field in kind.fields_by_number.items()}
            while at < end:
                fields += 1
                tag, at = _varint(content, at)
                if tag & 7 == VARINT:
                    _, at = _varint(content, at)
                elif tag & 7 == LENGTH:
                    length, at = _varint(content, at)
                    if message := below.get(tag >> 3):
                        messages += 1
                        inside.append((at, min(end, at + length), message))
                    at += length
                elif tag & 7 in (EIGHT, FOUR):
                    at += 8 if tag & 7 == EIGHT else 4
                else:
                    return
                if messages > MOST_MESSAGES or fields > MOST_FIELDS:
                    raise InvalidInput(
                        f"unfolds to more than {MOST_MESSAGES} messages or {MOST_FIELDS} fields; expected a smaller graph"
                    )
    except IndexError:  # ends in the middle of a number
        return


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends). Raises IndexError behind the end."""
    value = content[at]
    at += 1
    if value < 128:
        return value, at
    value &= 127
    for shift in range(7, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise IndexError("no number")
