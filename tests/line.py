"""The plainest parts of a line, for tests: a model that looks at brightness, a camera that plays a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from threading import Event

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import BadImage
from service.ports import DetectorInfo
from service.records import Frame, Image, Look, ModelInForce, Verdict

LINE = "a"
INFO = DetectorInfo("bright", "d" * 64, ("good", "crack"), "good", {"crack": 0.5}, "CPUExecutionProvider")
MODEL = ModelInForce(LINE, INFO.digest, INFO.name, INFO.classes, "good", {"crack": 0.5}, INFO.provider, "active", 0.0)


class Brightness:
    """Score of `crack` = mean brightness of the picture, in [0, 1]."""

    info = INFO

    def fit(self, image: Image) -> NDArray[np.uint8]:
        return cv2.resize(image, (4, 4), interpolation=cv2.INTER_AREA)

    def judge(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        bright = batch.mean(axis=(1, 2, 3)) / 255.0
        return np.stack([1.0 - bright, bright], axis=1).astype(np.float32)


def picture(brightness: float) -> bytes:
    """A small grey PNG; brightness in [0, 1]."""
    done, content = cv2.imencode(".png", np.full((8, 8, 3), round(brightness * 255), np.uint8))
    assert done
    return content.tobytes()


class Playlist:
    """A camera that plays (part_id, content) and then ends, or waits for the end when told so."""

    def __init__(
        self, parts: Sequence[tuple[str, bytes]], live: bool = False, stays: bool = False, line: str = LINE
    ) -> None:
        self.name = "left"
        self._line = line
        self.live = live
        self._stays = stays
        self._parts = parts
        self.answered: list[tuple[str, Verdict]] = []
        self.set_aside: list[tuple[str, str]] = []
        self.handed: list[str] = []
        self.closed = False

    def frames(self, stopping: Event) -> Iterator[Frame]:
        for number, (part_id, content) in enumerate(self._parts):
            if stopping.is_set():
                return
            yield Frame(part_id, self._line, self.name, 1000.0 + number, content)
        if self._stays:
            stopping.wait()

    def released(self, frame: Frame, verdict: Verdict) -> None:
        self.answered.append((frame.part_id, verdict))

    def refused(self, frame: Frame, fault: BadImage) -> None:
        self.set_aside.append((frame.part_id, fault.reason))

    def handed_on(self, frame: Frame) -> None:
        self.handed.append(frame.part_id)

    def close(self) -> None:
        self.closed = True


class Counts:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self.stages: Counter[str] = Counter()
        self.ledger: list[bool] = []
        self.swaps: Counter[tuple[str, str]] = Counter()
        self.unjudged = 0
        self.passports: list[bool] = []
        self.store: list[bool] = []
        self.waiting = 0
        self.lag: list[int] = []
        self.dead = 0
        self.triggers = 0
        self.repeats: list[int] = []
        self.sights: list[tuple[Look, Look | None]] = []

    def observe(self, stage: str, seconds: float, parts: int = 1) -> None:
        self.stages[stage] += parts

    def dropped(self, camera: str, reason: str) -> None:
        self.drops[reason] += 1

    def redelivered(self, camera: str) -> None:
        self.drops["redelivered"] += 1

    def camera_up(self, camera: str, up: bool) -> None:
        pass

    def camera_waiting(self, camera: str, frames: int) -> None:
        self.lag.append(frames)

    def camera_dead(self, camera: str, frames: int) -> None:
        self.dead = frames

    def camera_frame(self, camera: str, captured_at: float) -> None:
        pass

    def camera_triggers(self, camera: str, triggers: int) -> None:
        self.triggers += triggers

    def camera_repeats(self, camera: str, frames: int) -> None:
        self.repeats.append(frames)

    def camera_sight(self, camera: str, look: Look, reference: Look | None) -> None:
        self.sights.append((look, reference))

    def ledger_up(self, up: bool) -> None:
        if not self.ledger or self.ledger[-1] != up:
            self.ledger.append(up)

    def store_up(self, up: bool) -> None:
        self.store.append(up)

    def pictures_waiting(self, pictures: int) -> None:
        self.waiting = pictures

    def gated(self, passed: bool) -> None:
        self.passports.append(passed)

    def swapped(self, role: str, outcome: str) -> None:
        self.swaps[role, outcome] += 1

    def shadow_dropped(self, parts: int) -> None:
        self.unjudged += parts
