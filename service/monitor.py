"""Follows a ledger: new rows in, one Snapshot out. Everything here is a function of the ledger as known at a moment.

A part or a label costs the same however long the history is; a restart follows the ledger anew and finds the same numbers.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from threading import Lock

import structlog

from service.book import LineBook
from service.ports import Clock, LedgerReader
from service.quality.windows import Contents, Settling
from service.records import (
    Acknowledgement,
    Begins,
    ChallengeReport,
    FailSafe,
    LineSnapshot,
    ModelInForce,
    Past,
    RecordedLabel,
    RecordedVerdict,
    ShadowVerdict,
    Snapshot,
    Verdict,
    WindowQuality,
)
from service.thresholds import Thresholds

log = structlog.get_logger()

CHUNK = 5_000


class Monitor:
    """One per process. `snapshot` may be called from several threads."""

    def __init__(self, ledger: LedgerReader, thresholds: Callable[[], Thresholds], clock: Clock) -> None:
        self._ledger = ledger
        self._thresholds = thresholds
        self._clock = clock
        self._lock = Lock()
        self._as_of = 0.0
        self._models: dict[str, ModelInForce] = {}
        self._forget()

    def _forget(self) -> None:
        """As if just started."""
        self._books: dict[str, LineBook] = {}
        self._budgets: dict[tuple[str, int], float] = {}
        self._read = dict.fromkeys(
            ("parts", "shadows", "labels", "challenges", "reports", "acknowledgements", "absent"), 0
        )
        self._absent: dict[str, Counter[FailSafe]] = {}
        self._last_absent: dict[str, float] = {}
        self._begins = Begins()
        self._waiting: set[str] = set()
        self._told: deque[ChallengeReport | Acknowledgement] = deque()

    def snapshot(self, as_of: float | None = None) -> Snapshot:
        """Follows the ledger to its end and says what is known at as_of (now, when not given)."""
        with self._lock:
            now = self._clock() if as_of is None else as_of  # before reading: what is recorded meanwhile comes after it
            models, _, heartbeats = self._ledger.line_state()
            self._models = {model.line: model for model in models if model.role == "active"}
            rules = self._thresholds()
            if not all(book.still(rules.line(name), self._models.get(name)) for name, book in self._books.items()):
                self._forget()
            self._follow()
            if any(book.overtaken for book in self._books.values()):
                log.warning("this machine's clock is ahead of those that record: the ledger is followed anew")
                self._forget()
                self._follow()
            lines: dict[str, LineSnapshot] = {}
            for name in sorted({*self._books, *self._models, *self._absent}):
                lines[name] = replace(
                    self._book(name).snapshot(now),
                    not_inspected=dict(self._absent.get(name, {})),
                    last_not_inspected_at=self._last_absent.get(name),
                    models=tuple(model for model in models if model.line == name),
                    heartbeats=tuple(beat for beat in heartbeats if beat.line == name),
                )
            self._as_of = now
            return Snapshot(as_of=now, lines=lines, unknown_part_labels=len(self._waiting))

    def overall(self, line: str) -> tuple[WindowQuality, ...]:
        """Every row of the line over all its parts, open buckets included: what the whole ledger says, no window."""
        with self._lock:
            return self._book(line).overall()

    def between(self, line: str, first: int, after: int) -> tuple[WindowQuality, ...]:
        """Every row of the line over the buckets of its parts from ordinal `first` up to before `after`."""
        with self._lock:
            return self._book(line).between(first, after)

    def contents(self, line: str, window: str) -> Contents | None:
        """What the figures of a window are made of, as the last snapshot found it; None: there is no such line or window."""
        with self._lock:
            return self._books[line].contents(window, self._as_of) if line in self._books else None

    def settling(self, line: str) -> Settling | None:
        """How the line settles what a part is."""
        with self._lock:
            return self._books[line].settling if line in self._books else None

    def closes_at(self, line: str, ordinal: int) -> float | None:
        """When the bucket of a part closed or will close, None while that is not known."""
        with self._lock:
            return self._books[line].closes_at(ordinal) if line in self._books else None

    def needed(self, line: str, ordinal: int) -> int:
        """As LineBook.needed, as the last snapshot found it."""
        with self._lock:
            return self._books[line].needed(ordinal, self._as_of)

    def carry(self, line: str, ordinal: int) -> Past:
        """As LineBook.carry."""
        with self._lock:
            return self._books[line].carry(ordinal)

    def second_looks(self, line: str) -> list[str]:
        """Parts of the line that somebody has labelled and another inspector must see."""
        with self._lock:
            return sorted(self._books[line].second_looks) if line in self._books else []

    def _follow(self) -> None:
        """Challenge parts before the parts that may be passes of them; parts before their labels: one that is early waits."""
        if not self._read["parts"]:
            self._begins = self._ledger.begins()
        while rows := self._ledger.parts_after(self._read["parts"], CHUNK):
            self._register_challenges()
            self._take_parts(rows)
            self._read["parts"] = rows[-1].sequence
        self._register_challenges()
        self._take_absent()
        self._take_shadows()
        self._hear()
        while labels := self._ledger.labels_after(self._read["labels"], CHUNK):
            self._take_labels(labels)
            self._read["labels"] = labels[-1].sequence
        self._take_told(inf)

    def _take_absent(self) -> None:
        """They are counted, and enter no window."""
        while rows := self._ledger.not_inspected_after(self._read["absent"], CHUNK):
            for sequence, recorded_at, one in rows:
                self._absent.setdefault(one.line, Counter())[one.outcome] += 1
                self._last_absent[one.line] = recorded_at
                self._read["absent"] = sequence

    def _take_shadows(self) -> None:
        """Up to the first whose part has come since the parts were read."""
        while rows := self._ledger.shadow_verdicts_after(self._read["shadows"], CHUNK):
            part_ids = list({row.verdict.part_id for row in rows})
            parts, history = self._ledger.parts(part_ids), self._ledger.labels(part_ids)
            for row in rows:
                part = parts.get(row.verdict.part_id)  # None: it was pruned
                if part and part.sequence > self._read["parts"]:
                    return
                if part and self._counts(part):
                    known = self._known(history, part.verdict.part_id)
                    self._book(part.verdict.line).add_shadow(part, row.verdict, known)
                self._read["shadows"] = row.sequence

    def _known(self, history: Mapping[str, Sequence[RecordedLabel]], part_id: str) -> list[RecordedLabel]:
        """Those labels of the part that have been taken in."""
        return [label for label in history.get(part_id, ()) if label.sequence <= self._read["labels"]]

    def _shadows(self, part_ids: Sequence[str]) -> Mapping[str, Sequence[ShadowVerdict]]:
        """What was taken in of shadows' verdicts on these parts."""
        known = self._ledger.shadow_verdicts(part_ids) if self._read["shadows"] else {}
        return {
            part_id: [row.verdict for row in rows if row.sequence <= self._read["shadows"]]
            for part_id, rows in known.items()
        }

    def _register_challenges(self) -> None:
        for sequence, challenge in self._ledger.challenge_parts_after(self._read["challenges"]):
            self._book(challenge.line).register(challenge)
            self._read["challenges"] = sequence

    def _hear(self) -> None:
        """What people said of challenge parts and pages, in the order in which it was recorded."""
        reports = self._ledger.challenge_reports_after(self._read["reports"])
        said = self._ledger.acknowledgements_after(self._read["acknowledgements"])
        told: list[ChallengeReport | Acknowledgement] = [one for _, one in reports]
        told += [one for _, one in said]
        self._told.extend(sorted(told, key=lambda one: one.recorded_at))
        for kind, sequences in (("reports", [at for at, _ in reports]), ("acknowledgements", [at for at, _ in said])):
            self._read[kind] = max(sequences, default=self._read[kind])

    def _take_told(self, until: float) -> None:
        while self._told and self._told[0].recorded_at < until:
            told = self._told.popleft()
            if isinstance(told, Acknowledgement):
                self._book(told.line).acknowledge(told)
            elif (part := self._ledger.parts([told.part_id]).get(told.part_id)) and self._counts(part):
                known = self._known(self._ledger.labels([told.part_id]), told.part_id)
                shadows = self._shadows([told.part_id]).get(told.part_id, ())
                self._book(part.verdict.line).report(told, part, known, shadows)

    def _take_parts(self, rows: Sequence[RecordedVerdict]) -> None:
        early = [row.verdict.part_id for row in rows if row.verdict.part_id in self._waiting]
        for row in rows:
            if self._counts(row):
                self._book(row.verdict.line).add_part(row, self._budget(row.verdict))
        if early:
            self._waiting.difference_update(early)
            known = {row.verdict.part_id: row for row in rows}
            for part_id, labels in self._ledger.labels(early).items():
                for position, label in enumerate(labels):
                    if label.sequence <= self._read["labels"]:
                        self._book(known[part_id].verdict.line).add_label(known[part_id], labels[: position + 1])

    def _counts(self, part: RecordedVerdict) -> bool:
        """Whether it comes after what was pruned; a part of a bucket that is not there as a whole does not."""
        past = self._begins.lines.get(part.verdict.line)
        return past is None or part.ordinal >= past.ordinal

    def _budget(self, verdict: Verdict) -> float:
        """The audit budget that a part was drawn under, inf where its policy is not known."""
        key = verdict.line, verdict.policy
        if key not in self._budgets:
            self._budgets[key] = inf
            self._budgets |= {
                (policy.line, policy.number): policy.budget for policy in self._ledger.draw_policies(verdict.line)
            }
        return self._budgets[key]

    def _take_labels(self, rows: Sequence[RecordedLabel]) -> None:
        part_ids = list({row.label.part_id for row in rows})
        parts = self._ledger.parts(part_ids)
        history, shadows = self._ledger.labels(part_ids), self._shadows(part_ids)
        for row in rows:
            self._take_told(row.recorded_at)
            self._read["labels"] = row.sequence
            part_id = row.label.part_id
            part = parts.get(part_id)
            if part is None or part.sequence > self._read["parts"]:
                if part is not None or row.sequence > self._begins.labels:
                    self._waiting.add(part_id)
                continue
            if not self._counts(part):
                continue
            upto = [label for label in history[part_id] if label.sequence <= row.sequence]
            self._book(part.verdict.line).add_label(part, upto, shadows.get(part_id, ()))

    def _book(self, line: str) -> LineBook:
        if line not in self._books:
            self._books[line] = LineBook(
                line, self._thresholds().line(line), self._models.get(line), self._begins.lines.get(line)
            )
        return self._books[line]
