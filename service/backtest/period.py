"""A ledger as it was known at one moment, from another on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, TypeVar

from service.ports import LedgerReader
from service.records import (
    Acknowledgement,
    ChallengeReport,
    DrawPolicy,
    Heartbeat,
    ModelInForce,
    RecordedLabel,
    RecordedShadow,
    RecordedVerdict,
)

Recorded = TypeVar("Recorded", RecordedVerdict, RecordedLabel, RecordedShadow)
Told = TypeVar("Told", Acknowledgement, ChallengeReport)


class Period:
    """Reads one line's parts that were captured from `since` on, and of everything what was recorded until `until`; seconds
    UTC. seen: told of the sequence of each part that was read, for a progress bar."""

    def __init__(
        self,
        ledger: LedgerReader,
        line: str,
        since: float = -inf,
        until: float = inf,
        seen: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._line = line
        self._since = since
        self._until = until
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def parts_after(self, sequence: int, limit: int) -> Sequence[RecordedVerdict]:
        while rows := self._known(self._ledger.parts_after(sequence, limit)):
            sequence = rows[-1].sequence
            self._seen(sequence)
            if found := [row for row in rows if self._wanted(row)]:
                return found
        return []

    def _wanted(self, row: RecordedVerdict) -> bool:
        return row.verdict.line == self._line and row.verdict.captured_at >= self._since

    def _known(self, rows: Iterable[Recorded]) -> list[Recorded]:
        return [row for row in rows if row.recorded_at <= self._until]

    def labels_after(self, sequence: int, limit: int) -> Sequence[RecordedLabel]:
        return self._known(self._ledger.labels_after(sequence, limit))

    def shadow_verdicts_after(self, sequence: int, limit: int) -> Sequence[RecordedShadow]:
        """Without those on parts that are left out."""
        while rows := self._known(self._ledger.shadow_verdicts_after(sequence, limit)):
            sequence = rows[-1].sequence
            there = self.parts([row.verdict.part_id for row in rows])
            if found := [row for row in rows if row.verdict.part_id in there]:
                return found
        return []

    def parts(self, part_ids: Sequence[str]) -> Mapping[str, RecordedVerdict]:
        found = self._ledger.parts(part_ids)
        return {row.verdict.part_id: row for row in self._known(found.values()) if self._wanted(row)}

    def labels(self, part_ids: Sequence[str]) -> Mapping[str, Sequence[RecordedLabel]]:
        found = {part_id: self._known(rows) for part_id, rows in self._ledger.labels(part_ids).items()}
        return {part_id: rows for part_id, rows in found.items() if rows}

    def challenge_parts_after(self, sequence: int) -> Sequence[Any]:
        found = self._ledger.challenge_parts_after(sequence)
        return [(at, one) for at, one in found if one.recorded_at <= self._until and one.line == self._line]

    def challenge_reports_after(self, sequence: int) -> Sequence[tuple[int, ChallengeReport]]:
        return self._told(self._ledger.challenge_reports_after(sequence))

    def acknowledgements_after(self, sequence: int) -> Sequence[tuple[int, Acknowledgement]]:
        return self._told(self._ledger.acknowledgements_after(sequence))

    def not_inspected_after(self, sequence: int, limit: int) -> Sequence[Any]:
        """None: nobody judged them, so no threshold says anything of them."""
        return []

    def _told(self, rows: Iterable[tuple[int, Told]]) -> list[tuple[int, Told]]:
        return [(at, one) for at, one in rows if one.recorded_at <= self._until and one.line == self._line]

    def line_state(self) -> tuple[Sequence[ModelInForce], Sequence[DrawPolicy], Sequence[Heartbeat]]:
        """The models that were in force at `until`."""
        history = [model for model in self._ledger.model_history(self._line) if model.since <= self._until]
        newest = {model.role: model for model in history}
        return [model for model in newest.values() if model.digest], [], []
