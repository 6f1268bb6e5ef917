"""Encoded pictures in and out. What comes from a camera, a folder or the network is untrusted until it has been decoded."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Final

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from service.errors import BadImage
from service.records import Image

FORMATS: Final = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
MAX_PIXELS: Final = 50_000_000
MAX_SIDE: Final = 2**20
"""Of one side; OpenCV decodes nothing longer."""
MAX_SCANS: Final = 100
"""Of a progressive JPEG. Ten are usual; each goes over the whole picture, and a small file holds thousands."""
PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG: Final = b"\xff\xd8"


def decode(content: bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """Returns uint8 BGR (H, W, 3). Raises BadImage, whatever the bytes are.

    The header is read first, so that a small file that claims a huge picture is refused before anything is decoded. Of a file
    with several pictures in it the first one counts.
    """
    if not content:
        raise BadImage("empty", "0 bytes; expected a picture")
    width, height = _size(content)
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise BadImage("too_large", f"{width} x {height} pixels; expected at most {max_pixels}, and {MAX_SIDE} a side")
    _check_chunks(content)
    if content.startswith(JPEG) and (scans := content.count(b"\xff\xda")) > MAX_SCANS:
        raise BadImage("too_large", f"a JPEG of {scans} scans; expected at most {MAX_SCANS}")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:  # what is checked inside OpenCV comes out of it as an error of its own
        raise BadImage("broken", f"{len(content)} bytes that begin as a picture and cannot be decoded") from error
    if image is None:
        raise BadImage("broken", f"{len(content)} bytes that begin as a picture and cannot be decoded")
    return np.asarray(image, dtype=np.uint8)


def _size(content: bytes) -> tuple[int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken tags, and of many pixels: our own limit is stricter
            with Pillow.open(BytesIO(content), formats=FORMATS) as header:
                return header.size
    except UnidentifiedImageError as error:
        raise BadImage("not_an_image", f"{len(content)} bytes; expected one of {', '.join(FORMATS)}") from error
    except Pillow.DecompressionBombError as error:
        raise BadImage("too_large", str(error)) from error
    except Exception as error:  # Pillow's plugins raise what they please, and no picture may end the line
        why = " ".join(str(error).split())[:200]
        raise BadImage("broken", f"{len(content)} bytes whose header cannot be read: {why}") from error


def _check_chunks(content: bytes) -> None:
    """The chunks of a PNG are there as long as they say. OpenCV makes room for what they say before it looks: up to 4 GB."""
    if not content.startswith(PNG):
        return
    at, kind = len(PNG), b""
    while kind != b"IEND":
        length, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        at += 12 + length
        if not kind or at > len(content):
            raise BadImage("broken", f"{len(content)} bytes that begin as a picture and end before it does")


def encode(image: Image) -> bytes:
    """image: uint8 BGR (H, W, 3). Returns a PNG, without loss and quickly made."""
    done, content = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"expected uint8 BGR (H, W, 3), found {image.dtype} {image.shape}")
    return content.tobytes()
