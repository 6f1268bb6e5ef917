"""Follows a ledger: new rows in, one Snapshot out. Everything here is a function of the ledger as known at a moment.

A part or a label costs the same however long the history is; a restart follows the ledger anew and finds the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock

from service.book import LineBook
from service.ports import Clock, LedgerReader
from service.records import LineSnapshot, ModelInForce, RecordedLabel, RecordedVerdict, Snapshot, WindowQuality
from service.thresholds import Thresholds

CHUNK = 5_000


class Monitor:
    """One per process. `snapshot` may be called from several threads."""

    def __init__(self, ledger: LedgerReader, thresholds: Callable[[], Thresholds], clock: Clock) -> None:
        self._ledger = ledger
        self._thresholds = thresholds
        self._clock = clock
        self._lock = Lock()
        self._books: dict[str, LineBook] = {}
        self._models: dict[str, ModelInForce] = {}
        self._last_part = 0
        self._last_label = 0
        self._waiting: set[str] = set()

    def snapshot(self, as_of: float | None = None) -> Snapshot:
        """Follows the ledger to its end and says what is known at as_of (now, when not given)."""
        with self._lock:
            models, _, heartbeats = self._ledger.line_state()
            self._use_thresholds()
            self._models = {model.line: model for model in models if model.role == "active"}
            self._follow()
            now = self._clock() if as_of is None else as_of
            lines: dict[str, LineSnapshot] = {}
            for name in sorted({*self._books, *self._models}):
                lines[name] = replace(
                    self._book(name).snapshot(now),
                    models=tuple(model for model in models if model.line == name),
                    heartbeats=tuple(beat for beat in heartbeats if beat.line == name),
                )
            return Snapshot(as_of=now, lines=lines, unknown_part_labels=len(self._waiting))

    def overall(self, line: str) -> tuple[WindowQuality, ...]:
        """Every row of the line over all its parts, open buckets included: what the whole ledger says, no window."""
        with self._lock:
            return self._book(line).overall()

    def second_looks(self, line: str) -> list[str]:
        """Parts of the line that somebody has labelled and another inspector must see."""
        with self._lock:
            return sorted(self._books[line].second_looks) if line in self._books else []

    def _use_thresholds(self) -> None:
        current = self._thresholds()
        same_cut = [book.use_rule(current.line(name)) for name, book in self._books.items()]
        if not all(same_cut):
            self._books.clear()
            self._waiting.clear()
            self._last_part = self._last_label = 0

    def _follow(self) -> None:
        """Parts before labels: a label whose part is not there yet waits for it."""
        while rows := self._ledger.parts_after(self._last_part, CHUNK):
            self._take_parts(rows)
            self._last_part = rows[-1].sequence
        while labels := self._ledger.labels_after(self._last_label, CHUNK):
            self._take_labels(labels)
            self._last_label = labels[-1].sequence

    def _take_parts(self, rows: Sequence[RecordedVerdict]) -> None:
        early = [row.verdict.part_id for row in rows if row.verdict.part_id in self._waiting]
        for row in rows:
            self._book(row.verdict.line).add_part(row)
        if early:
            self._waiting.difference_update(early)
            known = {row.verdict.part_id: row for row in rows}
            for part_id, labels in self._ledger.labels(early).items():
                for position, label in enumerate(labels):
                    if label.sequence <= self._last_label:
                        self._book(known[part_id].verdict.line).add_label(known[part_id], labels[: position + 1])

    def _take_labels(self, rows: Sequence[RecordedLabel]) -> None:
        part_ids = list({row.label.part_id for row in rows})
        parts = self._ledger.parts(part_ids)
        history = self._ledger.labels(part_ids)
        for row in rows:
            part_id = row.label.part_id
            part = parts.get(part_id)
            if part is None or part.sequence > self._last_part:
                self._waiting.add(part_id)
                continue
            upto = [label for label in history[part_id] if label.sequence <= row.sequence]
            self._book(part.verdict.line).add_label(part, upto)

    def _book(self, line: str) -> LineBook:
        if line not in self._books:
            self._books[line] = LineBook(line, self._thresholds().line(line))
        book = self._books[line]
        if line in self._models:
            book.use_model(self._models[line])
        return book
