"""`usb://0?fps=5&stale=10s` and `rtsp://user:password@host/path#fps=5&stale=10s`: cameras that do not wait.

An rtsp URL's query belongs to the camera, so our options stand behind `#`. A thread reads, because a read may hang whatever
its time limit says; what it reads waits in a place for one. fps: pictures taken per second, all unless given. stale: the same
picture, or none, for so long is a camera that is down: one that hangs looks live otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Empty
from threading import Event, Thread
from time import monotonic
from urllib.parse import SplitResult
from uuid import uuid4

import cv2
import numpy as np
import structlog
from pydantic import Field

from service.cameras.ids import valid_part_id
from service.cameras.inbox import Inbox
from service.cameras.options import Options, Seconds, parsed, unusable
from service.errors import BadImage
from service.ports import Clock, Meter
from service.records import Frame, Image, Verdict
from service.urls import redacted

log = structlog.get_logger()

TIMEOUT = 10.0
BACK_OFF = (0.5, 1.0, 2.0, 5.0, 10.0)


class LiveOptions(Options):
    """fps: pictures taken per second. stale: seconds without a new picture after which the camera counts as down."""

    fps: float | None = Field(default=None, gt=0.0, le=1000.0, allow_inf_nan=False)
    stale: Seconds = Field(default=10.0, gt=0.0)


class LiveVideo:
    """Fulfils ports.Camera. Reconnects by itself, ever more slowly, at least every ten seconds."""

    live = True

    def __init__(
        self,
        url: SplitResult,
        line: str,
        name: str,
        meter: Meter,
        clock: Clock,
        known: Callable[[Sequence[str]], Mapping[str, float]],
    ) -> None:
        self.name = name
        usb = url.scheme == "usb"
        self._options = parsed(LiveOptions, url, name, url.query if usb else url.fragment)
        if usb and not url.netloc.isdecimal():
            raise unusable(name, url, "expected the camera's number, such as usb://0")
        if not usb and not url.hostname:
            raise unusable(name, url, "expected a host, such as rtsp://camera.example/stream")
        if not valid_part_id(self._part_id(0.0)):
            raise unusable(name, url, "the camera's name makes no part ids; expected letters, digits and ._~:@-")
        self._source: int | str = int(url.netloc) if usb else url._replace(fragment="").geturl()
        self._shown = redacted(url)
        self._line = line
        self._meter = meter
        self._clock = clock
        self._up: bool | None = None

    def _part_id(self, captured_at: float) -> str:
        return f"{self.name}-{int(captured_at * 1000)}-{uuid4().hex[:12]}"

    def frames(self, stopping: Event) -> Iterator[Frame]:
        inbox: Inbox[tuple[float, Image]] = Inbox(1, self.name, self._meter)
        reader = Thread(target=self._read, args=(inbox, stopping), name=f"read-{self.name}", daemon=True)
        reader.start()
        last: Image | None = None
        changed = monotonic()
        while not stopping.is_set():
            try:
                captured_at, image = inbox.get(timeout=0.2)
            except Empty:
                if monotonic() - changed > self._options.stale:
                    self._is_up(False)
                continue
            if last is None or not np.array_equal(last, image):
                last, changed = image, monotonic()
            if monotonic() - changed > self._options.stale:
                self._is_up(False)
                self._meter.dropped(self.name, "stale")
                continue
            self._is_up(True)
            yield Frame(self._part_id(captured_at), self._line, self.name, captured_at, image)
        self._is_up(False)

    def _is_up(self, up: bool) -> None:
        if up is not self._up:
            self._up = up
            log.info("camera up" if up else "camera down", camera=self.name, url=self._shown)
            self._meter.camera_up(self.name, up)

    def _read(self, inbox: Inbox[tuple[float, Image]], stopping: Event) -> None:
        """Connects, reads until the source fails, waits, again. The wait is short again after a picture."""
        failures = 0
        while not stopping.is_set():
            capture = self._opened()
            pictures = self._read_from(capture, inbox, stopping)
            capture.release()
            failures = 1 if pictures else failures + 1
            if not stopping.is_set():
                log.warning("camera gives no picture", camera=self.name, url=self._shown, failures=failures)
                stopping.wait(BACK_OFF[min(failures, len(BACK_OFF)) - 1])

    def _opened(self) -> cv2.VideoCapture:
        """FFmpeg asks for RTSP over TCP unless told otherwise: UDP loses parts of pictures."""
        if isinstance(self._source, int):
            return cv2.VideoCapture(self._source)
        limit = int(TIMEOUT * 1000)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
        return cv2.VideoCapture(self._source, cv2.CAP_FFMPEG, limits)

    def _read_from(self, capture: cv2.VideoCapture, inbox: Inbox[tuple[float, Image]], stopping: Event) -> int:
        """Returns how many pictures came before the source failed."""
        pictures, due = 0, 0.0
        while not stopping.is_set() and capture.grab():
            captured_at, now = self._clock(), monotonic()
            if now < due:
                continue
            due = max(due, now - 1.0) + 1.0 / self._options.fps if self._options.fps else 0.0
            done, image = capture.retrieve()
            if not done:
                self._meter.dropped(self.name, "broken")
                continue
            pictures += 1
            inbox.put((captured_at, np.asarray(image, dtype=np.uint8)))
        return pictures

    def released(self, frame: Frame, verdict: Verdict) -> None:
        """Nothing to answer."""

    def refused(self, frame: Frame, fault: BadImage) -> None:
        """Nothing to set aside: the picture is gone."""

    def handed_on(self, frame: Frame) -> None:
        """Nothing to forget: the picture is gone."""

    def close(self) -> None:
        """The reader ends by itself once it is told to stop."""
