"""The line itself: nothing leaves before it is on disk, nothing is lost, nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from numpy.typing import NDArray

from service.drawing import DrawPolicies, audit_key
from service.errors import InvalidInput, LedgerUnavailable
from service.images import decode
from service.inspection import Inspection
from service.judges import Judges
from service.ledger.images import FolderImages
from service.ledger.store import SqlLedger, open_ledger
from service.ports import PartLedger
from service.records import Outcome, Verdict
from service.thresholds import parse
from service.worker import Line, Worker
from tests.line import LINE, Brightness, Counts, Playlist, picture
from tests.servers import until

THRESHOLDS = parse("defaults: {audit: {budget: 0.3}}")
DARK, BRIGHT = picture(0.1), picture(0.9)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", lambda: 2000.0)) as opened:
        yield opened


class Outbox:
    """A release that looks whether the record is there at the moment of the release."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.sent: list[Verdict] = []

    def release(self, verdicts: Sequence[Verdict]) -> None:
        known = self._ledger.known([verdict.part_id for verdict in verdicts])
        assert set(known) == {verdict.part_id for verdict in verdicts}
        self.sent += verdicts

    def close(self) -> None:
        pass


@pytest.fixture
def build(ledger: SqlLedger, tmp_path: Path) -> Callable[..., tuple[Worker, Outbox, Counts]]:
    """Builds a worker around a camera, over the real ledger unless another is given."""

    def make(
        camera: Playlist, over: PartLedger | None = None, detector: Brightness | None = None
    ) -> tuple[Worker, Outbox, Counts]:
        outbox, meter = Outbox(ledger), Counts()
        model = detector or Brightness()
        line = Line(
            name=LINE,
            cameras=[camera],
            judges=Judges(Inspection(model, b"k" * 32)),
            policies=DrawPolicies(LINE, ledger, lambda: THRESHOLDS, lambda: 2000.0, model.info),
            thresholds=lambda: THRESHOLDS,
            ledger=over or ledger,
            images=FolderImages(tmp_path / "images", 10**6),
            releases=[outbox],
            meter=meter,
            clock=lambda: 2000.0,
            batch_size=4,
        )
        return Worker(line, "w1"), outbox, meter

    return make


def test_every_part_is_recorded_then_released_with_its_verdict(
    ledger: SqlLedger, build: Callable[..., tuple[Worker, Outbox, Counts]]
) -> None:
    """Bright parts are rejected, dark ones pass or are drawn, in the order of the camera."""
    camera = Playlist([(f"p{n}", BRIGHT if n % 5 == 0 else DARK) for n in range(50)])
    worker, outbox, meter = build(camera)
    worker.run()
    rows = ledger.parts_after(0, 100)
    assert [row.verdict.part_id for row in rows] == [f"p{n}" for n in range(50)]
    assert [row.ordinal for row in rows] == list(range(50))
    assert [row.verdict for row in rows] == outbox.sent == [verdict for _, verdict in camera.answered]
    assert [row.verdict.flagged for row in rows] == [n % 5 == 0 for n in range(50)]
    assert {"p0", "p5"} <= {v.part_id for v in outbox.sent if v.predicted == "crack"}
    assert meter.stages == dict.fromkeys(("decode", "infer", "record", "release", "total"), 50)
    assert camera.closed
    *_, (beat,) = ledger.line_state()
    assert beat.stopped, "the camera came to its end: nobody misses this worker"


def test_the_draw_is_in_the_record(ledger: SqlLedger, build: Callable[..., tuple[Worker, Outbox, Counts]]) -> None:
    """Each passed part carries band and weight of the policy; the same key draws the same parts on another machine."""
    camera = Playlist([(f"p{n}", DARK) for n in range(200)])
    worker, outbox, _ = build(camera)
    worker.run()
    policy = ledger.draw_policy(LINE)
    assert policy is not None and policy.budget == 0.3
    assert {(v.band, v.weight, v.policy) for v in outbox.sent} == {(1, policy.weights[1], policy.number)}
    drawn = [v.part_id for v in outbox.sent if v.outcome is Outcome.AUDIT]
    assert 0 < len(drawn) < 200
    frames = list(Playlist([(f"p{n}", DARK) for n in range(200)]).frames(Event()))
    model = Brightness()
    again = Inspection(model, b"k" * 32).verdicts(frames, np.stack([model.fit(decode(DARK))] * 200), policy, "x")
    assert [v.part_id for v in again if v.outcome is Outcome.AUDIT] == drawn


