"""Trigger numbers that were passed over: of one camera, each a part without a picture."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from service.sight import DISORDER

LEAP: Final = 1000
"""Numbers left out at once beyond which a counter was set anew: nobody's parts are missing."""

MOST: Final = 100_000
"""Numbers that may be open at once, whatever a sender says: memory has an end."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A number that was passed over. seen_at: when that was noticed, of a monotonic clock. captured_at: of the picture that showed it."""

    trigger: int
    seen_at: float
    captured_at: float


class Gaps:
    """Numbers may come late and in disorder, so a gap is one only when nothing has filled it in for a while.

    What the camera was triggered for before its first picture is not known, nor how far it was before its counter began anew.

    >>> gaps = Gaps()
    >>> [gaps.add(number, now, 0.0) for number, now in ((7, 1.0), (10, 2.0), (9, 2.5))]
    [True, True, True]
    >>> [gap.trigger for gap in gaps.older_than(1.9)], [gap.trigger for gap in gaps.older_than(2.0)]
    ([], [8])
    >>> gaps.add(5000, 3.0, 0.0), gaps.older_than(9.0)
    (False, [])
    """

    def __init__(self) -> None:
        self._newest: int | None = None
        self._open: dict[int, Gap] = {}
        self._settled: deque[Gap] = deque()

    def add(self, trigger: int, now: float, captured_at: float) -> bool:
        """A picture of this number came. False where the number leapt on so far that what lies between is taken for no part."""
        newest = self._newest
        if newest is None or trigger < newest - DISORDER:
            self._settle()
            self._newest = trigger
            return True
        if trigger <= newest:
            self._open.pop(trigger, None)
            return True
        self._newest = trigger
        if trigger - newest > LEAP or len(self._open) > MOST:
            return False
        for number in range(newest + 1, trigger):
            self._open[number] = Gap(number, now, captured_at)
        return True

    def _settle(self) -> None:
        """The numbers begin anew: one that comes from now on is not one of those."""
        self._settled.extend(self._open.values())
        self._open.clear()

    def older_than(self, moment: float) -> list[Gap]:
        """Those that were noticed by then and that nothing has filled in. Each is given once."""
        found = list(self._settled)
        self._settled.clear()
        for gap in list(self._open.values()):  # in the order in which they were noticed
            if gap.seen_at > moment:
                break
            found.append(self._open.pop(gap.trigger))
        return found

    def next(self) -> float | None:
        """When the oldest of them was noticed."""
        if self._settled:
            return self._settled[0].seen_at
        return next(iter(self._open.values())).seen_at if self._open else None
