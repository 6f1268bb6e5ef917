"""A part that nobody judges is recorded, then released, in a running worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from service.cameras.ids import valid_part_id
from service.drawing import DrawPolicies
from service.errors import LedgerUnavailable
from service.inspection import Inspection
from service.judges import Judges
from service.ledger.images import FolderImages
from service.ledger.store import SqlLedger, open_ledger
from service.parts import absent
from service.parts.absent import AbsentParts, PartsRule
from service.records import FailSafe, Frame, NotInspected, Verdict
from service.thresholds import parse
from service.worker import Line, Worker
from tests.line import LINE, Brightness, Counts, Playlist, picture
from tests.servers import until

THRESHOLDS = parse("defaults: {audit: {budget: 0.3}}")
DARK = picture(0.1)
RULE = PartsRule(0.05, FailSafe.STOP)
NEVER = PartsRule(60.0, FailSafe.REJECT)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", lambda: 2000.0)) as opened:
        yield opened


class Numbered(Playlist):
    """Gives its pictures these trigger numbers; stays until it is told to end."""

    def __init__(self, *triggers: int, live: bool = False, stays: bool = False, content: bytes = DARK) -> None:
        super().__init__([(f"p{number}", content) for number in triggers], live=live, stays=stays)

    def frames(self, stopping: Event) -> Iterator[Frame]:
        for frame in super().frames(stopping):
            number = int(frame.part_id[1:])
            yield Frame(frame.part_id, frame.line, frame.camera, 1000.0 + number, frame.content, trigger=number)


class Outbox:
    """A release that looks whether the record is there at the moment of the release."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.judged: list[Verdict] = []
        self.missing: list[NotInspected] = []

    def release(self, verdicts: Sequence[Verdict]) -> None:
        self.judged += verdicts

    def release_not_inspected(self, missing: Sequence[NotInspected]) -> None:
        on_disk = [one for _, _, one in self._ledger.not_inspected_after(0, 10_000)]
        assert [one for one in missing if one not in on_disk] == []
        self.missing += missing

    def close(self) -> None:
        pass


Build = Callable[..., tuple[Worker, Outbox]]


@pytest.fixture
def build(ledger: SqlLedger, tmp_path: Path) -> Build:
    def make(
        camera: Playlist, rule: PartsRule | None = RULE, over: object = None, detector: Brightness | None = None
    ) -> tuple[Worker, Outbox]:
        outbox = Outbox(ledger)
        model = detector or Brightness()
        line = Line(
            name=LINE,
            cameras=[camera],
            judges=Judges(Inspection(model, b"k" * 32)),
            policies=DrawPolicies(LINE, ledger, lambda: THRESHOLDS, lambda: 2000.0, model.info),
            thresholds=lambda: THRESHOLDS,
            ledger=over or ledger,  # type: ignore[arg-type]
            images=FolderImages(tmp_path / "images", 10**6),
            releases=[outbox],
            meter=Counts(),
            clock=lambda: 2000.0,
            batch_size=4,
            parts=rule,
        )
        return Worker(line, "w1"), outbox

    return make


def _recorded(ledger: SqlLedger) -> list[NotInspected]:
    return [one for _, _, one in ledger.not_inspected_after(0, 10_000)]


def test_a_number_that_was_passed_over_is_a_record_while_the_line_runs(ledger: SqlLedger, build: Build) -> None:
    """Once `wait` is over, with what the line was told; the others are judged as ever, and no window knows of it."""
    worker, outbox = build(Numbered(1, 2, 5, 4, 6, stays=True))
    thread = Thread(target=worker.run)
    thread.start()
    until(lambda: outbox.missing, "the missing part is released")
    worker.stop()
    thread.join(30)
    (one,) = _recorded(ledger)
    assert outbox.missing == [one]
    assert (one.line, one.camera, one.trigger, one.captured_at) == (LINE, "left", 3, 1005.0)
    assert (one.reason, one.outcome) == ("no_picture", FailSafe.STOP)
    assert one.part_id.startswith("left-1005000-3-")
    assert [v.part_id for v in outbox.judged] == ["p1", "p2", "p5", "p4", "p6"]
    assert [row.verdict.part_id for row in ledger.parts_after(0, 10)] == ["p1", "p2", "p5", "p4", "p6"]


