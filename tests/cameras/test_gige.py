"""GigE Vision and USB3 Vision, over the real protocols: two makers' cameras on this machine."""

from __future__ import annotations

import re
import sys
from itertools import count
from pathlib import Path
from time import sleep, time
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
import viva_genicam
from typer.testing import CliRunner
from viva_genicam.testing import FakeU3vCamera

from service.cameras import industrial
from service.cameras.gige import Vision, VisionSession
from service.cameras.industrial import Found
from service.cli import app
from service.errors import InvalidInput
from service.ports import Camera
from tests.cameras.gige_peers import VIVA, Reading, aravis, opened, own_network, until, viva
from tests.cameras.stage import CountingMeter, nothing_known


def test_pictures_come_with_the_cameras_numbers() -> None:
    """Numbers follow one another, times go up, and each id is its own."""
    with viva(fps=50), Reading(f"gige://{VIVA}?packet_size=auto") as reading:
        frames = reading.come(20)
        assert [frame.trigger for frame in frames] == list(range(frames[0].trigger or 0, (frames[0].trigger or 0) + 20))
        assert np.diff([frame.captured_at for frame in frames]).min() > 0.0
        assert len({frame.part_id for frame in frames}) == 20
        assert np.shape(frames[0].content) == (48, 64, 3)
        assert reading.meter.drops == {}


def test_the_time_between_pictures_is_the_cameras() -> None:
    """This machine's clock says half a second from one arrival to the next at the least; the camera knows better."""
    ticks = count()

    def wrong(meter: CountingMeter) -> Camera:
        return Vision(urlsplit(f"gige://{VIVA}"), "a", "cam", meter, lambda: 1e9 + next(ticks) / 2, nothing_known)

    with viva(fps=50), Reading(wrong) as reading:
        frames = reading.come(5)
    assert 0.0 < frames[4].captured_at - frames[0].captured_at < 2.0


def test_blocks_that_lost_a_packet_are_counted_and_leave_a_gap() -> None:
    """The packet of block 5 is never sent: no frame has its number, and it is counted as incomplete."""
    with viva(drop_packets=[(5, 1)], packet_resend=False), Reading("gige://127.0.0.1") as reading:
        numbers = [frame.trigger for frame in reading.come(10)]
        assert numbers == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
        assert reading.meter.drops == {"incomplete": 1}


def test_a_block_of_which_nothing_came_is_lost() -> None:
    """Every packet of block 4, its first and its last included: the next number shows it."""
    whole = [(4, packet) for packet in range(8)]
    with viva(drop_packets=whole, packet_resend=False), Reading(f"gige://{VIVA}") as reading:
        assert [frame.trigger for frame in reading.come(6)] == [1, 2, 3, 5, 6, 7]
        assert reading.meter.drops == {"lost": 1}


def test_a_packet_that_the_camera_sends_again_is_not_lost() -> None:
    """With packet resend every block is whole."""
    with viva(drop_packets=[(5, 1)], packet_resend=True), Reading(f"gige://{VIVA}") as reading:
        assert [frame.trigger for frame in reading.come(8)] == list(range(1, 9))
        assert reading.meter.drops == {}


def test_features_are_set_before_the_first_picture() -> None:
    """What stands in the URL stands in the camera, by our names or by its own."""
    url = f"gige://{VIVA}?exposure=2.5ms&gain=6.5&trigger=off&packet_size=900&Width=32"
    with viva() as peer, Reading(url) as reading:
        assert np.shape(reading.come(1)[0].content) == (48, 32, 3)
        with viva_genicam.connect_gige(peer.device_info(), monitor=True) as camera:
            assert (camera.get_float("ExposureTime"), camera.get_float("Gain")) == (2500.0, 6.5)
            assert camera.get_integer("GevSCPSPacketSize") == 900


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("exposure=2m", r"exposure=2m: ExposureTime of this camera is 10 to 1000000 us, found 120000000"),
        ("gain=60", r"gain=60: Gain of this camera is 0 to 48, found 60"),
        ("PixelFormat=Mono11", r"PixelFormat=Mono11: expected one of Mono8, .*found 'Mono11'"),
        ("ExposureTimes=5", r"ExposureTimes=5: the camera has no feature ExposureTimes; it has ExposureTime"),
        ("DeviceSerialNumber=7", r"DeviceSerialNumber=7: DeviceSerialNumber cannot be written now; the camera has VIVA-FAKE-001"),
        ("Width=wide", r"Width=wide: expected a whole number, found 'wide'"),
        ("Width=32&Width=64", r"Width=32: Width was set to 32, but the camera has 64"),
        ("trigger=Software", r"option trigger: nothing here fires a software trigger"),
        ("packet_size=5", r"option packet_size: expected auto or at least 576, found 5"),
        ("speed=5", r"unknown option 'speed'; known options: exposure, gain, trigger, packet_size, stale"),
    ],
)  # fmt: skip
def test_what_the_camera_refuses_is_one_line(query: str, said: str) -> None:
    """The line names the camera, the option, what was asked for and what the camera says."""
    with viva(), pytest.raises(InvalidInput, match=f"^camera cam: gige://{VIVA}.*: {said}") as refused:
        opened(f"gige://{VIVA}?{query}")
    assert "\n" not in str(refused.value)


