"""Several workers of one line: one of them tries what is ordered, and all judge with what was taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from service.errors import InvalidInput
from service.ledger.store import open_ledger
from service.orders import DEAD_AFTER, TRIES, OrderFollower
from service.records import Heartbeat, ModelAnswer, Role, Taken
from tests.line import LINE
from tests.swapping import NEW, OLD, THIRD, Model, Stage, beside, wait_for

NOW = 2000.0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", lambda: NOW)) as ledger:
        yield Stage(ledger, tmp_path)


def _alive(stage: Stage, *workers: str, at: float = NOW) -> None:
    for worker in workers:
        stage.ledger.beat(Heartbeat(LINE, worker, 0.0, at))


def _answers(stage: Stage, number: int = -1) -> list[tuple[str, Taken]]:
    return [(answer.worker, answer.outcome) for answer in stage.orders[number].answers]


def _shadows(*followers: OrderFollower) -> list[str]:
    found = (follower._judges.shadow for follower in followers)
    return [shadow.inspection.info.digest if shadow else "" for shadow in found]


def test_what_one_takes_all_judge_with(stage: Stage) -> None:
    """One answer, one registration; the others load it too, also when it is rolled back."""
    _alive(stage, "w1", "w2", "w3")
    line = [stage.start(worker=worker) for worker in ("w1", "w2", "w3")]
    for digest in (NEW, OLD):
        stage.order(digest)
        for follower, _ in line:
            follower.look()
        assert [judges.active.info.digest for _, judges in line] == [digest] * 3
        assert _answers(stage) == [("w1", Taken.TRYING), ("w1", Taken.TAKEN)] and stage.in_force() == [digest]
    assert stage.meter.swaps == {("active", "taken"): 6}


def test_many_workers_at_once(stage: Stage) -> None:
    """Whoever comes first tries; nobody tries beside, nobody answers twice, however they interleave."""
    workers = [f"w{number}" for number in range(5)]
    _alive(stage, *workers)
    stage.models[THIRD] = Model(THIRD, 5)
    line = [stage.start(worker=worker) for worker in workers]
    ended = Event()
    looking = [beside(follower, ended) for follower, _ in line]
    for digest, role in ((NEW, Role.ACTIVE), (OLD, Role.SHADOW), (THIRD, Role.SHADOW), (OLD, Role.ACTIVE)):
        stage.order(digest, role)
        wait_for(lambda: not any(one.open for one in stage.orders))
    wait_for(lambda: {judges.active.info.digest for _, judges in line} == {OLD})
    wait_for(lambda: _shadows(*(follower for follower, _ in line)) == [THIRD] * 5)
    ended.set()
    for thread in looking:
        thread.join()
    outcomes = [[outcome for _, outcome in _answers(stage, number)] for number in range(4)]
    plain = [Taken.TRYING, Taken.TAKEN]
    assert outcomes == [plain, [*plain, Taken.ENDED], plain, plain]
    assert stage.in_force() == [OLD] and stage.in_force(Role.SHADOW) == [THIRD]
    for follower, _ in line:
        follower._drop_shadow()


def test_what_one_refuses_nobody_loads(stage: Stage) -> None:
    """The first worker has the model's fault; the others never touch it."""
    _alive(stage, "w1", "w2")
    stage.models[NEW] = InvalidInput("no conv")
    (first, _), (second, judges) = stage.start(worker="w1"), stage.start(worker="w2")
    stage.order(NEW)
    first.look()
    second.look()
    assert stage.said == [(Taken.REFUSED, "no conv")] and stage.loads.count(NEW) == 1
    assert judges.active.info.digest == OLD


def test_while_one_tries_the_others_wait(stage: Stage) -> None:
    """Until it has not been heard of for long: then another takes it up."""
    _alive(stage, "w1", "w2")
    follower, judges = stage.start(worker="w2")
    stage.order(NEW)
    stage.ledger.answer_order(ModelAnswer(stage.orders[0].sequence, LINE, "w1", Taken.TRYING), 0)
    follower.look()
    assert judges.active.info.digest == OLD and NEW not in stage.loads
    _alive(stage, "w1", at=NOW - DEAD_AFTER)
    follower.look()
    assert judges.active.info.digest == NEW
    assert _answers(stage) == [("w1", Taken.TRYING), ("w2", Taken.TRYING), ("w2", Taken.TAKEN)]


