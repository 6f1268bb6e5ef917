"""Follows the model orders of a line: which model begins, and how another takes its place while the line runs.

Another model is loaded and warm before anything changes, and the ledger knows of it before it judges. Whatever is wrong with
it, the one that judges goes on, and the answer in the ledger says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Event

import numpy as np
import structlog

from service.errors import InvalidInput, LedgerUnavailable
from service.inspection import Inspection, in_force
from service.judges import Judges, Shadow
from service.ports import Clock, DetectorInfo, Meter, ModelLedger
from service.records import ModelAnswer, ModelInForce, RecordedOrder, Role, Taken
from service.thresholds import Thresholds

log = structlog.get_logger()

LOOK_EVERY = 1.0
TRIES = 3
"""So often a worker may end over one order before the next worker refuses it: no model may keep the line down."""


@dataclass(frozen=True, slots=True)
class Orders:
    """The orders of one line as one worker sees them. load(digest, role): a model of the models folder, verified, admitted and
    warm; raises InvalidInput."""

    line: str
    worker: str
    ledger: ModelLedger
    load: Callable[[str, Role], Inspection]
    thresholds: Callable[[], Thresholds]
    meter: Meter
    clock: Clock
    batch_size: int = 16

    def all(self) -> Sequence[RecordedOrder]:
        return self.ledger.model_orders(self.line)

    def first(self, configured: Callable[[], Inspection]) -> Inspection:
        """The model to begin with: the newest order that was taken wins over the configured one; where its file has gone or
        broken, the one before. Raises LedgerUnavailable, and InvalidInput for the configured one."""
        for recorded in standing(self.all()):
            loaded = self.loaded(recorded)
            if isinstance(loaded, Inspection):
                log.info("an order wins over the configured model", model=loaded.info.name, digest=loaded.info.digest)
                return loaded
            self.answer(recorded, Taken.REFUSED, loaded)
        return configured()

    def loaded(self, recorded: RecordedOrder) -> Inspection | str:
        """The model, warm; or why it cannot judge here. Memory for a whole batch is taken now, not at the first one.

        What thresholds.yaml asks of models is asked once: a later edit of it must not change the model at a restart.
        """
        try:
            loaded = self.load(recorded.order.digest, recorded.order.role)
            if recorded.open:
                check_defects(self.thresholds(), self.line, loaded.info)
            black = loaded.detector.fit(np.zeros((8, 8, 3), np.uint8))
            list(loaded.opinions(np.stack([black] * self.batch_size)))
        except InvalidInput as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common base, and none may reach the line
            return " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return loaded

    def take(self, recorded: RecordedOrder, loaded: Inspection) -> None:
        """In force from now on: one transaction."""
        model = in_force(self.line, loaded.info, self.clock(), recorded.order.role)
        self.answer(recorded, Taken.TAKEN, model=model)

    def answer(self, recorded: RecordedOrder, outcome: Taken, why: str = "", model: ModelInForce | None = None) -> None:
        """Ledger, metric and log say the same. Raises LedgerUnavailable."""
        order = recorded.order
        self.ledger.answer_order(ModelAnswer(recorded.sequence, self.line, self.worker, outcome, why), model)
        if outcome in (Taken.TAKEN, Taken.REFUSED):
            self.meter.swapped(order.role, outcome)
        tell = log.error if outcome is Taken.REFUSED else log.info
        tell("model order", role=order.role, model=order.name, digest=order.digest, outcome=outcome, why=why)


class OrderFollower:
    """Does what is ordered while the line runs. One per worker, in a thread of its own."""

    def __init__(self, orders: Orders, judges: Judges) -> None:
        self._orders = orders
        self._judges = judges
        self._trying: int | None = None
        self._shadowing: RecordedOrder | None = None
        self._resumed = False

    def follow(self, ended: Event) -> None:
        """Looks every second until `ended`, then lets the shadow finish."""
        while not ended.wait(LOOK_EVERY):
            try:
                self.look()
            except LedgerUnavailable as error:
                log.warning("model orders not followed", line=self._orders.line, why=str(error))
        if self._judges.shadow is not None:
            self._judges.shadow.close()

    def look(self) -> None:
        """Does what is ordered and not answered yet, oldest first. Raises LedgerUnavailable: then it is done next time."""
        orders = self._orders.all()
        if not self._resumed:
            self._resume(orders)
        for recorded in orders:
            if recorded.open:
                self._obey(recorded)
        shadow = self._judges.shadow
        if shadow is not None and shadow.failure:
            self._end_shadow(shadow.failure)
        elif shadow is not None and shadow.inspection.info.digest == self._judges.active.info.digest:
            self._end_shadow("it has the say now")

    def _resume(self, orders: Sequence[RecordedOrder]) -> None:
        """A shadow that was in force when the last worker ended goes on."""
        over = (Taken.TAKEN, Taken.ENDED)
        last = next(
            (one for one in reversed(orders) if one.order.role is not Role.ACTIVE and one.outcome in over), None
        )
        if last is not None and (last.order.role, last.outcome) == (Role.SHADOW, Taken.TAKEN):
            self._shadowing = last
            loaded = self._orders.loaded(last)
            if isinstance(loaded, str):
                self._end_shadow(loaded)
            else:
                self._start_shadow(loaded)
        self._resumed = True

    def _obey(self, recorded: RecordedOrder) -> None:
        role = recorded.order.role
        if role is Role.NONE:
            self._end_shadow("somebody ended it")
            self._orders.answer(recorded, Taken.TAKEN)
            return
        loaded = self._loaded(recorded)
        if isinstance(loaded, str):
            self._orders.answer(recorded, Taken.REFUSED, loaded)
        elif role is Role.ACTIVE:
            # The ledger first: no part may bear the name of a model that it does not know.
            self._orders.take(recorded, loaded)
            self._judges.active = loaded
            self._orders.meter.gated(loaded.info.gated)
        else:
            self._end_shadow("another one takes its place")
            self._orders.take(recorded, loaded)
            self._shadowing = recorded
            self._start_shadow(loaded)

    def _loaded(self, recorded: RecordedOrder) -> Inspection | str:
        """The ledger knows that it is being tried before the file is touched."""
        order = recorded.order
        if order.role is Role.SHADOW and order.digest == self._judges.active.info.digest:
            return "it is the model that has the say"
        if self._trying != recorded.sequence:
            if len(recorded.answers) >= TRIES:
                return f"{TRIES} workers ended while they loaded it"
            self._orders.answer(recorded, Taken.TRYING)
            self._trying = recorded.sequence
        return self._orders.loaded(recorded)

    def _start_shadow(self, loaded: Inspection) -> None:
        self._judges.shadow = Shadow(loaded, self._orders.ledger, self._orders.meter)

    def _end_shadow(self, why: str) -> None:
        """What it was offered is written before the ledger says that it is gone."""
        if self._shadowing is None:
            return
        if self._judges.shadow is not None:
            self._judges.shadow.close()
        at = self._orders
        gone = ModelInForce(at.line, "", "", (), "", {}, "", Role.SHADOW, at.clock())
        at.answer(self._shadowing, Taken.ENDED, why, gone)
        self._judges.shadow = self._shadowing = None


def check_defects(thresholds: Thresholds, line: str, info: DetectorInfo, file: str = "thresholds.yaml") -> None:
    """Raises InvalidInput when thresholds.yaml asks for a defect that the model does not know. file: to be named."""
    unknown = set(thresholds.line(line).defects) - set(info.decision_thresholds)
    if unknown:
        raise InvalidInput(
            f"{file}: lines.{line}.defects.{min(unknown)}: the model knows no such defect; "
            f"it knows {', '.join(info.decision_thresholds)}"
        )


def standing(orders: Iterable[RecordedOrder]) -> list[RecordedOrder]:
    """The orders that say which model a worker begins with, the first choice first."""
    taken = [one for one in orders if one.order.role is Role.ACTIVE and one.outcome is Taken.TAKEN]
    newest = {one.order.digest: one for one in taken}
    return [newest[digest] for digest in ways_back(one.order.digest for one in taken)]


def ways_back(history: Iterable[str]) -> list[str]:
    """The models that one can go back to, the present one first. Going back to a model forgets those that came after it, so
    that going back twice never leads forward again.

    >>> ways_back(["a", "b", "c", "b"])
    ['b', 'a']
    """
    way: list[str] = []
    for digest in history:
        if digest in way:
            del way[way.index(digest) + 1 :]
        else:
            way.append(digest)
    return way[::-1]
