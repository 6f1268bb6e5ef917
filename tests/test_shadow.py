"""A shadow judges the same parts without a say, and nothing that happens to it reaches the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from service.errors import InvalidInput, LedgerUnavailable
from service.ledger.store import open_ledger
from service.records import Frame, Role, Taken
from tests.swapping import NEW, OLD, THIRD, Cued, Full, Model, Stage, wait_for


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", lambda: 2000.0)) as ledger:
        yield Stage(ledger, tmp_path)


def _judged(stage: Stage) -> list[str]:
    return [row.verdict.part_id for row in stage.ledger.shadow_verdicts_after(0, 10_000)]


def test_a_shadow_judges_the_same_parts_without_a_say(stage: Stage) -> None:
    """From its order to its end it has a verdict on every part, none of which is released; the active model judges on."""
    follower, judges = stage.start()
    cues = {
        40: lambda: (wait_for(lambda: len(stage.outbox.sent) == 40), stage.order(NEW, Role.SHADOW), follower.look()),
        60: lambda: wait_for(lambda: len(stage.outbox.sent) == 60),  # the queue of a shadow is short on purpose
        80: lambda: (wait_for(lambda: len(stage.outbox.sent) == 80), stage.order("", Role.NONE), follower.look()),
    }
    stage.run(judges, Cued(100, cues))
    assert set(stage.must_be_whole(100)) == {OLD}
    rows = [row.verdict for row in stage.ledger.shadow_verdicts_after(0, 1000)]
    assert [row.part_id for row in rows] == [f"p{number}" for number in range(40, 80)]
    assert {(row.model, row.line) for row in rows} == {(NEW, "a")}
    assert [row.flagged for row in rows] == [number % 5 == 0 for number in range(40, 80)]
    assert rows[0].predicted == "crack" and rows[0].exceedance == pytest.approx(1.8, abs=0.01)
    assert stage.said == [(Taken.ENDED, "somebody ended it"), (Taken.TAKEN, "")]
    assert stage.in_force(Role.SHADOW) == [] and stage.in_force() == [OLD]


class Spy:
    """In a shadow's place: looks what has become of the parts at the moment they are offered."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.early: list[str] = []
        self.offered = 0

    def offer(self, frames: Sequence[Frame]) -> None:
        ids = [frame.part_id for frame in frames]
        released = {verdict.part_id for verdict in self._stage.outbox.sent}
        self.early += [part for part in ids if part not in released or part not in self._stage.ledger.known(ids)]
        self.offered += len(ids)


def test_a_shadow_sees_a_part_only_after_its_release(stage: Stage) -> None:
    """So it delays none, and the part's own record always comes before the shadow's."""
    _, judges = stage.start()
    spy = Spy(stage)
    judges.shadow = spy  # type: ignore[assignment]
    stage.run(judges, Cued(60, {}))
    assert spy.early == [] and spy.offered == 60


def test_a_shadow_that_fails_ends_itself_and_never_the_line(stage: Stage) -> None:
    """The history says why; the line has all of its parts; no shadow is in force any more."""

    def fails(parts: int) -> None:
        if len(stage.outbox.sent) >= 20:
            raise ZeroDivisionError("bug")

    stage.models[NEW] = Model(NEW, 6, fails)
    follower, judges = stage.start()
    stage.order(NEW, Role.SHADOW)
    follower.look()
    assert stage.in_force(Role.SHADOW) == [NEW]
    shadow = judges.shadow
    assert shadow is not None
    stage.run(judges, Cued(100, {60: lambda: wait_for(lambda: shadow.failure)}))
    follower.look()
    assert set(stage.must_be_whole(100)) == {OLD}
    assert stage.said == [(Taken.ENDED, "ZeroDivisionError: bug")]
    assert judges.shadow is None and stage.in_force(Role.SHADOW) == []


def test_a_slow_shadow_misses_parts_and_the_line_does_not_wait(stage: Stage) -> None:
    """The line comes to its end while the shadow is still at its first batch; what it missed is counted, part by part."""
    go, slow = Event(), Event()
    stage.models[NEW] = Model(NEW, 6, lambda parts: slow.is_set() and go.wait(60))
    follower, judges = stage.start()
    stage.order(NEW, Role.SHADOW)
    follower.look()
    slow.set()
    stage.run(judges, Cued(200, {}))
    assert set(stage.must_be_whole(200)) == {OLD} and _judged(stage) == []
    go.set()
    assert judges.shadow is not None
    judges.shadow.close()
    assert stage.meter.unjudged > 0
    assert len(_judged(stage)) + stage.meter.unjudged == 200


def test_a_shadow_goes_on_after_a_restart_unless_it_was_ended(stage: Stage) -> None:
    """As if the worker had never been away; one whose file is gone is ended, with the reason."""
    follower, _ = stage.start()
    stage.order(NEW, Role.SHADOW)
    follower.look()
    follower, judges = stage.start()
    follower.look()
    assert judges.shadow is not None and judges.shadow.inspection.info.digest == NEW
    plain, stage.models[NEW] = stage.models[NEW], InvalidInput("gone")
    follower, judges = stage.start()
    follower.look()
    assert judges.shadow is None and stage.in_force(Role.SHADOW) == []
    assert stage.said == [(Taken.ENDED, "gone")]
    stage.models[NEW] = plain
    follower, judges = stage.start()
    follower.look()
    assert judges.shadow is None, "it was ended; a restart does not bring it back"


def test_the_end_of_a_shadow_is_told_as_soon_as_the_ledger_can_write(stage: Stage) -> None:
    """A ledger that is full just then forgets nothing."""
    stage.models[THIRD] = Model(THIRD, 5)
    follower, judges = stage.start(full := Full(stage.ledger))
    stage.order(NEW, Role.SHADOW)
    follower.look()
    stage.order(NEW)
    full.refuses = Taken.ENDED
    with pytest.raises(LedgerUnavailable):
        follower.look()
    assert judges.active.info.digest == NEW and stage.in_force(Role.SHADOW) == [NEW]
    full.refuses = None
    follower.look()
    assert judges.shadow is None and stage.in_force(Role.SHADOW) == []
    assert stage.said == [(Taken.ENDED, "it has the say now"), (Taken.TAKEN, "")]


def test_one_shadow_at_a_time_and_never_the_active_model(stage: Stage) -> None:
    """A second shadow takes the first one's place; what has the say cannot be its own shadow; who gets the say is shadow no more."""
    stage.models[THIRD] = Model(THIRD, 5)
    follower, judges = stage.start()
    for digest in (OLD, NEW, THIRD):
        stage.order(digest, Role.SHADOW)
    follower.look()
    assert stage.in_force(Role.SHADOW) == [THIRD]
    stage.order(THIRD)
    follower.look()
    assert judges.active.info.digest == THIRD and judges.shadow is None and stage.in_force(Role.SHADOW) == []
    assert stage.said == [
        (Taken.REFUSED, "it is the model that has the say"),
        (Taken.ENDED, "another one takes its place"),
        (Taken.ENDED, "it has the say now"),
        (Taken.TAKEN, ""),
    ]
