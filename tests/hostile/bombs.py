"""Small pictures that would be large, made by code."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, content: bytes, *extra: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", zlib.compress(content, 1)) + chunk(b"IEND", b"")
    )


def lying_chunk() -> bytes:
    """150 bytes whose chunk says that it is 2.4 GB long."""
    whole = bytearray(plain("PNG"))
    whole[33:37] = struct.pack(">I", 0x92349444)
    return bytes(whole)


def plain(kind: str, **options: object) -> bytes:
    """A picture of 32 x 24 pixels."""
    return saved(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8), kind, **options)


def saved(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def frames(kind: str, count: int) -> bytes:
    """Many pictures in one file, the first one black."""
    pictures = [Image.new("RGB", (64, 64), (number % 256,) * 3) for number in range(count)]
    out = io.BytesIO()
    pictures[0].save(
        out, kind, save_all=True, append_images=pictures[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    return out.getvalue()


def bmp(width: int, height: int) -> bytes:
    """A header with nothing behind it."""
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )


def many_scans() -> bytes:
    """A progressive JPEG of one black square whose last scan stands there five thousand times."""
    whole = saved(np.zeros((512, 512, 3), np.uint8), "JPEG", progressive=True)
    at = whole.rindex(b"\xff\xda")
    return whole[:at] + whole[at:-2] * 5000 + whole[-2:]


def bombs() -> dict[str, bytes]:
    return {
        "chunk that lies": lying_chunk(),
        "pixels": png(100_000, 100_000, b""),
        "long": png(1, 2_000_000, b""),
        "unpacked": png(7000, 7000, bytes(7000 * (7000 * 3 + 1))),
        "unpacked too far": png(10, 10, bytes(300_000_000)),
        "text": png(10, 10, bytes(310), chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(200_000_000), 1))),
        "profile": png(10, 10, bytes(310), chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(200_000_000), 1))),
        "scans": many_scans(),
        "tall BMP": bmp(32, 1_179_672),
        "huge BMP": bmp(2**31 - 1, 2**31 - 1),
        "negative BMP": bmp(-5, -(2**31)),
        "pages": frames("TIFF", 500),
        "WEBP frames": frames("WEBP", 200),
        "PNG frames": frames("PNG", 200),
    }