def test_a_score_that_is_no_number_rejects_its_part() -> None:
    """Half precision may overflow on a picture: that must not let the part pass."""

    class Overflown(Brightness):
        def judge(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.array([[np.nan, np.nan], [0.9, 0.1]], np.float32)

    first, second = Inspection(Overflown(), b"k" * 32).opinions(np.zeros((2, 4, 4, 3), np.uint8))
    assert (first.flagged, first.predicted, first.scores) == (True, "crack", (1.0, 1.0))
    assert not second.flagged


def test_what_cannot_be_judged_is_set_aside_and_the_line_goes_on(
    ledger: SqlLedger, build: Callable[..., tuple[Worker, Outbox, Counts]]
) -> None:
    """Empty, text and cut-off pictures are counted by reason; the parts around them get their verdicts."""
    bad = [("b1", b""), ("b2", b"hello"), ("b3", BRIGHT[:60])]
    camera = Playlist([("p1", DARK), *bad, ("p2", BRIGHT)])
    worker, outbox, meter = build(camera)
    worker.run()
    assert [v.part_id for v in outbox.sent] == ["p1", "p2"]
    assert dict(camera.set_aside).keys() == {"b1", "b2", "b3"}
    assert meter.drops == {"empty": 1, "not_an_image": 1, "broken": 1}


def test_a_part_seen_again_gets_its_verdict_of_record(
    ledger: SqlLedger, build: Callable[..., tuple[Worker, Outbox, Counts]]
) -> None:
    """What is released is what is on disk, even if the second picture looks different."""
    worker, _, _ = build(Playlist([("p1", DARK)]))
    worker.run()
    worker, outbox, _ = build(Playlist([("p1", BRIGHT)]))
    worker.run()
    assert len(ledger.parts_after(0, 10)) == 1
    assert [v.flagged for v in outbox.sent] == [False]


class Flaky:
    """A ledger that is full for the first few times."""

    def __init__(self, ledger: SqlLedger, times: int) -> None:
        self._ledger = ledger
        self._times = times
        self.register, self.beat = ledger.register, ledger.beat
        self.draw_policy, self.set_draw_policy = ledger.draw_policy, ledger.set_draw_policy
        self.camera_references = ledger.camera_references
        self.keep_camera_reference = ledger.keep_camera_reference

    def record(self, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
        self._times -= 1
        if self._times >= 0:
            raise LedgerUnavailable("disk full")
        return self._ledger.record(verdicts)


def test_a_full_disk_holds_the_line_and_loses_nothing(
    ledger: SqlLedger, build: Callable[..., tuple[Worker, Outbox, Counts]]
) -> None:
    """Parts are held, not released, until the ledger takes them; the metric says so."""
    worker, outbox, meter = build(Playlist([(f"p{n}", DARK) for n in range(20)]), over=Flaky(ledger, 2))
    worker.run()
    assert [v.part_id for v in outbox.sent] == [f"p{n}" for n in range(20)]
    assert meter.ledger == [False, True]


def test_what_waits_for_a_slow_ledger_is_recorded_together(
    ledger: SqlLedger, build: Callable[..., tuple[Worker, Outbox, Counts]]
) -> None:
    """So that it is asked less often; in order all the same."""

    class Trickle(Playlist):
        def frames(self, stopping: Event):  # type: ignore[no-untyped-def]
            for frame in super().frames(stopping):
                yield frame
                stopping.wait(0.05)  # longer than a batch waits

    class Busy(Flaky):
        def record(self, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
            if not sizes:
                until(worker._judged.full, "two more batches are judged")
            sizes.append(len(verdicts))
            return super().record(verdicts)

    sizes: list[int] = []
    worker, outbox, _ = build(Trickle([(f"p{n}", DARK) for n in range(12)]), over=Busy(ledger, 0))
    worker.run()
    assert sizes[0] == 1 and sizes[1] > 1
    assert [v.part_id for v in outbox.sent] == [f"p{n}" for n in range(12)]


class Slow(Brightness):
    """Takes its time, so that a live camera overruns it."""

    def __init__(self) -> None:
        self.go = Event()

    def judge(self, batch):  # type: ignore[no-untyped-def]
        self.go.wait(30)
        return super().judge(batch)


def test_a_live_camera_drops_what_the_line_cannot_take_and_counts_it(
    ledger: SqlLedger, build: Callable[..., tuple[Worker, Outbox, Counts]]
) -> None:
    """Every frame is either recorded or counted as dropped."""
    slow = Slow()
    camera = Playlist([(f"p{n}", DARK) for n in range(500)], live=True, stays=True)
    worker, outbox, meter = build(camera, detector=slow)
    thread = Thread(target=worker.run)
    thread.start()
    while not meter.drops["line_full"]:
        Event().wait(0.01)
    slow.go.set()
    worker.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert len(outbox.sent) + meter.drops["line_full"] <= 500
    assert len(outbox.sent) == len(ledger.parts_after(0, 1000)) > 0


def test_stopping_drains(ledger: SqlLedger, build: Callable[..., tuple[Worker, Outbox, Counts]]) -> None:
    """Every frame that was taken from the camera is recorded and answered before the worker ends."""
    taken: list[str] = []

    class Endless(Playlist):
        def frames(self, stopping: Event):  # type: ignore[no-untyped-def]
            for frame in super().frames(stopping):
                taken.append(frame.part_id)
                yield frame

    camera = Endless([(f"p{n}", DARK) for n in range(100_000)])
    worker, outbox, _ = build(camera)
    thread = Thread(target=worker.run)
    thread.start()
    while len(outbox.sent) < 20:
        Event().wait(0.01)
    worker.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert [v.part_id for v in outbox.sent] == taken
    *_, (beat,) = ledger.line_state()
    assert not beat.stopped, "it was told to: somebody should be told"


def test_a_stage_that_dies_ends_the_worker_with_its_error(build: Callable[..., tuple[Worker, Outbox, Counts]]) -> None:
    """A dead stage must not leave a line that looks alive."""

    class Broken(Brightness):
        def judge(self, batch):  # type: ignore[no-untyped-def]
            raise ZeroDivisionError("bug")

    worker, outbox, _ = build(Playlist([(f"p{n}", DARK) for n in range(500)]), detector=Broken())
    with pytest.raises(ZeroDivisionError):
        worker.run()
    assert outbox.sent == []


def test_a_stage_that_hangs_is_behind_and_one_that_only_waits_is_not(
    build: Callable[..., tuple[Worker, Outbox, Counts]],
) -> None:
    """What the heartbeat of a release goes by: the line's own loop, not its main thread."""
    slow = Slow()
    worker, _, _ = build(Playlist([("p0", DARK)], stays=True), detector=slow)
    assert worker.behind() == float("inf")
    thread = Thread(target=worker.run)
    thread.start()
    until(lambda: 1.0 < worker.behind() < 60.0, "the judge hangs")
    slow.go.set()
    until(lambda: worker.behind() < 1.0, "all wait for parts")
    worker.stop()
    thread.join(30)
    assert worker.behind() == float("inf")


def test_a_line_that_is_held_by_its_ledger_is_behind(
    ledger: SqlLedger, build: Callable[..., tuple[Worker, Outbox, Counts]]
) -> None:
    """No verdict comes: the controls are not to believe that all is well."""
    flaky = Flaky(ledger, 10**6)
    worker, outbox, _ = build(Playlist([("p0", DARK)], stays=True), over=flaky)
    thread = Thread(target=worker.run)
    thread.start()
    until(lambda: 1.0 < worker.behind() < 60.0, "held")
    flaky._times = 0
    until(lambda: outbox.sent and worker.behind() < 1.0, "taken")
    worker.stop()
    thread.join(30)


def test_the_audit_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600; the second start reads the first one's key; a short one is refused."""
    file = tmp_path / "new" / "audit.key"
    key = audit_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert audit_key(file) == key and len(key) >= 32
    file.write_text("short")
    with pytest.raises(InvalidInput, match="at least 32"):
        audit_key(file)
