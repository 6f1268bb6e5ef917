"""Pixel formats: known values in, known colours out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.cameras.pixels import UnreadablePixels, readable, to_bgr

RED = [0, 0, 200]
"""BGR."""


@pytest.mark.parametrize(
    ("pixel_format", "value", "grey"),
    [("Mono8", 200, 200), ("Mono10", 1023, 255), ("Mono12p", 0x7FF, 0x7F), ("Mono16", 0x80FF, 0x80), ("Mono10", 4095, 255)],
)  # fmt: skip
def test_the_upper_eight_bits_are_kept(pixel_format: str, value: int, grey: int) -> None:
    """And a value beyond the format's scale is white."""
    values = np.full((2, 3), value, np.uint8 if pixel_format == "Mono8" else np.uint16)
    assert to_bgr(values, pixel_format).tolist() == [[[grey] * 3] * 3] * 2


@pytest.mark.parametrize(("order", "row", "column"), [("RG", 0, 0), ("GR", 0, 1), ("GB", 1, 0), ("BG", 1, 1)])
@pytest.mark.parametrize("depth", ["8", "12p"])
def test_bayer_knows_where_red_is(order: str, row: int, column: int, depth: str) -> None:
    """A picture in which only the red pixels see something is red."""
    values = np.zeros((8, 8), np.uint8 if depth == "8" else np.uint16)
    values[row::2, column::2] = 200 if depth == "8" else 200 << 4
    assert to_bgr(values, f"Bayer{order}{depth}")[4 + row, 4 + column].tolist() == RED


@pytest.mark.parametrize(
    ("pixel_format", "pixel"),
    [("RGB8", [200, 0, 0]), ("BGR8", [0, 0, 200]), ("RGBa8", [200, 0, 0, 255]), ("BGRa8", [0, 0, 200, 255])],
)
def test_colours_keep_their_order(pixel_format: str, pixel: list[int]) -> None:
    """Red is red."""
    assert to_bgr(np.full((2, 2, len(pixel)), pixel, np.uint8), pixel_format)[1, 1].tolist() == RED


@pytest.mark.parametrize(
    ("values", "pixel_format"),
    [
        (np.zeros(12, np.uint8), "Mono8"),
        (np.zeros((2, 2), np.uint8), "Mono12"),
        (np.zeros((2, 2), np.uint8), "RGB8"),
        (np.zeros((2, 2, 3), np.uint8), "YCbCr422_8"),
    ],
)
def test_what_does_not_fit_its_name_is_refused(values: NDArray[Any], pixel_format: str) -> None:
    """Rather than shown askew."""
    with pytest.raises(UnreadablePixels, match=pixel_format):
        to_bgr(values, pixel_format)


def test_formats_that_are_read() -> None:
    """By their PFNC names."""
    assert all(map(readable, ["Mono8", "Mono12Packed", "BayerGB10p", "RGB8Packed", "BGRa8"]))
    assert not any(map(readable, ["YCbCr422_8", "Mono1p", "Coord3D_C16", "RGB16", "BayerXY8"]))
