"""One backtest: what would have paged and when, and what other decision thresholds would have come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from service.backtest.retold import Changes, Retold
from service.errors import InvalidInput
from service.monitor import Monitor
from service.ports import LedgerReader
from service.quality.tradeoff import Outlook, Tradeoff
from service.quality.truth import settled
from service.records import (
    SEPARATOR,
    ChallengePart,
    LineSnapshot,
    Outcome,
    Page,
    RecordedLabel,
    RecordedVerdict,
    State,
    Verdict,
    WindowQuality,
)
from service.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class Found:
    """A page with hindsight. recall: over the buckets from where its evidence began to the page. true: whether recall had
    fallen, None where that cannot be said. delay: parts from the fall to the page, and seconds between their captures."""

    page: Page
    recall: WindowQuality
    true: bool | None
    delay: int
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """first, last: capture times of the period's parts, seconds UTC. audited: share of the passed parts that was drawn.
    outlooks: {row: one for each factor}."""

    line: LineSnapshot
    parts: int
    first: float
    last: float
    audited: float
    pages: Sequence[Found]
    changes: Changes
    outlooks: Mapping[str, Sequence[Outlook]]


class Source(Protocol):
    """Of the ledger, within the period."""

    def labels(self, part_ids: Sequence[str]) -> Mapping[str, Sequence[RecordedLabel]]: ...
    def challenge_parts_after(self, sequence: int) -> Sequence[tuple[int, ChallengePart]]: ...
    def search(self, line: str, limit: int, before: int | None = None) -> Sequence[RecordedVerdict]: ...


def run(source: Source, retold: Retold, line: str, thresholds: Thresholds, as_of: float, fell: int | None) -> Result:
    """source: the ledger as it was; retold: as it is played. as_of: seconds UTC. fell: ordinal of the first part after a fall that
    somebody knows of. Raises InvalidInput where the period is empty."""
    watched = _Watched()
    retold.watch = watched.add
    monitor = Monitor(cast(LedgerReader, retold), lambda: thresholds, lambda: as_of)
    snapshot = monitor.snapshot().lines.get(line)
    if snapshot is None or not watched.parts:
        raise InvalidInput(f"backtest: line {line} has no part in this period")
    good = next((model.good for model in snapshot.models if model.role == "active"), "good")
    second_look = thresholds.line(line).labels.second_look
    watched.settle(source, good, second_look)
    return Result(
        line=snapshot,
        parts=watched.parts,
        first=watched.first,
        last=watched.last,
        audited=_audited(snapshot),
        pages=[_found(source, monitor, page, fell) for page in snapshot.pages],
        changes=retold.changes,
        outlooks={row: watched.tradeoff.outlooks(row, good) for row in snapshot.defects},
    )


def _audited(line: LineSnapshot) -> float:
    counts = {outcome: sum(n for (_, at), n in line.parts.items() if at is outcome) for outcome in Outcome}
    passed = counts[Outcome.PASS] + counts[Outcome.AUDIT]
    return counts[Outcome.AUDIT] / passed if passed else 0.0


class _Watched:
    """What went by. looked_at: {part id: (u as it is played, weight and outcome of record)} of rejects and audits."""

    def __init__(self) -> None:
        self.parts = 0
        self.first = self.last = 0.0
        self.tradeoff = Tradeoff()
        self.looked_at: dict[str, tuple[float, int, Outcome]] = {}

    def add(self, was: Verdict, new: Verdict) -> None:
        self.first = min(self.first, was.captured_at) if self.parts else was.captured_at
        self.last = max(self.last, was.captured_at) if self.parts else was.captured_at
        self.parts += 1
        self.tradeoff.add_part(new.exceedance, was.weight)
        if was.outcome is not Outcome.PASS:
            self.looked_at[was.part_id] = new.exceedance, was.weight, was.outcome

    def settle(self, source: Source, good: str, second_look: bool) -> None:
        """What the parts turned out to be, challenge parts left out."""
        known = {challenge.name for _, challenge in source.challenge_parts_after(0)}
        ids = [part_id for part_id in self.looked_at if part_id.split(SEPARATOR)[0] not in known]
        for part_id, labels in source.labels(ids).items():
            exceedance, weight, outcome = self.looked_at[part_id]
            actual = settled(labels, outcome, good, second_look)
            if actual is not None:
                self.tradeoff.settle(exceedance, weight, actual)


def _found(source: Source, monitor: Monitor, page: Page, fell: int | None) -> Found:
    recall = next(
        row for row in monitor.between(page.line, page.began_ordinal, page.ordinal) if row.defect == page.defect
    )
    since = page.began_ordinal if fell is None else fell
    true = {State.BELOW: True, State.PROVEN: False}.get(recall.state)
    if fell is not None:
        true = page.ordinal > fell
    elif page.taken_back_at is not None:
        true = False
    return Found(
        page=page,
        recall=recall,
        true=true,
        delay=page.ordinal - since,
        delay_seconds=_captured_at(source, page.line, page.ordinal - 1) - _captured_at(source, page.line, since),
    )


def _captured_at(source: Source, line: str, ordinal: int) -> float:
    rows = source.search(line, 1, before=ordinal + 1)
    return rows[0].verdict.captured_at if rows else 0.0
