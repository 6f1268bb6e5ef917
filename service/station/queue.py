"""The review queue: rejects, audits and second looks in one, in random order, leased, and blind to why a part is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import SystemRandom
from threading import Lock
from typing import Final

from service.ports import Clock
from service.station.deps import StationLedger, Watcher

LEASE: Final = 300.0
AHEAD: Final = 200
"""So many of the oldest unlabelled parts are shuffled: old enough ones come in time, and nobody can guess the next."""


@dataclass(frozen=True, slots=True)
class Lease:
    part_id: str
    line: str
    until: float


@dataclass(frozen=True, slots=True)
class _Held:
    inspector: str
    until: float


class Queue:
    """Leases live in memory: a restart gives them back, which costs a part that is looked at twice and nothing else."""

    def __init__(self, ledger: StationLedger, monitor: Watcher, clock: Clock, follow: Callable[[], object]) -> None:
        """follow: makes the monitor look at what is new."""
        self._follow = follow
        self._ledger = ledger
        self._monitor = monitor
        self._clock = clock
        self._lock = Lock()
        self._held: dict[str, _Held] = {}
        self._settled_up_to: dict[str, int] = {}
        self._dice = SystemRandom()

    def next(self, lines: Sequence[str], inspector: str) -> tuple[Lease | None, int]:
        """A part of these lines for this inspector, and how many are due (counted up to AHEAD a line).

        The part he holds comes again until it is labelled.
        """
        with self._lock:
            now = self._clock()
            self._held = {part_id: held for part_id, held in self._held.items() if held.until > now}
            due = {part_id: line for line in lines for part_id in self._due(line, inspector)}
            free = [part_id for part_id in due if self._held.get(part_id, _Held(inspector, 0)).inspector == inspector]
            if not free:
                return None, len(due)
            mine = [part_id for part_id in free if part_id in self._held]
            chosen = mine[0] if mine else self._dice.choice(free)
            self._held[chosen] = _Held(inspector, now + LEASE)
            return Lease(chosen, due[chosen], now + LEASE), len(due)

    def _due(self, line: str, inspector: str) -> list[str]:
        waiting = self._ledger.unlabelled(line, AHEAD, self._settled_up_to.get(line, 0))
        if waiting:
            self._settled_up_to[line] = waiting[0].sequence - 1
        self._follow()
        again = self._monitor.second_looks(line)[:AHEAD]
        seen = self._ledger.labels(again)
        others = [
            part_id for part_id in again if all(row.label.inspector != inspector for row in seen.get(part_id, ()))
        ]
        return [row.verdict.part_id for row in waiting] + others
