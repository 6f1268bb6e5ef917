"""What camera tests share: a meter that counts, a verdict for a frame, pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from service.cameras import open_camera
from service.ports import Camera
from service.records import Frame, Image, Outcome, Verdict

NOW = 1772366400.0
"""2026-03-01 12:00 UTC."""


class CountingMeter:
    """Fulfils ports.Meter."""

    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self.ups: list[bool] = []

    def observe(self, stage: str, seconds: float, parts: int = 1) -> None: ...

    def dropped(self, camera: str, reason: str) -> None:
        self.drops[reason] += 1

    def camera_up(self, camera: str, up: bool) -> None:
        self.ups.append(up)

    def camera_frame(self, camera: str, captured_at: float) -> None: ...

    def ledger_up(self, up: bool) -> None: ...


def nothing_known(part_ids: Sequence[str]) -> Mapping[str, float]:
    return {}


def opened(
    url: str,
    meter: CountingMeter | None = None,
    known: Callable[[Sequence[str]], Mapping[str, float]] = nothing_known,
    clock: Callable[[], float] = lambda: NOW,
) -> Camera:
    return open_camera(url, line="cells", name="cam", meter=meter or CountingMeter(), clock=clock, known=known)


def verdict_of(frame: Frame) -> Verdict:
    return Verdict(
        part_id=frame.part_id,
        line=frame.line,
        camera=frame.camera,
        captured_at=frame.captured_at,
        model="digest",
        thresholds="v1",
        scores=(0.1, 0.9),
        exceedance=1.8,
        predicted="crack",
        outcome=Outcome.REJECT,
        band=None,
        weight=1,
        policy=1,
        lot=frame.lot,
    )


def picture(number: int) -> Image:
    """uint8 BGR (48, 64, 3), another one for every number."""
    return np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def png(number: int) -> bytes:
    content: bytes = cv2.imencode(".png", picture(number))[1].tobytes()
    return content
