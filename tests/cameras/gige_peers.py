"""Cameras that speak GigE Vision, on this machine: viva-genicam's, which loses what it is told to, and Aravis' (Debian aravis-tools)."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, sleep, time

from viva_genicam.testing import FakeGigeCamera

from service.cameras import open_camera
from service.cameras.gige import gige_cameras
from service.ports import Camera
from service.records import Frame
from tests.cameras.stage import CountingMeter, nothing_known

VIVA = "VIVA-FAKE-001"


@contextmanager
def viva(
    *,
    fps: int = 50,
    pixel_format: str = "Mono8",
    drop_packets: Sequence[tuple[int, int]] = (),
    packet_resend: bool = True,
) -> Iterator[FakeGigeCamera]:
    """64 x 48 pixels, at 127.0.0.1."""
    camera = FakeGigeCamera(
        64, 48, fps, pixel_format=pixel_format, drop_packets=list(drop_packets), packet_resend=packet_resend
    )
    with camera:
        yield camera


class Aravis:
    """512 x 512 pixels at 25 pictures a second, in a process of its own; `pull` and `plug` are its cable."""

    def __init__(self, serial: str, interface: str) -> None:
        program = shutil.which("arv-fake-gv-camera-0.8")
        assert program, "no arv-fake-gv-camera-0.8; get it with: apt-get install aravis-tools"
        self.serial = serial
        self.process = subprocess.Popen([program, "-i", interface, "-s", serial])

    def pull(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def plug(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def aravis(serial: str = "GV01", interface: str = "127.0.0.1") -> Iterator[Aravis]:
    peer = Aravis(serial, interface)
    try:
        until(lambda: serial in {found.serial for found in gige_cameras()})
        yield peer
    finally:
        peer.process.kill()
        peer.process.wait()


def own_network() -> str:
    """The name of a network of this machine that is not loopback: a second GigE camera needs one, the port being the same for all."""
    for _, name in socket.if_nameindex():
        flags = int(open(f"/sys/class/net/{name}/flags").read(), 16)  # noqa: PTH123, SIM115
        if flags & 0x3 == 0x3 and not flags & 0x8:
            return name
    raise AssertionError("two cameras need a network besides loopback; expected one that is up, such as eth0")


def until(true: Callable[[], bool], seconds: float = 40.0) -> None:
    """Waits for it; the limit is only there so that a fault ends."""
    end = monotonic() + seconds
    while not true():
        assert monotonic() < end, "it did not happen"
        sleep(0.02)


def opened(url: str, meter: CountingMeter | None = None, name: str = "cam") -> Camera:
    return open_camera(url, line="cells", name=name, meter=meter or CountingMeter(), clock=time, known=nothing_known)


class Reading:
    """A camera that a thread reads until it is left."""

    def __init__(self, camera: str | Callable[[CountingMeter], Camera], name: str = "cam", pause: float = 0.0) -> None:
        """camera: its URL, or what makes it. pause: seconds that the line takes for a picture."""
        self.meter = CountingMeter()
        self.camera = opened(camera, self.meter, name) if isinstance(camera, str) else camera(self.meter)
        self.frames: list[Frame] = []
        self._pause = pause
        self._stopping = Event()
        self._thread = Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        for frame in self.camera.frames(self._stopping):
            self.frames.append(frame)
            self._stopping.wait(self._pause)

    def __enter__(self) -> Reading:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)
        self.camera.close()

    def come(self, count: int) -> list[Frame]:
        """Waits until so many frames more than now have come; returns them."""
        before = len(self.frames)
        until(lambda: len(self.frames) >= before + count)
        return self.frames[before : before + count]