def test_another_makers_names_are_found() -> None:
    """An older camera has ExposureTimeAbs, and GainRaw in its own units."""
    with aravis("GV07") as peer:
        with pytest.raises(InvalidInput, match=r"GainRaw=99: GainRaw of this camera is 0 to 10, found 99$"):
            opened("gige://GV07?GainRaw=99")
        with Reading(f"gige://{peer.serial}?exposure=7ms&GainRaw=4&PixelFormat=BayerRG8") as reading:
            reading.come(1)
            with viva_genicam.connect_gige(viva_genicam.discover(400, all=True)[0], monitor=True) as camera:
                values = [camera.get(name) for name in ("ExposureTimeAbs", "GainRaw", "PixelFormat")]
    assert values == ["7000", "4", "BayerRG8"]


@pytest.mark.parametrize("pixel_format", ["Mono8", "Mono12p", "Mono16", "BayerRG8", "RGB8"])
def test_pixel_formats_become_bgr(pixel_format: str) -> None:
    """Each arrives as a colour picture of eight bits."""
    with viva(pixel_format=pixel_format), Reading(f"gige://{VIVA}") as reading:
        image = reading.come(1)[0].content
    assert isinstance(image, np.ndarray)
    assert (image.shape, image.dtype) == ((48, 64, 3), np.uint8)
    assert image.max() > 0


def test_a_pixel_format_that_is_not_read_is_counted_and_said(capfd: pytest.CaptureFixture[str]) -> None:
    """Where the camera's description does not name it, the pictures do."""
    with viva(pixel_format="YUV422_8"), Reading(f"gige://{VIVA}") as reading:
        until(lambda: reading.meter.drops["broken"] > 2)
        assert reading.frames == []
    assert capfd.readouterr().out.count("pixel format YUV422_8 is not read; expected Mono and Bayer") == 1


def test_a_serial_that_nobody_has_is_said_with_those_that_are_there(capfd: pytest.CaptureFixture[str]) -> None:
    """The camera may yet be plugged in, so the line starts; it is down and the log says who is there."""
    with viva(), Reading("gige://NOBODY") as reading:
        until(lambda: reading.meter.ups == [False])
    said = capfd.readouterr().out
    assert len(re.findall(rf"no camera NOBODY answers; there: {VIVA} \(127\.0\.0\.1\)", said)) == 1


def test_a_pulled_cable_and_back() -> None:
    """Down when it no longer answers, up again by itself, and numbers go on with a gap of nothing unknown."""
    with aravis("GV02") as peer, Reading("gige://GV02?stale=1h") as reading:
        reading.come(5)
        peer.pull()
        until(lambda: reading.meter.ups == [True, False])
        peer.plug()
        until(lambda: reading.meter.ups == [True, False, True])
        reading.come(3)
        numbers = [frame.trigger or 0 for frame in reading.frames]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        times = [frame.captured_at for frame in reading.frames]
        assert times == sorted(times)


def test_a_camera_that_comes_and_is_exchanged() -> None:
    """Nothing there at first: the line waits. The next camera counts from 1 again, and the parts' numbers go on."""
    with Reading("gige://127.0.0.1") as reading:
        until(lambda: reading.meter.ups == [False])
        with viva():
            assert reading.come(5)
        until(lambda: reading.meter.ups == [False, True, False])
        last = reading.frames[-1].trigger or 0
        with viva():
            assert [frame.trigger for frame in reading.come(3)] == [last + 1, last + 2, last + 3]
    assert reading.meter.ups == [False, True, False, True, False]


