"""What goes wrong with a camera, done to its picture. The part in front of it is as good or bad as before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import cv2
import numpy as np

from service.images import decode
from service.records import Image


def _defocus(image: Image) -> Image:
    """Out of focus: fine cracks drown in their surroundings. Sigma is a 36th of the picture's width."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), image.shape[1] / 36), np.uint8)


def _dim(image: Image) -> Image:
    """Exposed too briefly: a twelfth of the light, in the steps of the sensor, the darkest of them lost."""
    return np.asarray(np.maximum(image // 12, 2) - 2, np.uint8)


def _shift(image: Image) -> Image:
    """The camera was moved: a third of the part has left the picture, and what lies beside it is dark."""
    height, width = image.shape[:2]
    move = np.array([[1, 0, width // 3], [0, 1, height // 3]], np.float32)
    return np.asarray(cv2.warpAffine(image, move, (width, height), borderValue=(0, 0, 0)), np.uint8)


def _noise(image: Image) -> Image:
    """A sensor that is too warm, or gain in place of light: grain of a sixth of full scale. The same picture, the same grain."""
    dice = np.random.default_rng(int(image[::16, ::16].sum()))
    grain = dice.normal(0, 255 / 6, image.shape[:2])[..., np.newaxis]
    return np.asarray((image + grain).round().clip(0, 255), np.uint8)


_DAMAGE: Final[Mapping[str, Callable[[Image], Image]]] = {
    "defocus": _defocus,
    "dim": _dim,
    "shift": _shift,
    "noise": _noise,
}
FAULTS: Final = tuple(_DAMAGE)


def damaged(kind: str, image: Image) -> Image:
    """image: uint8 BGR (H, W, 3). Returns the same shape. kind: one of FAULTS."""
    return _DAMAGE[kind](image)


def damage(kind: str, picture: bytes) -> Image:
    """picture: encoded. Returns uint8 BGR (H, W, 3) as the faulty camera would have taken it. kind: one of FAULTS."""
    return damaged(kind, decode(picture))
