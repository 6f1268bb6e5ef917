"""A line whose models are swapped: models made of brightness, by digest, and orders as the commands write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread

import cv2
import numpy as np
from numpy.typing import NDArray

from service.drawing import DrawPolicies
from service.errors import InvalidInput, LedgerUnavailable
from service.inspection import Inspection, in_force
from service.judges import Judges
from service.ledger.images import FolderImages
from service.ledger.store import SqlLedger
from service.orders import OrderFollower, Orders
from service.ports import ModelLedger
from service.records import Frame, Image, ModelAnswer, ModelInForce, ModelOrder, RecordedOrder, Role, Taken, Verdict
from service.thresholds import parse
from service.worker import Line, Worker
from tests.line import INFO, LINE, Brightness, Counts, Playlist, picture

OLD, NEW, THIRD = "a" * 64, "b" * 64, "c" * 64
DARK, BRIGHT = picture(0.1), picture(0.9)
THRESHOLDS = parse("defaults: {audit: {budget: 0.3}}")


class Model(Brightness):
    """Brightness of a digest, and of a size that only fits itself. before: what happens before it judges."""

    def __init__(self, digest: str, size: int, before: Callable[[int], object] = lambda parts: None) -> None:
        self.info = replace(INFO, digest=digest, name=f"size{size}")
        self._size = size
        self._before = before

    def fit(self, image: Image) -> NDArray[np.uint8]:
        return cv2.resize(image, (self._size, self._size), interpolation=cv2.INTER_AREA)

    def judge(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert batch.shape[1:3] == (self._size, self._size), "fitted for another model"
        self._before(len(batch))
        return super().judge(batch)


class Outbox:
    """A release that remembers."""

    def __init__(self) -> None:
        self.sent: list[Verdict] = []

    def release(self, verdicts: Sequence[Verdict]) -> None:
        self.sent += verdicts

    def close(self) -> None:
        pass


class Full:
    """A ledger that cannot write answers of one kind."""

    def __init__(self, ledger: SqlLedger, refuses: Taken | None = None) -> None:
        self.refuses = refuses
        self._ledger = ledger
        self.order_model, self.record_shadow = ledger.order_model, ledger.record_shadow
        self.model_orders, self.line_state = ledger.model_orders, ledger.line_state

    def answer_order(self, answer: ModelAnswer, seen: int, model: ModelInForce | None = None) -> bool:
        if answer.outcome is self.refuses:
            raise LedgerUnavailable("disk full")
        return self._ledger.answer_order(answer, seen, model)


class Cued(Playlist):
    """Plays dark parts, and does something before some of them."""

    def __init__(self, parts: int, cues: dict[int, Callable[[], object]]) -> None:
        super().__init__([(f"p{number}", BRIGHT if number % 5 == 0 else DARK) for number in range(parts)])
        self._cues = cues

    def frames(self, stopping: Event) -> Iterator[Frame]:
        for number, frame in enumerate(super().frames(stopping)):
            self._cues.get(number, lambda: None)()
            yield frame


@dataclass
class Stage:
    """The line with its ledger and models folder. models: what can be loaded, by digest; an exception is raised instead."""

    ledger: SqlLedger
    folder: Path
    models: dict[str, Model | Exception] = field(default_factory=lambda: {OLD: Model(OLD, 4), NEW: Model(NEW, 6)})
    loads: list[str] = field(default_factory=list)
    meter: Counts = field(default_factory=Counts)
    outbox: Outbox = field(default_factory=Outbox)
    thresholds: str = "defaults: {audit: {budget: 0.3}}"

    def load(self, digest: str, role: Role = Role.ACTIVE) -> Inspection:
        self.loads.append(digest)
        found = self.models.get(digest, InvalidInput(f"{digest}: there is no such file"))
        if isinstance(found, Exception):
            raise found
        return Inspection(found, b"k" * 32)

    def start(self, ledger: ModelLedger | None = None, worker: str = "w1") -> tuple[OrderFollower, Judges]:
        """As a worker that has just started, with OLD in its line.yaml."""
        rules = parse(self.thresholds)
        orders = Orders(LINE, worker, ledger or self.ledger, self.load, lambda: rules, self.meter, lambda: 2000.0, 4)
        judges = Judges(orders.first(lambda: self.load(OLD)))
        self.ledger.register(in_force(LINE, judges.active.info, 2000.0))
        return OrderFollower(orders, judges), judges

    def order(self, digest: str, role: Role = Role.ACTIVE) -> None:
        self.ledger.order_model(ModelOrder(LINE, role, digest, digest[:4], "eva"))

    @property
    def orders(self) -> list[RecordedOrder]:
        return list(self.ledger.model_orders(LINE))

    @property
    def said(self) -> list[tuple[str | None, str]]:
        """(outcome, why) of each order."""
        return [(one.outcome, one.why) for one in self.orders]

    def in_force(self, role: Role = Role.ACTIVE) -> list[str]:
        return [model.digest for model in self.ledger.line_state()[0] if model.role == role]

    def run(self, judges: Judges, camera: Playlist) -> None:
        """Runs the line until the camera's end."""
        self.worker(judges, camera).run()

    def worker(self, judges: Judges, camera: Playlist) -> Worker:
        info = judges.active.info
        line = Line(
            name=LINE,
            cameras=[camera],
            judges=judges,
            policies=DrawPolicies(LINE, self.ledger, lambda: THRESHOLDS, lambda: 2000.0, info),
            thresholds=lambda: THRESHOLDS,
            ledger=self.ledger,
            images=FolderImages(self.folder / "images", 10**6),
            releases=[self.outbox],
            meter=self.meter,
            clock=lambda: 2000.0,
            batch_size=4,
        )
        return Worker(line, "w1")

    def must_be_whole(self, parts: int) -> list[str]:
        """Each part recorded once and released as recorded, in the order of the camera. Returns who judged each."""
        rows = [row.verdict for row in self.ledger.parts_after(0, 10_000)]
        assert [row.part_id for row in rows] == [f"p{number}" for number in range(parts)]
        assert self.outbox.sent == rows
        assert [row.flagged for row in rows] == [number % 5 == 0 for number in range(parts)]
        return [row.model for row in rows]


def beside(follower: OrderFollower, until: Event) -> Thread:
    """Looks for orders again and again in a thread of its own, as a worker does every second."""

    def look() -> None:
        while not until.wait(0.005):
            follower.look()

    thread = Thread(target=look)
    thread.start()
    return thread


def wait_for(condition: Callable[[], object]) -> None:
    """The test's own time limit is the limit."""
    while not condition():
        Event().wait(0.005)
