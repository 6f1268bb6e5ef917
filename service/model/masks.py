"""How small the defects are that people drew."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from service.errors import BadImage, InvalidInput
from service.images import decode
from service.model.data import SUFFIXES

SPECK: Final = 3
"""Shorter than so many pixels, and it is a slip of the pen."""


def smallest(folder: Path, picture: tuple[int, int]) -> int:
    """The longer side of the smallest defect's box, pixels, once its picture has the size (height, width). Raises InvalidInput."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: expected a folder of masks")
    lengths: list[int] = []
    for file in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        try:
            mask = cv2.cvtColor(decode(file.read_bytes()), cv2.COLOR_BGR2GRAY) > 0
        except (BadImage, OSError) as error:
            raise InvalidInput(f"{file}: no mask: {error}") from error
        _, _, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        scale = picture[0] / mask.shape[0], picture[1] / mask.shape[1]
        for box in boxes[1:]:
            width, height = int(box[cv2.CC_STAT_WIDTH]), int(box[cv2.CC_STAT_HEIGHT])
            if max(width, height) >= SPECK:
                lengths.append(max(1, round(max(height * scale[0], width * scale[1]))))
    if not lengths:
        raise InvalidInput(f"{folder}: no mask with a defect of at least {SPECK} pixels in it")
    return min(lengths)
