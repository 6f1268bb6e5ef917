"""Where the pictures of a camera that does not wait lie until the line takes them."""

from __future__ import annotations

from queue import Empty, Full, Queue
from typing import Generic, TypeVar

from service.ports import Meter

T = TypeVar("T")


class Inbox(Generic[T]):
    """At most so many; one more takes the place of the oldest, which is counted as overtaken."""

    def __init__(self, size: int, camera: str, meter: Meter) -> None:
        self._camera = camera
        self._meter = meter
        self._waiting: Queue[T] = Queue(maxsize=size)

    def put(self, picture: T) -> None:
        """Never waits."""
        while True:
            try:
                self._waiting.put_nowait(picture)
            except Full:
                try:
                    self._waiting.get_nowait()
                except Empty:
                    continue
                self._meter.dropped(self._camera, "overtaken")
            else:
                return

    def get(self, timeout: float) -> T:
        """The oldest that waits. Raises queue.Empty when none comes in so many seconds."""
        return self._waiting.get(timeout=timeout)
