"""Pictures as the line might have taken them: mirrored, a little moved, in other light, with a sensor's noise.

Fit for surfaces: nothing is cropped away that could be the defect, and no colour is changed that could be one.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Fitted = NDArray[np.uint8]
Mirror = Literal["none", "sideways", "both"]
"""Which mirror images of a part are parts again: lettering allows none."""

_FLIPS: dict[Mirror, tuple[int | None, ...]] = {"none": (None,), "sideways": (None, 1), "both": (None, 0, 1, -1)}


def varied(image: Fitted, mirror: Mirror, dice: Generator) -> Fitted:
    """image: uint8 (h, w, channels). Returns the same shape."""
    return _noisy(_lit(_moved(_mirrored(image, mirror, dice), dice), dice), dice)


def spoilt(image: Fitted, mirror: Mirror, dice: Generator) -> Fitted:
    """As a camera that fails would show it: out of focus, too dark, or moved, more or less."""
    image = _mirrored(image, mirror, dice)
    height, width = image.shape[:2]
    kind = dice.integers(3)
    if kind == 0:
        done = cv2.GaussianBlur(image, (0, 0), dice.uniform(0.004, 0.036) * width)
    elif kind == 1:
        done = np.maximum(image * dice.uniform(0.05, 0.5) - dice.uniform(0, 3), 0).astype(np.uint8)
    else:
        done = _shifted(image, dice.uniform(-0.4, 0.4) * width, dice.uniform(-0.4, 0.4) * height, cv2.BORDER_CONSTANT)
    return np.asarray(done, np.uint8).reshape(image.shape)


def _mirrored(image: Fitted, mirror: Mirror, dice: Generator) -> Fitted:
    how = _FLIPS[mirror][dice.integers(len(_FLIPS[mirror]))]
    return image if how is None else np.asarray(cv2.flip(image, how), np.uint8).reshape(image.shape)


def _moved(image: Fitted, dice: Generator) -> Fitted:
    """By up to 4 % of the picture, in whole pixels: a fixture leaves that free, and to turn or scale would blur hairline cracks."""
    height, width = image.shape[:2]
    right, down = np.rint(dice.uniform(-0.04, 0.04, 2) * (width, height))
    return _shifted(image, right, down, cv2.BORDER_REFLECT_101).reshape(image.shape)


def _shifted(image: Fitted, right: float, down: float, border: int) -> Fitted:
    move = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(image, move, image.shape[1::-1], borderMode=border), np.uint8)


def _lit(image: Fitted, dice: Generator) -> Fitted:
    """Gain and gamma by up to a quarter; by table, as each of 256 values changes alike."""
    values = (np.arange(256) / 255.0) ** dice.uniform(0.75, 1.33) * dice.uniform(0.75, 1.25)
    return np.asarray((values.clip(0, 1) * 255).round().astype(np.uint8)[image])


def _noisy(image: Fitted, dice: Generator) -> Fitted:
    sigma = dice.uniform(0, 2)
    noise = dice.normal(0, sigma, image.shape[:2])[..., np.newaxis]
    return np.asarray((image + noise).round().clip(0, 255).astype(np.uint8))
