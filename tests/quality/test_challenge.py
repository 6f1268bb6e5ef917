"""Challenge parts: when they are due, and that a line that stands is not reproached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.quality.challenge import Challenges, due_at
from service.records import ChallengePart, Outcome, RecordedVerdict
from tests.quality.test_buckets import PART

HOUR, DAY = 3600.0, 86_400.0
RABBIT = ChallengePart("line", "RR-7", "crack", recorded_at=10 * DAY)


@pytest.mark.parametrize(
    ("schedule", "last", "changed", "due"),
    [
        ({}, None, None, None),
        ({"every": 8 * HOUR}, None, None, 10 * DAY + 8 * HOUR),
        ({"every": 8 * HOUR}, 11 * DAY, None, 11 * DAY + 8 * HOUR),
        ({"shifts": (6 * HOUR, 14 * HOUR)}, 11 * DAY + 6 * HOUR, None, 11 * DAY + 14 * HOUR),
        ({"shifts": (6 * HOUR, 14 * HOUR)}, 11 * DAY + 15 * HOUR, None, 12 * DAY + 6 * HOUR),
        ({"after_change": True}, 11 * DAY, 12 * DAY, 12 * DAY),
        ({"after_change": True}, 12 * DAY, 11 * DAY, None),
        ({"every": 2 * DAY, "after_change": True}, 11 * DAY, 11.5 * DAY, 11.5 * DAY),
    ],
)
def test_the_next_pass_is_due_by_the_earliest_rule(
    schedule: dict, last: float | None, changed: float | None, due: float | None
) -> None:  # type: ignore[type-arg]
    """Every so often, at a shift's start, after a change; without a schedule never."""
    assert due_at(replace(RABBIT, **schedule), last, changed) == due


def passed(part_id: str, outcome: Outcome, ordinal: int, at: float) -> RecordedVerdict:
    verdict = replace(
        PART, part_id=part_id, outcome=outcome, captured_at=at, band=None if outcome is Outcome.REJECT else 2
    )
    return RecordedVerdict(ordinal + 1, ordinal, at, verdict)


def test_overdue_is_what_the_line_has_run_past() -> None:
    """Due at hour 8 and overdue a quarter of an hour later, but only once a part was captured after that."""
    book = Challenges("good")
    book.register(replace(RABBIT, every=8 * HOUR))
    due = 10 * DAY + 8 * HOUR
    assert book.state(None, due + 900).overdue == {}
    assert book.state(None, due + 901).overdue == {"RR-7": due}
    book.add(passed("RR-7~1", Outcome.REJECT, 5, due + 1000), RABBIT, due + 1000)
    assert book.state(None, due + 2000).overdue == {}


def test_a_pass_is_told_by_its_name() -> None:
    """The name itself, or the name, a tilde and anything; parts from before it was registered are production."""
    book = Challenges("good")
    book.register(RABBIT)
    assert book.named(passed("RR-7", Outcome.REJECT, 1, 11 * DAY)) == RABBIT
    assert book.named(passed("RR-7~shift-2", Outcome.REJECT, 1, 11 * DAY)) == RABBIT
    assert book.named(passed("RR-70", Outcome.REJECT, 1, 11 * DAY)) is None
    assert book.named(passed("RR-7", Outcome.REJECT, 1, 9 * DAY)) is None
    book.register(replace(RABBIT, recorded_at=12 * DAY, retired=True))
    assert book.named(passed("RR-7", Outcome.REJECT, 1, 13 * DAY)) is None
    assert book.named(passed("RR-7", Outcome.REJECT, 1, 11 * DAY)) == RABBIT  # what it was then


def test_caught_means_judged_as_known() -> None:
    """A red rabbit that is rejected and a good part that is passed are caught; the others are missed."""
    book = Challenges("good")
    for number, (expected, outcome) in enumerate(
        [("crack", Outcome.REJECT), ("crack", Outcome.AUDIT), ("good", Outcome.PASS), ("good", Outcome.REJECT)]
    ):
        book.add(passed("x", outcome, number, 0.0), replace(RABBIT, expected=expected), 0.0)
    state = book.state(None, None)
    assert (state.caught, state.missed) == (2, 2)
    assert [one.caught for one in book.of("crack", 4)] == [True, False]
    assert len(book.of("all", 4)) == 2
