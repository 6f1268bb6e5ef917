"""`video:///file.mp4?fps=2`: a recording, played as fast as the line takes it, once.

fps: pictures taken per second of video; every one unless given. A part is called after the file and the picture's
number, so a recording that was interrupted goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event
from urllib.parse import SplitResult

import cv2
import numpy as np
import structlog
from pydantic import Field

from service.cameras.ids import valid_part_id
from service.cameras.options import Options, local_path, parsed, unusable
from service.errors import BadImage
from service.ports import Clock, Meter
from service.records import Frame, Verdict

log = structlog.get_logger()

ASK_AHEAD = 256


class VideoOptions(Options):
    """fps: pictures taken per second of video."""

    fps: float | None = Field(default=None, gt=0.0, le=1000.0, allow_inf_nan=False)


class VideoFile:
    """Fulfils ports.Camera. A part's time is the moment at which it is played."""

    live = False

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
        self._options = parsed(VideoOptions, url, name)
        self._path = local_path(url, name)
        if not valid_part_id(self._part_id(0)):
            raise unusable(name, url, "the file's name makes no part ids; expected letters, digits and ._~:@-")
        if not self._path.is_file():
            raise unusable(name, url, "no such file")
        capture = self._opened()
        playable = capture.isOpened() and capture.grab()
        capture.release()
        if not playable:
            raise unusable(name, url, "cannot be played as a video")
        self._line = line
        self._meter = meter
        self._clock = clock
        self._known = known

    def _opened(self) -> cv2.VideoCapture:
        return cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)

    def _part_id(self, number: int) -> str:
        return f"{self._path.stem}-{number:07d}"

    def frames(self, stopping: Event) -> Iterator[Frame]:
        capture = self._opened()
        self._meter.camera_up(self.name, capture.isOpened())
        rate = capture.get(cv2.CAP_PROP_FPS)
        step = max(1.0, rate / self._options.fps) if self._options.fps and rate > 0.0 else 1.0
        number, due = 0, 0.0
        recorded: Mapping[str, float] = {}
        try:
            while not stopping.is_set() and capture.grab():
                if number % ASK_AHEAD == 0:
                    recorded = self._known([self._part_id(number + ahead) for ahead in range(ASK_AHEAD)])
                if number >= due:
                    due += step
                    if self._part_id(number) not in recorded:
                        yield from self._decoded(capture, number)
                number += 1
        finally:
            capture.release()
            self._meter.camera_up(self.name, False)

    def _decoded(self, capture: cv2.VideoCapture, number: int) -> Iterator[Frame]:
        done, image = capture.retrieve()
        if done:
            picture = np.asarray(image, dtype=np.uint8)
            yield Frame(self._part_id(number), self._line, self.name, self._clock(), picture)
        else:
            log.warning("picture cannot be decoded", camera=self.name, number=number)
            self._meter.dropped(self.name, "broken")

    def released(self, frame: Frame, verdict: Verdict) -> None:
        """Nothing to answer."""

    def refused(self, frame: Frame, fault: BadImage) -> None:
        """Nothing to set aside: the recording stays as it is."""

    def handed_on(self, frame: Frame) -> None:
        """Nothing to forget: the recording stays as it is."""

    def close(self) -> None:
        """Nothing is held open between plays."""
