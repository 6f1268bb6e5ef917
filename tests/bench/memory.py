"""(e) What a monitor holds in memory after a million parts: nothing that grows with the parts, only with the buckets."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from service.monitor import Monitor
from service.records import (
    Begins,
    DrawPolicy,
    Heartbeat,
    Label,
    ModelInForce,
    Outcome,
    RecordedLabel,
    RecordedVerdict,
    Verdict,
)
from service.thresholds import parse
from tests.bench.table import Row
from tests.line import LINE, MODEL

STEPS = (100_000, 1_000_000)


class Endless:
    """A ledger of so many parts, made up while it is read; every reject and audit is labelled."""

    def __init__(self) -> None:
        self.parts_there = 0

    def _part(self, number: int) -> RecordedVerdict:
        dice = Random(number)
        flagged = dice.random() < 0.02
        outcome = Outcome.REJECT if flagged else Outcome.AUDIT if dice.random() < 0.02 else Outcome.PASS
        verdict = Verdict(
            part_id=f"p{number}",
            line=LINE,
            camera="left",
            captured_at=float(number),
            model=MODEL.digest,
            thresholds="t",
            scores=(0.5, 0.5),
            exceedance=1.5 if flagged else 0.3,
            predicted="crack" if flagged else "good",
            outcome=outcome,
            band=None if flagged else 2,
            weight=1 if flagged else 50,
            policy=1,
        )
        return RecordedVerdict(number + 1, number, float(number), verdict)

    def parts_after(self, sequence: int, limit: int) -> Sequence[RecordedVerdict]:
        return [self._part(number) for number in range(sequence, min(sequence + limit, self.parts_there))]

    def labels_after(self, sequence: int, limit: int) -> Sequence[RecordedLabel]:
        found: list[RecordedLabel] = []
        number = sequence
        while len(found) < limit and number < self.parts_there:
            found += self._label(number)
            number += 1
        return found

    def _label(self, number: int) -> list[RecordedLabel]:
        verdict = self._part(number).verdict
        if verdict.outcome is Outcome.PASS:
            return []
        word = "crack" if verdict.flagged else "good"
        return [RecordedLabel(number + 1, float(number), Label(verdict.part_id, word, "ines", float(number)))]

    def parts(self, part_ids: Sequence[str]) -> Mapping[str, RecordedVerdict]:
        return {part_id: self._part(int(part_id[1:])) for part_id in part_ids}

    def labels(self, part_ids: Sequence[str]) -> Mapping[str, Sequence[RecordedLabel]]:
        return {part_id: self._label(int(part_id[1:])) for part_id in part_ids}

    def draw_policies(self, line: str) -> Sequence[DrawPolicy]:
        return [DrawPolicy(1, line, 0.0, (50, 50, 50, 50, 50), 0.02)]

    def _nothing_after(self, sequence: int) -> list[Any]:
        return []

    def shadow_verdicts_after(self, sequence: int, limit: int) -> list[Any]:
        return []

    not_inspected_after = shadow_verdicts_after

    challenge_parts_after = challenge_reports_after = acknowledgements_after = _nothing_after

    def begins(self) -> Begins:
        return Begins()

    def line_state(self) -> tuple[Sequence[ModelInForce], Sequence[DrawPolicy], Sequence[Heartbeat]]:
        return [MODEL], [], []


def _resident() -> float:
    """MiB of this process that lie in memory."""
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS in /proc/self/status")


def measure() -> Iterator[Row]:
    """Resident memory of the process that follows the ledger."""
    ledger = Endless()
    thresholds = parse("defaults: {audit: {budget: 0.02}}")
    monitor = Monitor(ledger, lambda: thresholds, lambda: 2e6)
    monitor.snapshot()
    before = _resident()
    for step in STEPS:
        ledger.parts_there = step
        monitor.snapshot()
        yield Row(
            f"(e) memory of a monitor after {step:,} parts",
            f"{_resident():.0f} MiB",
            f"{before:.0f} MiB before the first part",
            _resident() / before,
        )
