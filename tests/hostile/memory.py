"""What this process, the station and the camera inside it included, has in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")


def resident() -> int:
    """Bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS in /proc/self/status")


def peak_growth(act: Callable[[], T]) -> tuple[int, T]:
    """By how much memory grew at most while this ran, and what it came to."""
    before, peak, over = resident(), 0, Event()

    def watch() -> None:
        nonlocal peak
        while not over.is_set():
            peak = max(peak, resident())
            time.sleep(0.005)

    watching = Thread(target=watch)
    watching.start()
    try:
        result = act()
    finally:
        over.set()
        watching.join()
    return max(0, max(peak, resident()) - before), result
