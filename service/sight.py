"""How well a camera sees: its pictures now against those of when the model took over, whatever they show.

A cause to look at, never a verdict: whether recall suffers, the audits say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median
from threading import Lock
from zlib import crc32

import cv2
import numpy as np

from service.ports import CameraLedger, Clock, Meter
from service.records import CameraReference, Frame, Image, Look

LOOK_EVERY = 1.0
"""One picture a second is enough, and costs the line nothing."""

NEWEST = 30
REFERENCE = 100
"""The median of so many pictures is how the camera sees now; of so many, how it saw when the model took over."""

DISORDER = 100
"""Pictures may come so many triggers late; a number further back is a counter that was reset."""

SIDE = 1024
OVEREXPOSED = 250


def look_at(image: Image) -> Look:
    """image: uint8 BGR (H, W, 3).

    Sharpness is the standard deviation of the Laplacian over the mean, of at most SIDE x SIDE pixels in the middle: more light
    makes a picture no sharper. The rest is of every so-many-th pixel.
    """
    middle = cv2.cvtColor(_middle(image), cv2.COLOR_BGR2GRAY)
    detail = cv2.Laplacian(middle, cv2.CV_32F)
    step = max(1, min(image.shape[:2]) // SIDE)
    thinned = image[::step, ::step]
    return Look(
        sharpness=float(detail.std() / max(1.0, middle.mean())),
        brightness=float(thinned.mean() / 255),
        overexposed=float((thinned.max(axis=2) >= OVEREXPOSED).mean()),
    )


def _middle(image: Image) -> Image:
    top, left = (max(0, (size - SIDE) // 2) for size in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]


def middle_of(looks: Iterable[Look]) -> Look:
    """The median of each."""
    rows = [(look.sharpness, look.brightness, look.overexposed) for look in looks]
    return Look(*(median(column) for column in zip(*rows, strict=True)))


class Sight:
    """One camera's. `arrived` is called by its own thread, `seen` by any, `follow` by the worker's."""

    def __init__(self, line: str, camera: str, meter: Meter, clock: Clock) -> None:
        self._line = line
        self._camera = camera
        self._meter = meter
        self._clock = clock
        self._lock = Lock()
        self._next_look = 0.0
        self._newest: deque[Look] = deque(maxlen=NEWEST)
        self._taken: list[Look] = []
        self._taking_for: tuple[str, float] | None = None
        self._fingerprint: int | None = None
        self._repeats = 0
        self._trigger: int | None = None

    def arrived(self, frame: Frame) -> None:
        """Every frame, in order. A sensor never gives the very same picture twice: one that does is frozen."""
        fingerprint = _fingerprint(frame.content)
        self._repeats = self._repeats + 1 if fingerprint == self._fingerprint else 0
        self._fingerprint = fingerprint
        self._meter.camera_repeats(self._camera, self._repeats)
        if frame.trigger is not None:
            self._meter.camera_triggers(self._camera, self._triggers_since(frame.trigger))

    def _triggers_since(self, trigger: int) -> int:
        """How far the running number has gone on; 1 where it begins anew. A picture that comes late was counted when it was passed."""
        before = self._trigger
        if before is None or trigger < before - DISORDER:
            self._trigger = trigger
            return 1
        self._trigger = max(trigger, before)
        return self._trigger - before

    def seen(self, image: Image) -> None:
        """image: uint8 BGR (H, W, 3), decoded. Looks at one a second."""
        now = self._clock()
        with self._lock:
            if now < self._next_look:
                return
            self._next_look = now + LOOK_EVERY
        look = look_at(image)
        with self._lock:
            self._newest.append(look)
            if self._taking_for is not None and len(self._taken) < REFERENCE:
                self._taken.append(look)

    def follow(self, model: str, ledger: CameraLedger) -> None:
        """Compares with the reference of this model (digest); takes one where there is none. Raises LedgerUnavailable."""
        known = ledger.camera_references(self._line, model).get(self._camera)
        reference = known if known is not None and known.pictures else None
        with self._lock:
            wanted = (model, known.recorded_at if known else 0.0) if reference is None else None
            if wanted != self._taking_for:
                self._taking_for, self._taken = wanted, []
            now = middle_of(self._newest) if self._newest else None
            taken = middle_of(self._taken) if len(self._taken) >= REFERENCE else None
        if taken is not None:
            asked_by = known.by if known else ""
            ledger.keep_camera_reference(
                CameraReference(
                    self._line,
                    self._camera,
                    model,
                    REFERENCE,
                    taken.sharpness,
                    taken.brightness,
                    taken.overexposed,
                    asked_by,
                )
            )
        elif now is not None:
            self._meter.camera_sight(self._camera, now, reference.look if reference else None)


def _fingerprint(content: bytes | Image) -> int:
    """Of every byte of an encoded picture; of every eighth row of a decoded one, which is much larger."""
    return crc32(content if isinstance(content, bytes) else np.ascontiguousarray(content[::8]).data)
