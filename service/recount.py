"""Estimates are a function of the ledger: who has followed it all along must say what somebody says who reads it now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import takewhile
from math import inf, isclose
from typing import Any, cast

from service.monitor import Monitor
from service.ports import LedgerReader
from service.records import LineSnapshot, NotInspected, RecordedLabel, RecordedShadow, RecordedVerdict
from service.thresholds import Thresholds

STEPS = 8
"""So often does the one who follows look."""

SHOWN = 5


class _Growing:
    """The ledger as it was known at a moment that moves on."""

    def __init__(self, ledger: LedgerReader) -> None:
        self._ledger = ledger
        self.until = -inf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def parts_after(self, sequence: int, limit: int) -> Sequence[RecordedVerdict]:
        return self._known(self._ledger.parts_after(sequence, limit))

    def labels_after(self, sequence: int, limit: int) -> Sequence[RecordedLabel]:
        return self._known(self._ledger.labels_after(sequence, limit))

    def shadow_verdicts_after(self, sequence: int, limit: int) -> Sequence[RecordedShadow]:
        return self._known(self._ledger.shadow_verdicts_after(sequence, limit))

    def challenge_parts_after(self, sequence: int) -> Sequence[tuple[int, Any]]:
        return self._said(self._ledger.challenge_parts_after(sequence))

    def challenge_reports_after(self, sequence: int) -> Sequence[tuple[int, Any]]:
        return self._said(self._ledger.challenge_reports_after(sequence))

    def acknowledgements_after(self, sequence: int) -> Sequence[tuple[int, Any]]:
        return self._said(self._ledger.acknowledgements_after(sequence))

    def not_inspected_after(self, sequence: int, limit: int) -> Sequence[tuple[int, float, NotInspected]]:
        rows = self._ledger.not_inspected_after(sequence, limit)
        return [*takewhile(lambda row: row[1] <= self.until, rows)]

    def _known(self, rows: Sequence[Any]) -> list[Any]:
        return [*takewhile(lambda row: row.recorded_at <= self.until, rows)]

    def _said(self, rows: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
        return [*takewhile(lambda row: row[1].recorded_at <= self.until, rows)]


def recount(ledger: LedgerReader, thresholds: Thresholds, now: float) -> Iterator[str]:
    """Follows the ledger in steps up to `now` (seconds UTC) and reads it once more from scratch; yields in what the two differ.

    ledger: does not change meanwhile.
    """
    first = next((row.recorded_at for row in ledger.parts_after(0, 1)), now)
    growing = _Growing(ledger)
    following = Monitor(cast(LedgerReader, growing), lambda: thresholds, lambda: now)
    for step in range(1, STEPS):
        growing.until = first + (now - first) * step / STEPS
        following.snapshot(growing.until)
    growing.until = inf
    scratch = Monitor(ledger, lambda: thresholds, lambda: now)
    here, anew = following.snapshot(now).lines, scratch.snapshot(now).lines
    for line in sorted({*here, *anew}):
        found = [*differences(_figures(here.get(line)), _figures(anew.get(line)), line)]
        yield from found[:SHOWN]
        if len(found) > SHOWN:
            yield f"{line}: and {len(found) - SHOWN} more"


def _figures(line: LineSnapshot | None) -> LineSnapshot | None:
    return line and replace(line, heartbeats=())


def differences(
    here: Any, anew: Any, where: str, one: str = "when followed", other: str = "from scratch"
) -> Iterator[str]:
    """Between two records, or what they are made of; sums of floats may have been added up in another order. one, other: what each of
    them is."""
    if is_dataclass(here) and type(here) is type(anew):
        for field in fields(here):
            yield from differences(
                getattr(here, field.name), getattr(anew, field.name), f"{where}.{field.name}", one, other
            )
    elif isinstance(here, Mapping) and isinstance(anew, Mapping) and here.keys() == anew.keys():
        for key in here:
            yield from differences(here[key], anew[key], f"{where}[{key}]", one, other)
    elif isinstance(here, tuple | list) and isinstance(anew, tuple | list) and len(here) == len(anew):
        for number, (this, that) in enumerate(zip(here, anew, strict=True)):
            yield from differences(this, that, f"{where}[{number}]", one, other)
    elif isinstance(here, float) and isinstance(anew, float):
        if not isclose(here, anew, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{where}: {here!r} {one}, {anew!r} {other}"
    elif here != anew:
        yield f"{where}: {here!r} {one}, {anew!r} {other}"
