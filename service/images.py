"""Encoded pictures in and out. What comes from a camera, a folder or the network is untrusted until it has been decoded."""

from __future__ import annotations

import warnings
from io import BytesIO

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from service.errors import BadImage
from service.records import Image

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 50_000_000


def decode(content: bytes, max_pixels: int = MAX_PIXELS) -> Image:
    """Returns uint8 BGR (H, W, 3). Raises BadImage.

    The header is read first, so that a small file that claims a huge picture is refused before anything is decoded.
    """
    if not content:
        raise BadImage("empty", "0 bytes; expected a picture")
    width, height = _size(content)
    if width * height > max_pixels:
        raise BadImage("too_large", f"{width} x {height} pixels; expected at most {max_pixels}")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise BadImage("broken", f"{len(content)} bytes that begin as a picture and cannot be decoded")
    return np.asarray(image, dtype=np.uint8)


def _size(content: bytes) -> tuple[int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # our own limit is stricter
            with Pillow.open(BytesIO(content), formats=FORMATS) as header:
                return header.size
    except UnidentifiedImageError as error:
        raise BadImage("not_an_image", f"{len(content)} bytes; expected one of {', '.join(FORMATS)}") from error
    except Pillow.DecompressionBombError as error:
        raise BadImage("too_large", str(error)) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow's plugins raise for broken headers
        raise BadImage("broken", f"{len(content)} bytes whose header cannot be read: {error}") from error


def encode(image: Image) -> bytes:
    """image: uint8 BGR (H, W, 3). Returns a PNG, without loss and quickly made."""
    done, content = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"expected uint8 BGR (H, W, 3), found {image.dtype} {image.shape}")
    return content.tobytes()
