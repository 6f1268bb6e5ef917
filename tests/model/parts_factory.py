"""A factory of ground metal parts under a fixed camera: each has its own grain; some have a scratch, a hole or a stain."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from service.records import Image

SIDE = 96
KINDS = ("good", "hole", "scratch", "stain", "crack", "dent")


def part(number: int, kind: str = "good", grain: float = 10.0) -> tuple[Image, NDArray[np.bool_]]:
    """Returns uint8 BGR (SIDE, SIDE, 3) and where the defect is. The same number is the same part."""
    dice = np.random.default_rng(number)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    fixture = 110 + 30 * x - 20 * (y - 0.5) ** 2 + 25 * (np.hypot(x - 0.5, y - 0.5) > 0.45)
    own = sum(cv2.GaussianBlur(dice.normal(0, 1, (SIDE, SIDE)), (0, 0), sigma) * sigma for sigma in (1.5, 3.0))
    surface = fixture + grain * np.asarray(own)
    where = _defect(kind, dice)
    depth = {"hole": -80.0, "scratch": 60.0, "stain": -30.0, "crack": -60.0, "dent": 40.0}.get(kind, 0.0)
    surface = surface + depth * cv2.GaussianBlur(where, (0, 0), 0.7)
    return _image(surface), where > 0.5


def _defect(kind: str, dice: Generator) -> NDArray[np.float64]:
    where = np.zeros((SIDE, SIDE), np.uint8)
    at = tuple(int(one) for one in dice.integers(SIDE // 4, 3 * SIDE // 4, 2))
    angle = dice.uniform(0, 3.1)
    along = (int(at[0] + 22 * np.cos(angle)), int(at[1] + 22 * np.sin(angle)))
    if kind == "hole":
        cv2.circle(where, at, 5, 1, -1)
    elif kind == "scratch":
        cv2.line(where, at, along, 1, 2)
    elif kind == "stain":
        cv2.ellipse(where, at, (14, 9), float(np.degrees(angle)), 0, 360, 1, -1)
    elif kind == "crack":
        middle = ((at[0] + along[0]) // 2 + 6, (at[1] + along[1]) // 2 - 6)
        cv2.polylines(where, [np.array([at, middle, along])], False, 1, 2)
    elif kind == "dent":
        cv2.circle(where, at, 8, 1, 2)
    return where.astype(np.float64)


def _image(surface: NDArray[np.float64]) -> Image:
    grey = surface.round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[..., np.newaxis], 3, axis=2))


def photographed_again(image: Image, dice: Generator, shift: int = 0) -> Image:
    """The same part under other light, a little elsewhere, with the sensor's noise of that moment, as a JPEG."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    slope = 1 + dice.uniform(-0.25, 0.25) * x + dice.uniform(-0.25, 0.25) * y
    lit = 255 * (image / 255.0) ** dice.uniform(0.7, 1.4) * dice.uniform(0.7, 1.2) * slope[..., np.newaxis]
    noisy = (lit + dice.normal(0, 2, (SIDE, SIDE, 1))).round().clip(0, 255).astype(np.uint8)
    moved = np.array([[1, 0, shift], [0, 1, -shift]], np.float32)
    placed = cv2.warpAffine(noisy, moved, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101)
    done, content = cv2.imencode(".jpg", placed, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)
