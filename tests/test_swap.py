"""Another model on a line that runs: nothing is lost, nothing waits, and what is wrong with the new one leaves the old one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from threading import Event

import pytest

from service.drawing import DrawPolicies
from service.errors import InvalidInput, LedgerUnavailable
from service.inspection import Inspection
from service.ledger.store import open_ledger
from service.orders import TRIES, ways_back
from service.records import ModelAnswer, Role, Taken
from tests.line import INFO, LINE
from tests.swapping import NEW, OLD, THIRD, THRESHOLDS, Cued, Full, Model, Stage, beside, wait_for


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", lambda: 2000.0)) as ledger:
        yield Stage(ledger, tmp_path)


def test_a_swap_while_the_line_runs_loses_no_part(stage: Stage) -> None:
    """The line goes on while the new model is loading; every part has one verdict, first of the old model, then of the new."""
    loading, loaded, ended = Event(), Event(), Event()

    def slowly(digest: str, role: Role = Role.ACTIVE) -> Inspection:
        if digest == NEW:
            loading.set()
            assert loaded.wait(60)
        return plain(digest, role)

    plain, stage.load = stage.load, slowly  # type: ignore[method-assign]
    follower, judges = stage.start()
    cues = {
        40: lambda: (stage.order(NEW), loading.wait(60)),
        100: lambda: (wait_for(lambda: len(stage.outbox.sent) > 60), loaded.set()),
        200: lambda: wait_for(lambda: judges.active.info.digest == NEW),
    }
    looking = beside(follower, ended)
    stage.run(judges, Cued(300, cues))
    ended.set()
    looking.join()
    by = stage.must_be_whole(300)
    assert [digest for digest, _ in groupby(by)] == [OLD, NEW]
    assert 60 < by.count(OLD) <= 240, "parts were judged by the old model while the new one was loading"
    assert stage.said == [(Taken.TAKEN, "")]
    assert stage.in_force() == [NEW] and stage.meter.swaps == {("active", "taken"): 1}


def test_many_swaps_to_and_fro(stage: Stage) -> None:
    """Batches that were fitted for one model are judged by that one, however often the models change."""
    follower, judges = stage.start()
    cues = {
        n: lambda digest=[NEW, OLD][n // 10 % 2]: (stage.order(digest), follower.look()) for n in range(10, 400, 10)
    }
    stage.run(judges, Cued(400, cues))
    by = stage.must_be_whole(400)
    assert set(by) == {OLD, NEW} and len(list(groupby(by))) > 3
    assert stage.meter.swaps == {("active", "taken"): 39}


def _short_of_memory(parts: int) -> None:
    if parts >= 4:
        raise MemoryError("for a whole batch")


WRONG = {
    "missing": (InvalidInput("x.onnx: there is no such file"), "x.onnx: there is no such file"),
    "no memory": (Model(NEW, 6, _short_of_memory), "MemoryError: for a whole batch"),
    "a runtime's own error": (
        RuntimeError("[ONNXRuntimeError]\nbad node"),
        "RuntimeError: [ONNXRuntimeError] bad node",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_model_that_cannot_judge_leaves_the_old_one(stage: Stage, kind: str) -> None:
    """It is answered once, with the reason; the line goes on with the old model; a good order afterwards is taken."""
    stage.models[NEW], why = WRONG[kind]
    stage.models[THIRD] = Model(THIRD, 5)
    follower, judges = stage.start()
    cues = {20: lambda: (stage.order(NEW), follower.look(), follower.look()), 60: lambda: stage.order(THIRD)}
    stage.run(judges, Cued(80, cues))
    assert set(stage.must_be_whole(80)) == {OLD}
    assert stage.said[0] == (Taken.REFUSED, why) and stage.loads.count(NEW) == 1
    follower.look()
    assert judges.active.info.digest == THIRD and stage.in_force() == [THIRD]
    assert stage.meter.swaps == {("active", "refused"): 1, ("active", "taken"): 1}


def test_a_model_without_a_defect_that_thresholds_ask_for_is_refused(stage: Stage) -> None:
    """thresholds.yaml sets a limit for a defect that the model would never report."""
    stage.thresholds = f"lines: {{{LINE}: {{defects: {{scratch: {{}}}}}}}}"
    follower, judges = stage.start()
    stage.order(NEW)
    follower.look()
    ((outcome, why),) = stage.said
    assert outcome is Taken.REFUSED and "scratch" in why and "it knows crack" in why
    assert judges.active.info.digest == OLD and stage.in_force() == [OLD]


def test_a_restart_goes_on_with_the_model_that_was_taken(stage: Stage) -> None:
    """The newest taken order wins over line.yaml; a refused one does not."""
    stage.models[THIRD] = InvalidInput("broken")
    follower, _ = stage.start()
    for digest in (NEW, THIRD):
        stage.order(digest)
    follower.look()
    _, judges = stage.start()
    assert judges.active.info.digest == NEW
    assert len(stage.orders[0].answers) == 2, "tried, taken; a restart adds nothing"


def test_a_restart_without_the_file_falls_back_to_the_model_before(stage: Stage) -> None:
    """It says so in the history and the metric, never goes forward to what was rolled back, and ends at line.yaml's model."""
    stage.models[THIRD] = Model(THIRD, 5)
    follower, _ = stage.start()
    for digest in (NEW, THIRD, NEW):
        stage.order(digest)
        follower.look()
    stage.models[NEW] = InvalidInput("gone")
    _, judges = stage.start()
    assert judges.active.info.digest == OLD and stage.in_force() == [OLD]
    assert stage.orders[-1].unable == {"w1": "gone"} and stage.said[-1] == (Taken.TAKEN, "")
    assert stage.meter.swaps["active", "refused"] == 1


