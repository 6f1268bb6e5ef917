"""Simulated inspectors: they label rejects and audits after a delay, and give audited defects their second look."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from service.records import Label, Outcome, Verdict

FIRST, SECOND = "ines", "otto"


class SimulatedInspectors:
    """actual(part_id): the true class. delay: mean seconds between capture and label. They make no slips."""

    def __init__(self, actual: Callable[[str], str], good: str, seed: int, delay: float) -> None:
        self._actual = actual
        self._good = good
        self._seed = seed
        self._delay = delay
        self._due: list[tuple[float, str, str]] = []

    def take(self, verdict: Verdict) -> None:
        """Puts a reject or an audited part on their table; a passed part they never see."""
        if verdict.outcome is Outcome.PASS:
            return
        dice = Random(f"{self._seed}/{verdict.part_id}")
        first = verdict.captured_at + self._delay * dice.uniform(0.2, 1.8)
        heappush(self._due, (first, verdict.part_id, FIRST))
        if verdict.outcome is Outcome.AUDIT and self._actual(verdict.part_id) != self._good:
            heappush(self._due, (first + self._delay * dice.uniform(0.2, 1.0), verdict.part_id, SECOND))

    def until(self, now: float) -> list[Label]:
        """The labels given up to now (seconds UTC), oldest first; each is handed out once."""
        given = []
        while self._due and self._due[0][0] <= now:
            at, part_id, inspector = heappop(self._due)
            given.append(Label(part_id, self._actual(part_id), inspector, at))
        return given

    @property
    def waiting(self) -> int:
        return len(self._due)
