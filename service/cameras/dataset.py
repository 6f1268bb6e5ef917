"""`dataset://NAME?…`: a labelled data set played as if it were a line, at a rate one can watch. For the demo and for tests.

What is played comes from outside: the composition root hands over a `Recording`, this file only paces it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event
from time import monotonic
from typing import Protocol

from service.errors import BadImage
from service.ports import Clock, Meter
from service.records import Frame, Image, Verdict


class Recording(Protocol):
    """Parts by number, the same ones every time."""

    def part_id(self, number: int) -> str: ...

    def picture(self, number: int) -> bytes | Image: ...

    def lot(self, number: int) -> str: ...


class Dataset:
    """Plays parts 0 to `parts` (None: without end), `rate` a second, and goes on after a restart where it stopped."""

    live = False

    def __init__(
        self,
        recording: Recording,
        line: str,
        name: str,
        meter: Meter,
        clock: Clock,
        known: Callable[[Sequence[str]], Mapping[str, float]],
        rate: float,
        parts: int | None = None,
    ) -> None:
        self.name = name
        self._recording = recording
        self._line = line
        self._meter = meter
        self._clock = clock
        self._known = known
        self._rate = rate
        self._parts = parts

    def frames(self, stopping: Event) -> Iterator[Frame]:
        """One frame every 1 / rate seconds. A line that was held up is not made to catch up in a burst."""
        self._meter.camera_up(self.name, True)
        number, due = self._first_unknown(), monotonic()
        while (self._parts is None or number < self._parts) and not stopping.is_set():
            picture = self._recording.picture(number)
            if stopping.wait(max(0.0, due - monotonic())):
                break
            due = max(due, monotonic() - 1.0) + 1.0 / self._rate
            yield Frame(
                self._recording.part_id(number),
                self._line,
                self.name,
                self._clock(),
                picture,
                self._recording.lot(number),
                trigger=number,
            )
            number += 1
        self._meter.camera_up(self.name, False)

    def _first_unknown(self) -> int:
        """Parts are recorded in order, so the recorded ones are 0 to some number: found in steps that double."""
        low, high = 0, 1
        while self._is_known(high - 1):
            low, high = high, high * 2
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._is_known(middle) else (low, middle)
        return low

    def _is_known(self, number: int) -> bool:
        part_id = self._recording.part_id(number)
        return part_id in self._known([part_id])

    def released(self, frame: Frame, verdict: Verdict) -> None:
        """Nothing to answer."""

    def refused(self, frame: Frame, fault: BadImage) -> None:
        """Nothing to set aside: the pictures are the data set's own."""

    def handed_on(self, frame: Frame) -> None:
        """Nothing to forget: the pictures are the data set's own."""

    def close(self) -> None:
        """Nothing is held open."""