def test_an_order_that_nobody_finished_is_tried_again_but_not_for_ever(stage: Stage) -> None:
    """A worker that died over it is forgiven twice; then the model is refused unseen, so that it cannot keep the line down."""
    stage.order(NEW)
    trying = ModelAnswer(stage.orders[0].sequence, LINE, "dead", Taken.TRYING)
    stage.ledger.answer_order(trying, 0)
    follower, judges = stage.start()
    follower.look()
    assert judges.active.info.digest == NEW
    stage.order(OLD)
    for seen in range(TRIES):
        assert stage.ledger.answer_order(replace(trying, order=stage.orders[1].sequence), seen)
    loads = len(stage.loads)
    follower.look()
    assert stage.said[1] == (Taken.REFUSED, f"{TRIES} workers ended while they loaded it")
    assert judges.active.info.digest == NEW and len(stage.loads) == loads


def test_a_model_that_the_ledger_cannot_take_down_does_not_judge(stage: Stage) -> None:
    """The order stands and is carried out as soon as the ledger can write; these tries are not held against the model."""
    follower, judges = stage.start(full := Full(stage.ledger, Taken.TAKEN))
    stage.order(NEW)
    for _ in range(TRIES + 1):
        with pytest.raises(LedgerUnavailable):
            follower.look()
        assert judges.active.info.digest == OLD
    full.refuses = None
    follower.look()
    assert judges.active.info.digest == NEW and stage.in_force() == [NEW]
    assert [answer.outcome for answer in stage.orders[0].answers] == [Taken.TRYING, Taken.TAKEN]


@pytest.mark.parametrize(
    ("history", "way"),
    [("", ""), ("a", "a"), ("aab", "ba"), ("abcb", "ba"), ("abcba", "a"), ("abcbcd", "dcba"), ("abac", "ca")],
)
def test_going_back_twice_never_leads_forward(history: str, way: str) -> None:
    """What was rolled away from is no longer on the way back."""
    assert ways_back(history) == list(way)


def test_the_draw_begins_anew_with_the_guesses_of_the_new_model(stage: Stage) -> None:
    """Another model misses elsewhere: its own guesses spread the audits, in a policy of its own; the same model adds none."""
    first = replace(INFO, guesses=(0.01, 0.01, 0.02, 0.05, 0.2))
    policies = DrawPolicies(LINE, stage.ledger, lambda: THRESHOLDS, lambda: 2000.0, first)
    before = policies.current()
    policies.follow(first)
    assert policies.current() == before
    policies.follow(replace(first, digest=NEW, guesses=(0.3, 0.01, 0.02, 0.05, 0.2)))
    after = policies.current()
    assert after.number == before.number + 1 and after.weights[0] < before.weights[0]
    assert policies.current() == after
