"""Recordings and live cameras: real files, a real RTSP server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from threading import Event, Thread

import av
import cv2
import numpy as np
import pytest
from aio_rtsp_toolkit.server import RtspServer

from service.cameras.live import LiveVideo
from service.errors import InvalidInput
from service.records import Frame
from tests.cameras.stage import NOW, CountingMeter, opened, picture

RATE = 25


def write_avi(path: Path, pictures: int) -> Path:
    """Without loss, so that every picture can be told from the others."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), RATE, (64, 48))
    for number in range(pictures):
        writer.write(picture(number))
    writer.release()
    return path


def write_mp4(path: Path, pictures: int, moves: bool) -> Path:
    """H.264, as RTSP cameras send it; a picture that does not move is one that hangs."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        stream.codec_context.gop_size = 5
        for number in range(pictures):
            image = np.full((48, 64, 3), 128, np.uint8)
            if moves:
                image[:, : 1 + number % 60] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def rtsp_server(folder: Path, port: int) -> Iterator[None]:
    """Serves the files of the folder, over TCP, until left."""
    loop = asyncio.new_event_loop()
    started = Event()

    async def run() -> None:
        server = RtspServer(str(folder), host="127.0.0.1", port=port)
        await server.start()
        started.set()
        await stopped.wait()
        await server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    stopped = asyncio.Event()
    thread = Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


class Watcher:
    """Reads a camera in a thread, as the worker does."""

    def __init__(self, url: str) -> None:
        self.meter = CountingMeter()
        self.frames: list[Frame] = []
        self.stopping = Event()
        self._camera = opened(url, self.meter)
        self._thread = Thread(target=lambda: self.frames.extend(self._camera.frames(self.stopping)), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self._thread.join()
        self._camera.close()


def until(condition: object) -> None:
    """Waits; pytest's own time limit ends a wait that is in vain."""
    assert callable(condition)
    while not condition():
        Event().wait(0.02)


def test_a_recording_gives_every_picture_once_and_ends(tmp_path: Path) -> None:
    """Ids are the file's name and the picture's number; the pictures are the ones recorded."""
    path = write_avi(tmp_path / "tape.avi", 12)
    frames = list(opened(f"video://{path}").frames(Event()))
    assert [frame.part_id for frame in frames] == [f"tape-{number:07d}" for number in range(12)]
    assert all(np.array_equal(frame.content, picture(number)) for number, frame in enumerate(frames))


def test_a_recording_is_sampled(tmp_path: Path) -> None:
    """fps=5 of a recording of 25 a second takes every fifth."""
    path = write_avi(tmp_path / "tape.avi", 20)
    frames = list(opened(f"video://{path}?fps=5").frames(Event()))
    assert [frame.part_id[-2:] for frame in frames] == ["00", "05", "10", "15"]


def test_a_recording_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What is recorded already is not inspected again."""
    path = write_avi(tmp_path / "tape.avi", 6)
    first = [frame.part_id for frame in islice(opened(f"video://{path}").frames(Event()), 4)]
    camera = opened(f"video://{path}", known=lambda ids: dict.fromkeys(set(ids) & set(first), NOW))
    assert [frame.part_id for frame in camera.frames(Event())] == ["tape-0000004", "tape-0000005"]


def test_a_recording_stops_when_told(tmp_path: Path) -> None:
    """Nothing comes after `stopping`."""
    stopping = Event()
    frames = opened(f"video://{write_avi(tmp_path / 'tape.avi', 6)}").frames(stopping)
    next(frames)
    stopping.set()
    assert list(frames) == []


def test_a_live_stream_is_read(tmp_path: Path) -> None:
    """Frames of a real RTSP server: up, unique ids, decoded pictures, our clock's time."""
    write_mp4(tmp_path / "line.mp4", 50, moves=True)
    port = free_port()
    with rtsp_server(tmp_path, port):
        watcher = Watcher(f"rtsp://127.0.0.1:{port}/line.mp4?play_count=0")
        until(lambda: len(watcher.frames) > 3)
        watcher.stop()
    assert len({frame.part_id for frame in watcher.frames}) == len(watcher.frames)
    assert {frame.captured_at for frame in watcher.frames} == {NOW}
    assert {np.shape(frame.content) for frame in watcher.frames} == {(48, 64, 3)}


def test_a_live_stream_that_breaks_comes_back(tmp_path: Path) -> None:
    """The server dies and returns: up, down, up again, by itself."""
    write_mp4(tmp_path / "line.mp4", 50, moves=True)
    port = free_port()
    watcher = Watcher(f"rtsp://127.0.0.1:{port}/line.mp4?play_count=0")
    with rtsp_server(tmp_path, port):
        until(lambda: True in watcher.meter.ups)
    until(lambda: watcher.meter.ups[-1] is False)
    before = len(watcher.frames)
    with rtsp_server(tmp_path, port):
        until(lambda: watcher.meter.ups[-1] is True and len(watcher.frames) > before)
        watcher.stop()


def test_a_picture_that_hangs_is_seen(tmp_path: Path) -> None:
    """The same picture for longer than `stale` is a camera that is down, and gives no parts."""
    write_mp4(tmp_path / "still.mp4", 50, moves=False)
    port = free_port()
    with rtsp_server(tmp_path, port):
        watcher = Watcher(f"rtsp://127.0.0.1:{port}/still.mp4?play_count=0#stale=500ms")
        until(lambda: True in watcher.meter.ups and watcher.meter.ups[-1] is False)
        until(lambda: watcher.meter.drops["stale"] > 3)
        watcher.stop()


def test_a_camera_that_is_not_there_does_not_hold_up_stopping(capfd: pytest.CaptureFixture[str]) -> None:
    """A host that accepts and says nothing: frames() returns all the same, and the password is nowhere to be read."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        watcher = Watcher(f"rtsp://user:hush@127.0.0.1:{deaf.getsockname()[1]}/x?password=hush#stale=300ms")
        until(lambda: watcher.meter.ups == [False])
        watcher.stop()
    captured = capfd.readouterr()
    assert watcher.frames == []
    assert "hush" not in captured.out + captured.err


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("rtsp://user:hush@/x", "expected a host"),
        ("rtsp://user:hush@h/x#speed=1", "unknown option 'speed'; known options: fps, stale"),
        ("rtsp://user:hush@h/x?pwd=hush#fps=0", "option fps: Input should be greater than 0"),
        ("usb://front", "expected the camera's number"),
        ("video:///no/such/file.mp4", "no such file"),
        ("video:///etc/hostname", "cannot be played"),
        ("video:///a/no id.mp4", "makes no part ids"),
        ("gopher://user:hush@h/x", "known schemes: folder, gentl, gige, nats, push, rtsp, tls, u3v, usb, video"),
        ("rtsp://user:hush@h:port/x", "not a URL"),
    ],
)
def test_bad_urls_are_one_line(url: str, why: str) -> None:
    """The line names the camera and what was expected, and hides the password."""
    with pytest.raises(InvalidInput) as caught:
        opened(url)
    assert why in str(caught.value)
    assert str(caught.value).startswith("camera cam: ")
    assert "hush" not in str(caught.value)


def test_usb_cameras_are_live() -> None:
    """They lose frames rather than hold up the line; opening waits for frames()."""
    camera = opened("usb://0?fps=5")
    assert isinstance(camera, LiveVideo)
    assert camera.live