def test_control_taken_away_is_a_camera_that_is_down() -> None:
    """As when its heartbeat ended; it is taken back."""
    with viva() as peer, Reading(f"gige://{VIVA}") as reading:
        reading.come(2)
        peer.revoke_control()
        until(lambda: reading.meter.ups == [True, False, True])
        assert reading.come(2)


def test_behind_a_trigger_no_picture_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The camera waits for its input, for longer than one that runs freely may, and stays up."""
    monkeypatch.setattr(industrial, "STALE", 0.2)
    with viva() as peer, Reading(f"gige://{VIVA}?trigger=Line1") as reading:
        until(lambda: reading.meter.ups == [True])
        sleep(1.0)  # that nothing happens cannot be waited for
        assert (peer.blocks_sent(), reading.meter.ups) == (0, [True])
    assert reading.meter.ups == [True, False]


def test_two_cameras_of_one_line() -> None:
    """Of two makers, on two networks of this machine, each under its own name."""
    with (
        viva(),
        aravis("GV03", own_network()),
        Reading(f"gige://{VIVA}", "left") as left,
        Reading("gige://GV03", "right") as right,
    ):
        shapes = {frame.camera: np.shape(frame.content) for frame in (*left.come(3), *right.come(3))}
    assert shapes == {"left": (48, 64, 3), "right": (512, 512, 3)}


def test_a_usb3_camera() -> None:
    """The protocol of a real one, without the bus: no search finds it, so the test does."""
    peer = FakeU3vCamera(64, 48)
    found = Found(
        "u3v://7",
        "7",
        "usb 1:2",
        "viva-genicam",
        "fake",
        lambda asked, wanted: VisionSession(peer.connect, asked, wanted),
    )
    url = urlsplit("u3v://7")

    def plugged(meter: CountingMeter) -> Camera:
        return Vision(url, "cells", "cam", meter, time, nothing_known, lambda: iter([found]))

    with Reading(plugged) as reading:
        numbers = [frame.trigger for frame in reading.come(5)]
    assert numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + 5))
    assert not peer.acquiring()


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core installs without."""
    monkeypatch.setitem(sys.modules, "viva_genicam", None)
    with pytest.raises(InvalidInput, match=r"^camera cam: needs the extra `gige`: pip install 'redrabbit\[gige\]'$"):
        opened("gige://1234")


def test_find_says_what_is_there_and_takes_a_picture_of_each(tmp_path: Path) -> None:
    """One line a camera, with the URL for line.yaml; pictures under the serial number."""
    with viva(), aravis("GV04", own_network()):
        said = found("--pictures", str(tmp_path / "seen"))
    lines = sorted(said.splitlines())
    assert [line.split()[0] for line in lines] == ["gige://GV04", f"gige://{VIVA}"]
    assert lines[0].endswith("GV04.png, 512 x 512")
    assert re.fullmatch(rf"gige://{VIVA} +viva-genicam FakeGigE, at 127\.0\.0\.1  {VIVA}\.png, 64 x 48", lines[1])
    assert sorted(file.name for file in (tmp_path / "seen").iterdir()) == ["GV04.png", f"{VIVA}.png"]
    assert np.shape(cv2.imread(str(tmp_path / "seen/GV04.png"))) == (512, 512, 3)


def test_find_leaves_a_camera_that_is_at_work_alone(tmp_path: Path) -> None:
    """It is listed without a picture, and its line notices nothing."""
    with viva(), Reading(f"gige://{VIVA}") as reading:
        reading.come(2)
        said = found("--pictures", str(tmp_path))
        reading.come(2)
        assert reading.meter.ups == [True]
    assert f"gige://{VIVA}" in said
    assert "no picture: cannot be opened, another program may have it" in said


def test_find_says_that_nothing_is_there() -> None:
    """And ends well: an empty bench is no fault."""
    assert found() == "no camera answers\n"


def test_find_needs_a_folder(tmp_path: Path) -> None:
    """A file is none."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InvalidInput, match=rf"^cameras: --pictures {file}: no folder can be made"):
        CliRunner().invoke(app, ["cameras", "find", "--pictures", str(file)], catch_exceptions=False)


def found(*words: str) -> str:
    done = CliRunner().invoke(app, ["cameras", "find", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout
