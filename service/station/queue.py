"""The review queue: rejects, audits, second looks and samples in one, leased, and blind to why a part is in it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import SystemRandom
from threading import Lock
from typing import Final

from service.ports import Clock, LeaseLedger
from service.records import Lease, RecordedVerdict
from service.station.deps import Samples, StationLedger, Watcher

LEASE: Final = 300.0
AHEAD: Final = 60
"""So many of the oldest unlabelled parts are shuffled: old enough ones come in time, and nobody can guess the next."""
URGENT: Final = 3600.0
"""Parts whose buckets close within so many seconds of the first one are as urgent as each other."""
PUT_ASIDE: Final = 900.0
"""Seconds in which a part that an inspector put aside does not come to him again."""


class Queue:
    """Leases are in the ledger: an answer finds its part after a restart, too. What was put aside is in memory only.

    Who holds what is read before what is due: what is answered in between, and so held no more, is then due no more either.
    """

    def __init__(
        self,
        ledger: StationLedger,
        leases: LeaseLedger,
        samples: Samples,
        monitor: Watcher,
        clock: Clock,
        follow: Callable[[], object],
    ) -> None:
        """follow: makes the monitor look at what is new."""
        self._ledger = ledger
        self._leases = leases
        self._samples = samples
        self._monitor = monitor
        self._clock = clock
        self._follow = follow
        self._lock = Lock()
        self._settled_up_to: dict[str, int] = {}
        self._aside: dict[tuple[str, str], float] = {}
        self._dice = SystemRandom()

    def next(self, lines: Sequence[str], inspector: str) -> tuple[Lease | None, int]:
        """A part of these lines for this inspector, and how many are due (counted up to AHEAD a line).

        The part he holds comes again until it is labelled.
        """
        with self._lock:
            held = {lease.part_id: lease for lease in self._leases.leases(lines) if not lease.sample}
            due = self._due(lines, inspector)
            for part_id, lease in held.items():
                if lease.inspector == inspector and part_id in due:
                    until = self._clock() + LEASE
                    self._leases.extend([lease.id], inspector, until)
                    return replace(lease, until=until), len(due)
            return self._take(due, set(held), inspector), len(due)

    def fill(self, lines: Sequence[str], inspector: str, want: int, have: Sequence[str]) -> list[Lease]:
        """Up to `want` more for an inspector who has the leases `have` before him, which are made longer."""
        with self._lock:
            self._leases.extend(have, inspector, self._clock() + LEASE)
            held = {lease.part_id for lease in self._leases.leases(lines)}
            due = self._due(lines, inspector)
            found: list[Lease] = []
            for _ in range(want):
                lease = self._sample(lines, inspector) or self._take(due, held, inspector)
                if lease is None:
                    break
                held.add(lease.part_id)
                found.append(lease)
            return found

    def give_back(self, ids: Sequence[str], inspector: str, aside: bool = False) -> None:
        """Leases that nobody looks at any more. aside: the inspector does not want to see these again soon."""
        with self._lock:
            now = self._clock()
            self._leases.extend(ids, inspector, now)
            self._aside = {key: until for key, until in self._aside.items() if until > now}
            for lease in map(self._leases.lease, ids) if aside else ():
                if lease is not None and lease.inspector == inspector:
                    self._aside[inspector, lease.part_id] = now + PUT_ASIDE

    def _sample(self, lines: Sequence[str], inspector: str) -> Lease | None:
        sample = self._samples.offer(lines, inspector)
        if sample is None:
            return None
        lease = self._new(sample.line, sample.part_id, inspector, sample.key)
        self._leases.take(lease)
        return lease

    def _take(self, due: Mapping[str, tuple[str, float]], held: set[str], inspector: str) -> Lease | None:
        """One of the most urgent that are free, by lot; another one where another station was quicker."""
        free = {part_id: known for part_id, known in due.items() if part_id not in held}
        while free:
            first = min(closes for _, closes in free.values())
            urgent = [part_id for part_id, (_, closes) in free.items() if closes <= first + URGENT]
            chosen = self._dice.choice(urgent)
            line, _ = free.pop(chosen)
            lease = self._new(line, chosen, inspector)
            if self._leases.take(lease):
                return lease
        return None

    def _new(self, line: str, part_id: str, inspector: str, sample: str = "") -> Lease:
        return Lease(secrets.token_urlsafe(16), line, part_id, sample, inspector, self._clock() + LEASE)

    def _due(self, lines: Sequence[str], inspector: str) -> dict[str, tuple[str, float]]:
        """{part: (line, when its bucket closes)} of what this inspector may label."""
        self._follow()
        found: dict[str, tuple[str, float]] = {}
        for line in lines:
            waiting = self._ledger.unlabelled(line, AHEAD, self._settled_up_to.get(line, 0))
            if waiting:
                self._settled_up_to[line] = waiting[0].sequence - 1
            for row in (*waiting, *self._again(line, inspector)):
                found[row.verdict.part_id] = (line, self._monitor.closes_at(line, row.ordinal) or float("inf"))
        now = self._clock()
        return {part_id: known for part_id, known in found.items() if self._aside.get((inspector, part_id), 0.0) <= now}

    def _again(self, line: str, inspector: str) -> list[RecordedVerdict]:
        """AHEAD or some more that others have labelled and not settled, by the labels of this moment: the monitor's list is older."""
        waiting, rule = self._monitor.second_looks(line), self._monitor.settling(line)
        found: list[RecordedVerdict] = []
        for first in range(0, len(waiting) if rule else 0, AHEAD):
            some = waiting[first : first + AHEAD]
            parts, labels = self._ledger.parts(some), self._ledger.labels(some)
            found += [
                row
                for part_id, row in parts.items()
                if rule
                and rule.undecided(row.verdict, labels.get(part_id, ()))
                and all(one.label.inspector != inspector for one in labels.get(part_id, ()))
            ]
            if len(found) >= AHEAD:
                break
        return found
