"""Pictures from outside: what is decoded, what is refused, and why."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from service.errors import BadImage
from service.images import decode, encode

COLOURED = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def _claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", [".png", ".bmp", ".tiff", ".jpg", ".webp"])
def test_the_usual_formats_are_decoded(kind: str) -> None:
    """uint8 BGR of the picture's size."""
    done, content = cv2.imencode(kind, COLOURED)
    image = decode(content.tobytes())
    assert done and image.shape == (40, 60, 3) and image.dtype == np.uint8


def test_what_was_encoded_comes_back_the_same() -> None:
    """Without loss."""
    assert np.array_equal(decode(encode(COLOURED)), COLOURED)


def test_a_grey_picture_has_three_channels() -> None:
    """So that nothing behind the decoder has to ask."""
    done, content = cv2.imencode(".png", COLOURED[:, :, 0])
    assert done and decode(content.tobytes()).shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
        (b"GIF89a" + b"\0" * 100, "not_an_image"),
        (encode(COLOURED)[:200], "broken"),
        (_claiming(60_000, 60_000), "too_large"),
        (_claiming(2**31 - 1, 2**31 - 1), "too_large"),
        (_claiming(0, 10), "not_an_image"),
    ],
)
def test_what_cannot_be_judged_says_why(content: bytes, reason: str) -> None:
    """A short fixed word for the metric, a sentence for the person."""
    with pytest.raises(BadImage) as caught:
        decode(content)
    assert caught.value.reason == reason and reason in BadImage.REASONS
    assert str(caught.value) and "\n" not in str(caught.value)


def test_a_truncated_jpeg_is_broken() -> None:
    """A file that was cut off while it was written."""
    whole = BytesIO()
    Pillow.fromarray(COLOURED).save(whole, "JPEG")
    with pytest.raises(BadImage, match="cannot be"):
        decode(whole.getvalue()[:300])


def test_the_limit_is_the_callers() -> None:
    """One pixel more than allowed is refused, undecoded."""
    with pytest.raises(BadImage, match="60 x 40"):
        decode(encode(COLOURED), max_pixels=60 * 40 - 1)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP"]),
)
def test_rubbish_is_either_a_picture_or_a_bad_image(rest: bytes, start: bytes) -> None:
    """Nothing else ever comes out."""
    try:
        image = decode(start + rest)
    except BadImage as fault:
        assert fault.reason in BadImage.REASONS
    else:
        assert image.ndim == 3 and image.shape[2] == 3
