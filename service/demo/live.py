"""The demo in real time: follows the ledger that the real processes write, and plays the inspectors at the real station."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from service.demo.inspectors import SimulatedInspectors
from service.demo.parts import Production
from service.demo.report import Pages, Tally, at_risk, moment, report
from service.monitor import Monitor
from service.ports import Clock, LedgerReader
from service.records import Label, LineSnapshot

CHUNK = 1_000


class Live:
    """One run. send(labels) hands labels to the station and returns only once they are answered; ConnectionError: later."""

    def __init__(
        self,
        line: str,
        production: Production,
        reader: LedgerReader,
        monitor: Monitor,
        inspectors: SimulatedInspectors,
        send: Callable[[Sequence[Label]], None],
        clock: Clock,
        good: str,
    ) -> None:
        self._line = line
        self._production = production
        self._reader = reader
        self._monitor = monitor
        self._inspectors = inspectors
        self._send = send
        self._clock = clock
        self._good = good
        self._last_part = 0
        self._unsent: list[Label] = []
        self._pages = Pages()
        self._timeline: list[dict[str, Any]] = []
        self._started = clock()
        self.tally = Tally()

    def step(self) -> LineSnapshot | None:
        """Takes in what is new, sends the labels that are due; the line as it stands, None before its first part."""
        while rows := self._reader.parts_after(self._last_part, CHUNK):
            for row in rows:
                self.tally.add(row.verdict, self._production.actual(row.verdict.part_id) != self._good)
                self._inspectors.take(row.verdict)
            self._last_part = rows[-1].sequence
        self._unsent += self._inspectors.until(self._clock())
        if self._unsent:
            self._send(self._unsent)
            self._unsent = []
        line = self._monitor.snapshot().lines.get(self._line)
        if line is not None and self.tally.parts:
            self._pages.note(line, self.tally.parts)
            if not self._timeline or line.closed_buckets != self._timeline[-1]["closed_buckets"]:
                self._timeline.append(moment(self.tally.parts, self.tally, line))
        return line

    @property
    def parts(self) -> int:
        """Seen so far."""
        return self.tally.parts

    @property
    def rate(self) -> float:
        """Parts a second since the start."""
        return self.tally.parts / max(1e-9, self._clock() - self._started)

    @property
    def done(self) -> bool:
        """Every label that is due has been answered and none is to come."""
        return not self._inspectors.waiting and not self._unsent

    def report(self, line: LineSnapshot) -> dict[str, Any]:
        overall, touched = self._monitor.overall(self._line), at_risk(line, self._reader)
        return report(self.tally, line, overall, self._pages, touched, self._timeline, self.rate)