def test_what_is_missing_when_the_worker_ends_is_recorded_first(ledger: SqlLedger, build: Build) -> None:
    """Nothing comes any more, so nobody waits the rest of `wait`."""
    worker, outbox = build(Numbered(1, 4), NEVER)
    worker.run()
    assert [one.trigger for one in _recorded(ledger)] == [one.trigger for one in outbox.missing] == [2, 3]


def test_pictures_that_cannot_be_judged_are_records_too(ledger: SqlLedger, build: Build) -> None:
    """Under their own id and time, by reason."""
    worker, outbox = build(Numbered(1, 2, content=b"hello"), NEVER)
    worker.run()
    assert _recorded(ledger) == outbox.missing
    assert [(one.part_id, one.trigger, one.captured_at, one.reason) for one in outbox.missing] == [
        ("p1", 1, 1001.0, "not_an_image"),
        ("p2", 2, 1002.0, "not_an_image"),
    ]
    assert outbox.judged == []


def test_every_picture_of_a_live_camera_is_a_record_or_a_part(ledger: SqlLedger, build: Build) -> None:
    """Also those that the full line could not take: none is a gap besides."""

    class Slow(Brightness):
        def judge(self, batch):  # type: ignore[no-untyped-def]
            go.wait(30)
            return super().judge(batch)

    go = Event()
    worker, outbox = build(Numbered(*range(100), live=True, stays=True), detector=Slow())
    thread = Thread(target=worker.run)
    thread.start()
    until(lambda: outbox.missing, "the line is full")
    go.set()
    until(lambda: len(outbox.judged) + len(outbox.missing) == 100, "all of them are told")
    worker.stop()
    thread.join(30)
    assert {one.reason for one in outbox.missing} == {"line_full"}
    ids = {row.verdict.part_id for row in ledger.parts_after(0, 1000)} | {one.part_id for one in _recorded(ledger)}
    assert ids == {f"p{number}" for number in range(100)}


def test_without_the_section_nothing_of_it_happens(ledger: SqlLedger, build: Build) -> None:
    worker, outbox = build(Numbered(1, 4), None)
    worker.run()
    assert _recorded(ledger) == outbox.missing == []


def test_a_ledger_that_takes_nothing_holds_the_record_and_the_release(ledger: SqlLedger, build: Build) -> None:
    """Tried until it is there."""

    class Full:
        tries = 0

        def __getattr__(self, name: str) -> object:
            return getattr(ledger, name)

        def record_not_inspected(self, missing: Sequence[NotInspected]) -> Sequence[NotInspected]:
            self.tries += 1
            if self.tries < 3:
                assert outbox.missing == []
                raise LedgerUnavailable("disk full")
            return ledger.record_not_inspected(missing)

    over = Full()
    worker, outbox = build(Numbered(1, 3), over=over)
    worker.run()
    assert over.tries == 3
    assert [one.trigger for one in _recorded(ledger)] == [one.trigger for one in outbox.missing] == [2]


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond it is counted and given up, and the rest is told."""
    monkeypatch.setattr(absent, "MOST", 3)
    parts = AbsentParts(LINE, ["left"], RULE)
    for number in range(5):
        parts.unjudged(Frame(f"p{number}", LINE, "left", 0.0, b""), "broken")
    assert [one.part_id for one in parts.take(0.0)] == ["p0", "p1", "p2"]
    assert (parts.lost, parts.take(0.0)) == (2, [])


def test_every_camera_name_makes_part_ids() -> None:
    """Of any length that line.yaml takes, with any number that a sender may give."""
    name = "a..b" + 59 * "c"
    parts = AbsentParts(LINE, [name], PartsRule(0.0, FailSafe.REJECT))
    for number in (10**18 - 3, 10**18 - 1):
        parts.arrived(Frame(f"p{number}", LINE, name, 1e9, b"", trigger=number))
    (one,) = parts.take(0.0)
    assert valid_part_id(one.part_id) and (one.camera, one.trigger) == (name, 10**18 - 2)
