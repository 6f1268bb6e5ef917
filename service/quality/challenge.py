"""Challenge parts: parts known beforehand that are sent through on purpose. They stay out of every production figure."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from service.records import ALL, SEPARATOR, ChallengePart, ChallengeState, RecordedVerdict

DAY = 86_400.0


@dataclass(frozen=True, slots=True, order=True)
class Passage:
    """One challenge part on its way through the line. caught: it was judged what it is known to be."""

    ordinal: int
    name: str
    expected: str
    caught: bool
    captured_at: float
    recorded_at: float
    model: str


def base_name(part_id: str) -> str:
    """The challenge part that a part id would be a pass of.

    >>> base_name("RR-7~2026-11-23T06"), base_name("RR-7")
    ('RR-7', 'RR-7')
    """
    return part_id.partition(SEPARATOR)[0]


def due_at(part: ChallengePart, last_passed_at: float | None, changed_at: float | None) -> float | None:
    """When the next pass is due, seconds UTC; None: never.

    last_passed_at: capture time of its newest pass. changed_at: when model or thresholds last changed.
    """
    since = part.recorded_at if last_passed_at is None else last_passed_at
    due = []
    if part.every is not None:
        due.append(since + part.every)
    midnight = since // DAY * DAY
    due += [start if start > since else start + DAY for start in (midnight + shift for shift in part.shifts)]
    if part.after_change and changed_at is not None and changed_at > since:
        due.append(changed_at)
    return min(due, default=None)


class Challenges:
    """The challenge parts of one line, and how they fared."""

    def __init__(self, good: str) -> None:
        self._good = good
        self._rows: defaultdict[str, list[ChallengePart]] = defaultdict(list)
        self.passages: list[Passage] = []  # in the order in which they came to be known
        self.registered_at: float | None = None

    def register(self, part: ChallengePart) -> None:
        """From its moment on it is in force for its name."""
        self._rows[part.name].append(part)
        self.registered_at = part.recorded_at if self.registered_at is None else self.registered_at

    def named(self, row: RecordedVerdict) -> ChallengePart | None:
        """The challenge part that this part is a pass of by its id; None: it is production."""
        return self.in_force(base_name(row.verdict.part_id), row.recorded_at)

    def in_force(self, name: str, at: float) -> ChallengePart | None:
        """The challenge part of this name at that moment, None before it was registered and after it was retired."""
        known = [part for part in self._rows.get(name, ()) if part.recorded_at <= at]
        return known[-1] if known and not known[-1].retired else None

    def add(self, row: RecordedVerdict, part: ChallengePart, known_at: float) -> Passage:
        """Counts a pass. Caught: flagged where a defect is expected, passed where a good part is."""
        caught = row.verdict.flagged == (part.expected != self._good)
        verdict = row.verdict
        passage = Passage(row.ordinal, part.name, part.expected, caught, verdict.captured_at, known_at, verdict.model)
        insort(self.passages, passage, key=lambda one: one.recorded_at)
        return passage

    def of(self, defect: str, known: int) -> list[Passage]:
        """Of the first `known` passages those that say something about recall of a defect (ALL: any), in order of the line."""
        return sorted(
            one
            for one in self.passages[:known]
            if one.expected == defect or (defect == ALL and one.expected != self._good)
        )

    def state(self, changed_at: float | None, line_at: float | None) -> ChallengeState:
        """line_at: capture time of the line's newest part. A line that stands is not reproached with what fell due since."""
        last: dict[str, float] = {}
        for one in self.passages:
            last[one.name] = max(one.captured_at, last.get(one.name, one.captured_at))
        caught = sum(one.caught for one in self.passages)
        return ChallengeState(
            caught=caught,
            missed=len(self.passages) - caught,
            overdue=dict(_overdue([rows[-1] for rows in self._rows.values()], last, changed_at, line_at)),
            last_passed_at=max(last.values(), default=None),
        )


def _overdue(
    parts: Iterable[ChallengePart], last: Mapping[str, float], changed_at: float | None, line_at: float | None
) -> Iterable[tuple[str, float]]:
    for part in parts:
        due = None if part.retired else due_at(part, last.get(part.name), changed_at)
        if due is not None and line_at is not None and line_at > due + part.within:
            yield part.name, due
