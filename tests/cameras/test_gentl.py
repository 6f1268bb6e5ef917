"""Cameras behind a GenTL producer: the one that genicam's wheel carries, with three cameras of a bouncing ball."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import quote

import cv2
import genicam
import numpy as np
import pytest
from typer.testing import CliRunner

from service.cameras.gentl import producer_of
from service.cli import app
from service.errors import InvalidInput
from tests.cameras.gige_peers import Reading, opened, until

PRODUCER = Path(genicam.__file__).parent / "viky.cti"
URL = f"gentl://{quote(str(PRODUCER.resolve()))}"


def test_pictures_come_numbered_with_features_set() -> None:
    """As many pixels as line.yaml asks for, one number after the other, and nothing is lost."""
    with Reading(f"{URL}?serial=0&Width=320&PixelFormat=Mono8") as reading:
        frames = reading.come(5)
        assert [frame.trigger for frame in frames] == [1, 2, 3, 4, 5]
        assert {np.shape(frame.content) for frame in frames} == {(400, 320, 3)}
        assert reading.meter.drops == {}
    assert reading.meter.ups == [True, False]


def test_two_cameras_of_one_producer() -> None:
    """Each by its serial number or id; the one goes on while the other ends and comes again."""
    with Reading(f"{URL}?serial=0", "red") as red:
        red.come(2)
        for _ in range(2):
            with Reading(f"{URL}?serial=VikyTL_DEV_green&Width=200", "green") as green:
                assert {np.shape(frame.content) for frame in green.come(3)} == {(400, 200, 3)}
        assert {np.shape(frame.content) for frame in red.come(3)} == {(400, 400, 3)}
        assert red.meter.ups == [True]


def test_a_camera_that_another_has_is_waited_for() -> None:
    """It is down, and comes up when the other lets it go."""
    with Reading(f"{URL}?serial=1") as first:
        first.come(1)
        with Reading(f"{URL}?serial=1") as second:
            until(lambda: second.meter.ups == [False])
            first.stop()
            assert second.come(2)
    assert second.meter.ups == [False, True, False]


def test_a_camera_that_runs_freely_and_sends_nothing_is_down() -> None:
    """One picture a second is too few where a third of one is the limit; it is connected anew."""
    with Reading(f"{URL}?serial=0&AcquisitionFrameRate=1&stale=300ms") as reading:
        until(lambda: reading.meter.ups[:3] == [True, False, True])


def test_pictures_that_the_line_is_too_slow_for_are_counted() -> None:
    """Those that wait are few: the oldest makes room, and every number that is left out is counted once."""
    with Reading(f"{URL}?serial=0&AcquisitionFrameRate=100&Width=100&Height=100", pause=0.2) as reading:
        frames = reading.come(12)
    left_out = (frames[-1].trigger or 0) - (frames[0].trigger or 0) + 1 - len(frames)
    assert left_out > 0
    assert set(reading.meter.drops) <= {"overtaken", "lost"}
    assert sum(reading.meter.drops.values()) >= left_out


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("serial=0&Width=9000", "Width=9000: Width of this camera is 100 to 800, found 9000"),
        ("serial=0&PixelFormat=Mono12", "PixelFormat=Mono12: expected one of RGBa8, Mono8, found 'Mono12'"),
        ("serial=0&PayloadSize=1", "PayloadSize=1: PayloadSize cannot be written now; the camera has"),
        ("serial=0&exposure=4ms", "exposure=4ms: the camera has no feature ExposureTime or ExposureTimeAbs"),
        ("serial=0&packet_size=auto", "packet_size=auto: the producer sees to that"),
        ("Width=400", "option serial: Field required"),
    ],
)
def test_what_is_refused_is_one_line(query: str, said: str) -> None:
    """And the camera is free again."""
    with pytest.raises(InvalidInput, match=rf"^camera cam: gentl://.*: {said}") as refused:
        opened(f"{URL}?{query}")
    assert "\n" not in str(refused.value)
    with Reading(f"{URL}?serial=0") as reading:
        reading.come(1)


def test_a_serial_that_nobody_has(capfd: pytest.CaptureFixture[str]) -> None:
    """Said once, with those that are there."""
    with Reading(f"{URL}?serial=9") as reading:
        until(lambda: reading.meter.ups == [False])
    assert capfd.readouterr().out.count("no camera 9 answers; there: 0 (VikyTL_DEV_red), 1 (VikyTL_DEV_green)") == 1


def test_a_file_that_is_no_producer(tmp_path: Path) -> None:
    """One line, whether it is not there or not what it should be."""
    with pytest.raises(InvalidInput, match=r"no such file; expected the GenTL producer"):
        opened(f"gentl://{tmp_path}/none.cti?serial=0")
    (tmp_path / "text.cti").write_text("no library")
    with pytest.raises(InvalidInput, match=r"text\.cti: no GenTL producer: "):
        opened(f"gentl://{tmp_path}/text.cti?serial=0")
    with pytest.raises(InvalidInput, match=r"none\.cti: no GenTL producer: no such file$"):
        CliRunner().invoke(app, ["cameras", "find", "--producer", str(tmp_path / "none.cti")], catch_exceptions=False)


def test_find_lists_the_cameras_of_a_producer(tmp_path: Path) -> None:
    """With the URL that line.yaml takes, and a picture of each."""
    done = CliRunner().invoke(app, ["cameras", "find", "--producer", str(PRODUCER), "--pictures", str(tmp_path)])
    assert [line.split()[0] for line in done.stdout.splitlines()] == [f"{URL}?serial={number}" for number in range(3)]
    assert [cv2.imread(str(tmp_path / f"{number}.png")).shape for number in range(3)] == [(400, 400, 3)] * 3


def test_a_producer_is_loaded_once() -> None:
    """A second one in the process would find no cameras."""
    assert producer_of(PRODUCER) is producer_of(PRODUCER.parent / "." / PRODUCER.name)


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core installs without."""
    monkeypatch.setitem(sys.modules, "harvesters", None)
    with pytest.raises(InvalidInput, match=r"^camera cam: needs the extra `gentl`: pip install 'redrabbit\[gentl\]'$"):
        opened(f"{URL}?serial=0")