def test_a_worker_of_the_same_name_has_ended_over_it(stage: Stage) -> None:
    """In containers a worker that starts anew has the name of the one that ended: three ends are three ends."""
    stage.order(NEW)
    for seen in range(TRIES):
        stage.ledger.answer_order(ModelAnswer(stage.orders[0].sequence, LINE, "w1", Taken.TRYING), seen)
    _alive(stage, "w1")
    follower, _ = stage.start(worker="w1")
    follower.look()
    assert stage.said == [(Taken.REFUSED, f"{TRIES} workers ended while they loaded it")]


def test_a_worker_that_cannot_follow_goes_on_alone(stage: Stage) -> None:
    """It says so once; what the line has stays, for a worker that starts too, and the next order is followed again."""
    _alive(stage, "w1", "w2")
    (first, _), (second, judges) = stage.start(worker="w1"), stage.start(worker="w2")
    stage.order(NEW)
    first.look()
    plain, stage.models[NEW] = stage.models[NEW], InvalidInput("no such file here")
    for _ in range(3):
        second.look()
    assert judges.active.info.digest == OLD and stage.in_force() == [NEW]
    assert stage.orders[0].unable == {"w2": "no such file here"} and stage.loads.count(NEW) == 2
    assert stage.orders[0].outcome is Taken.TAKEN and stage.meter.swaps["active", "refused"] == 1
    _, begun = stage.start(worker="w3")
    assert begun.active.info.digest == OLD and set(stage.orders[0].unable) == {"w2", "w3"}
    stage.models[NEW] = plain
    _, begun = stage.start(worker="w4")
    assert begun.active.info.digest == NEW
    stage.order(NEW)
    first.look()
    second.look()
    assert judges.active.info.digest == NEW


def test_a_shadow_of_all(stage: Stage) -> None:
    """Each judges beside with it what it inspects; one that fails or is ended is ended everywhere, and the ledger says so once."""
    _alive(stage, "w1", "w2")
    stage.models[THIRD] = Model(THIRD, 5)
    (first, _), (second, judges) = stage.start(worker="w1"), stage.start(worker="w2")
    stage.order(NEW, Role.SHADOW)
    second.look()
    first.look()
    assert _shadows(first, second) == [NEW, NEW]
    stage.order(THIRD, Role.SHADOW)
    first.look()
    second.look()
    assert _shadows(first, second) == [THIRD, THIRD] and stage.in_force(Role.SHADOW) == [THIRD]
    shadow = judges.shadow
    assert shadow is not None
    shadow.failure = "ZeroDivisionError: bug"
    second.look()
    first.look()
    assert _shadows(first, second) == ["", ""] and stage.in_force(Role.SHADOW) == []
    assert stage.said == [(Taken.ENDED, "another one takes its place"), (Taken.ENDED, "ZeroDivisionError: bug")]
    stage.order(NEW, Role.SHADOW)
    first.look()
    stage.order("", Role.NONE)
    second.look()
    first.look()
    assert _shadows(first, second) == ["", ""] and stage.said[-2:] == [
        (Taken.ENDED, "somebody ended it"),
        (Taken.TAKEN, ""),
    ]


def test_who_has_not_come_to_the_new_model_yet_knows_who_has_the_say(stage: Stage) -> None:
    """The old model may be its successor's shadow, whichever worker looks first."""
    _alive(stage, "w1", "w2")
    (first, _), (second, judges) = stage.start(worker="w1"), stage.start(worker="w2")
    stage.order(NEW)
    first.look()
    stage.order(OLD, Role.SHADOW)
    second.look()
    assert judges.active.info.digest == NEW and _shadows(second) == [OLD]
    second._drop_shadow()


def test_a_shadow_that_one_cannot_load_is_ended_in_all(stage: Stage) -> None:
    """It has no say, and half a comparison is none."""
    _alive(stage, "w1", "w2")
    (first, _), (second, _) = stage.start(worker="w1"), stage.start(worker="w2")
    stage.order(NEW, Role.SHADOW)
    first.look()
    stage.models[NEW] = InvalidInput("no such file here")
    second.look()
    first.look()
    assert _shadows(first, second) == ["", ""] and stage.in_force(Role.SHADOW) == []
    assert stage.said == [(Taken.ENDED, "no such file here")]
