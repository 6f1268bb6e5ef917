"""What industrial cameras send, as uint8 BGR. PFNC names: https://www.emva.org/standards-technology/genicam/genicam-downloads/"""

from __future__ import annotations

import re
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from service.records import Image

_BAYER: Final = {
    "RG": cv2.COLOR_BayerRGGB2BGR,
    "GR": cv2.COLOR_BayerGRBG2BGR,
    "GB": cv2.COLOR_BayerGBRG2BGR,
    "BG": cv2.COLOR_BayerBGGR2BGR,
}
_ONE_VALUE: Final = re.compile(r"(?:Mono|Bayer(RG|GR|GB|BG))(8|10|12|14|16)(?:p|[Pp]acked)?$")
_COLOURS: Final = {
    "RGB8": cv2.COLOR_RGB2BGR,
    "RGB8Packed": cv2.COLOR_RGB2BGR,
    "RGBa8": cv2.COLOR_RGBA2BGR,
    "RGBa8Packed": cv2.COLOR_RGBA2BGR,
    "BGR8": None,
    "BGR8Packed": None,
    "BGRa8": cv2.COLOR_BGRA2BGR,
    "BGRa8Packed": cv2.COLOR_BGRA2BGR,
}
READABLE: Final = "Mono and Bayer (RG, GR, GB, BG) of 8 to 16 bits, RGB8, BGR8, RGBa8 and BGRa8"


class UnreadablePixels(ValueError):
    """Of this format, or of this shape, no picture is made."""


def readable(pixel_format: str) -> bool:
    """pixel_format: its PFNC name, such as Mono8 or BayerRG12p."""
    return pixel_format in _COLOURS or _ONE_VALUE.match(pixel_format) is not None


def to_bgr(values: NDArray[Any], pixel_format: str) -> Image:
    """values: (H, W) of one value a pixel, uint8 or uint16 and unpacked, or uint8 (H, W, 3 or 4) in the order that the format names.

    Of more than eight bits the upper eight are kept. Bayer is demosaiced by OpenCV, bilinear. Returns uint8 BGR (H, W, 3).
    Raises UnreadablePixels.
    """
    if pixel_format in _COLOURS:
        channels = 4 if "a8" in pixel_format else 3
        if values.ndim != 3 or values.shape[2] != channels or values.dtype != np.uint8:
            raise UnreadablePixels(f"{pixel_format} came as {values.dtype} {values.shape}")
        code = _COLOURS[pixel_format]
        return np.ascontiguousarray(values if code is None else cv2.cvtColor(values, code), dtype=np.uint8)
    match = _ONE_VALUE.match(pixel_format)
    if match is None:
        raise UnreadablePixels(f"pixel format {pixel_format} is not read; expected {READABLE}")
    if values.ndim != 2 or values.dtype != (np.uint8 if match[2] == "8" else np.uint16):
        raise UnreadablePixels(f"{pixel_format} came as {values.dtype} {values.shape}")
    eight = np.minimum(values >> (int(match[2]) - 8), 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(eight, _BAYER[match[1]] if match[1] else cv2.COLOR_GRAY2BGR), dtype=np.uint8)
