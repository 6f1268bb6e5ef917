"""What a camera says of its pictures besides the picture: the running number of the block, and its own clock."""

from __future__ import annotations

DISORDER = 1000
"""Blocks may come so many late; a number further back is a counter that began anew."""
LEAP = 10.0
MINUTE = 60.0


class BlockCounter:
    """One number that goes on over a block id's wrap (1 to 65535, then 1) and over connections: a gap is a picture that was lost.

    What a camera took while it was not connected is not known, so its first block afterwards counts as the next one.

    >>> counter = BlockCounter()
    >>> [counter.number(block) for block in (65534, 65535, 2)]
    [1, 2, 4]
    >>> counter.begin()
    >>> [counter.number(block) for block in (1, 2, 4, 3)]
    [5, 6, 8, 7]
    """

    def __init__(self) -> None:
        self._newest = 0
        self._last: int | None = None

    def begin(self) -> None:
        """A new connection: the camera may count from anywhere."""
        self._last = None

    def number(self, block: int) -> int:
        """The running number of the block, from 1. One that comes late has the number that it left out."""
        step = 1 if self._last is None else block - self._last
        if step < -DISORDER and self._last is not None and self._last <= 0xFFFF and step + 0xFFFF <= DISORDER:
            step += 0xFFFF
        if step < -DISORDER:
            step = 1
        if step > 0:
            self._newest += step
            self._last = block
            return self._newest
        return max(1, self._newest + step)


class CameraClock:
    """The camera's own seconds on this machine's clock: the least delay of the last one to two minutes lies between the two.

    So a picture's time does not shake with the network and this machine's load; it is late by that least delay, and it follows
    clocks that drift against each other.

    >>> clock = CameraClock()
    >>> [clock.at(device, arrived) for device, arrived in ((5.0, 100.3), (6.0, 101.1), (7.0, 102.9))]
    [100.3, 101.1, 102.1]
    """

    def __init__(self) -> None:
        self._before = self._least = float("inf")
        self._since = 0.0

    def at(self, device: float, arrived: float) -> float:
        """device: seconds of the camera's clock. arrived: seconds since 1970 UTC. Returns seconds since 1970 UTC, at most `arrived`."""
        offset = arrived - device
        if offset - min(self._before, self._least) > LEAP:
            self._before = self._least = float("inf")  # the camera's clock was set back, or it started anew
        if not 0.0 <= arrived - self._since < MINUTE:
            self._before, self._least, self._since = self._least, float("inf"), arrived
        self._least = min(self._least, offset)
        return min(arrived, round(device + min(self._before, self._least), 6))
