"""Pictures that are none, or more than they seem: one word for each, in bounded memory, and the line goes on."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from service.errors import BadImage
from service.images import decode
from service.model import contract
from service.sight import look_at
from tests.hostile.bombs import bombs, frames, plain
from tests.hostile.memory import peak_growth

KINDS = {
    "JPEG": plain("JPEG"),
    "progressive": plain("JPEG", progressive=True),
    "PNG": plain("PNG"),
    "BMP": plain("BMP"),
    "TIFF": plain("TIFF"),
    "packed TIFF": plain("TIFF", compression="tiff_lzw"),
    "WEBP": plain("WEBP"),
}


def tried(content: bytes) -> str:
    """What decode makes of it: "", or its one word. Any other error ends the test."""
    try:
        image = decode(content)
    except BadImage as fault:
        assert fault.reason in BadImage.REASONS
        assert len(str(fault)) < 400 and "\n" not in str(fault)
        return fault.reason
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    return ""


BOMBS = bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_bounded(name: str) -> None:
    """Whether it is shown or refused, it takes no more memory than the largest picture that is allowed."""
    grown, _ = peak_growth(lambda: tried(BOMBS[name]))
    assert grown < 700_000_000, name


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "PNG"])
def test_the_first_of_several_pictures_counts(kind: str) -> None:
    """What the other frames show is not judged, and costs nothing."""
    assert decode(frames(kind, 20)).max() == 0


def test_exif_turns_the_picture_and_does_nothing_else() -> None:
    """A camera may say that it lies on its side. What else EXIF says is not read: a thumbnail, a place, a path."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x9286] = 6, "../../etc/passwd", "x" * 40_000
    out = io.BytesIO()
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(out, "JPEG", exif=exif.tobytes())
    assert decode(out.getvalue()).shape == (32, 24, 3)


changes = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=12)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(KINDS)), changes, st.integers(0, 4000) | st.none())
@example("PNG", [(33, 0x92), (34, 0x34), (35, 0x94), (36, 0x44)], None)
@example("BMP", [(22, 24), (23, 0), (24, 18), (25, 0)], None)
def test_no_broken_picture_ends_the_line(kind: str, changes: list[tuple[int, int]], end: int | None) -> None:
    """Bytes changed, and cut short."""
    content = bytearray(KINDS[kind])
    for at, value in changes:
        if at < len(content):
            content[at] = value
    tried(bytes(content[:end]))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP"]),
    st.binary(max_size=400),
)
def test_noise_is_no_picture(start: bytes, noise: bytes) -> None:
    """Behind the first bytes of a picture, too."""
    tried(start + noise)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 100_000), (100_000, 1), (3, 5)])
def test_pictures_of_odd_sizes_are_judged(shape: tuple[int, int]) -> None:
    """However narrow: what the model and the look at the camera get is a picture like others."""
    image = np.full((*shape, 3), 7, np.uint8)
    wanted = contract.Contract.model_construct(input=contract.Input(height=32, width=32, colour="bgr"))
    assert contract.fit(image, wanted).shape == (32, 32, 3)
    look = look_at(image)
    assert np.isfinite([look.sharpness, look.brightness, look.overexposed]).all()
