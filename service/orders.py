"""Follows the model orders of a line: which model begins, and how another takes its place while the line runs, in all of its workers.

Another model is loaded and warm before anything changes, and the ledger knows of it before it judges. Whatever is wrong with
it, the one that judges goes on, and the answer in the ledger says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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
DEAD_AFTER = 30.0
"""Seconds without a sign of life after which another worker takes up what one was trying."""


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

    def others(self) -> set[str]:
        """The line's other workers, as far as they give signs of life."""
        since = self.clock() - DEAD_AFTER
        _, _, heartbeats = self.ledger.line_state()
        alive = (beat for beat in heartbeats if beat.line == self.line and beat.seen_at > since and not beat.stopped)
        return {beat.worker for beat in alive} - {self.worker}

    def first(self, configured: Callable[[], Inspection]) -> Inspection:
        """The model to begin with: the newest order that was taken wins over the configured one; where its file has gone or
        broken, the one before. Raises LedgerUnavailable, and InvalidInput for the configured one."""
        for recorded in standing(self.all()):
            loaded = self.loaded(recorded)
            if isinstance(loaded, Inspection):
                log.info("an order wins over the configured model", model=loaded.info.name, digest=loaded.info.digest)
                return loaded
            self.answer(recorded, Taken.UNABLE, loaded)
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

    def take(self, recorded: RecordedOrder, loaded: Inspection) -> RecordedOrder | None:
        """In force from now on: one transaction. As `answer`."""
        model = in_force(self.line, loaded.info, self.clock(), recorded.order.role)
        return self.answer(recorded, Taken.TAKEN, model=model)

    def end(self, recorded: RecordedOrder, why: str) -> None:
        """The shadow that was taken by this order judges no more."""
        gone = ModelInForce(self.line, "", "", (), "", {}, "", Role.SHADOW, self.clock())
        self.answer(recorded, Taken.ENDED, why, gone)

    def answer(
        self, recorded: RecordedOrder, outcome: Taken, why: str = "", model: ModelInForce | None = None
    ) -> RecordedOrder | None:
        """Ledger, metric and log say the same. Returns the order with its answer; None, and nothing is said, where another worker has
        answered since `recorded` was read. Raises LedgerUnavailable."""
        answer = ModelAnswer(recorded.sequence, self.line, self.worker, outcome, why)
        if not self.ledger.answer_order(answer, len(recorded.answers), model):
            return None
        self.tell(recorded, outcome, why)
        return replace(recorded, answers=(*recorded.answers, answer))

    def tell(self, recorded: RecordedOrder, outcome: Taken, why: str = "") -> None:
        """In metric and log alone."""
        order, bad = recorded.order, outcome in (Taken.REFUSED, Taken.UNABLE)
        if bad or outcome is Taken.TAKEN:
            self.meter.swapped(order.role, Taken.REFUSED if bad else outcome)
        say = log.error if bad else log.info
        say("model order", role=order.role, model=order.name, digest=order.digest, outcome=outcome, why=why)


class OrderFollower:
    """Does what is ordered while the line runs. One per worker, in a thread of its own.

    One worker of the line tries a model, and answers for all. The others judge with it once it is taken.
    """

    def __init__(self, orders: Orders, judges: Judges) -> None:
        self._orders = orders
        self._judges = judges
        self._trying: int | None = None
        self._shadowing: int | None = None

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
        """Does what others have answered, and what is ordered and not answered yet, oldest first. Raises LedgerUnavailable: then it is
        done next time."""
        while True:
            orders = self._orders.all()
            self._follow_active(orders)
            recorded = next((one for one in orders if one.open), None)
            if recorded is None or not self._obey(recorded, orders):
                break
        self._follow_shadow(orders)

    def _obey(self, recorded: RecordedOrder, orders: Sequence[RecordedOrder]) -> bool:
        """False: another worker is at it."""
        order, shadowing = recorded.order, shadow_order(orders)
        if order.role is Role.NONE:
            self._end_shadow(shadowing, "somebody ended it")
            self._orders.answer(recorded, Taken.TAKEN)
            return True
        tries = sum(answer.outcome is Taken.TRYING for answer in recorded.answers)
        if order.role is Role.SHADOW and order.digest == self._judges.active.info.digest:
            self._orders.answer(recorded, Taken.REFUSED, "it is the model that has the say")
            return True
        if self._trying != recorded.sequence:
            if tries and recorded.answers[-1].worker in self._orders.others():
                return False
            if tries >= TRIES:
                self._orders.answer(recorded, Taken.REFUSED, f"{TRIES} workers ended while they loaded it")
                return True
            # The ledger knows that it is being tried before the file is touched.
            trying = self._orders.answer(recorded, Taken.TRYING)
            if trying is None:
                return True
            self._trying, recorded = recorded.sequence, trying
        loaded = self._orders.loaded(recorded)
        if isinstance(loaded, str):
            self._orders.answer(recorded, Taken.REFUSED, loaded)
            return True
        if order.role is Role.SHADOW:
            self._end_shadow(shadowing, "another one takes its place")
        # The ledger first: no part may bear the name of a model that it does not know.
        if self._orders.take(recorded, loaded):
            self._begin(recorded, loaded)
        return True

    def _begin(self, recorded: RecordedOrder, loaded: Inspection) -> None:
        if recorded.order.role is Role.ACTIVE:
            self._judges.active = loaded
            self._orders.meter.gated(loaded.info.gated)
        else:
            self._shadowing = recorded.sequence
            self._judges.shadow = Shadow(loaded, self._orders.ledger, self._orders.meter)

    def _follow_active(self, orders: Sequence[RecordedOrder]) -> None:
        """What another worker has taken, or gone back to."""
        wanted = next(iter(standing(orders)), None)
        if wanted is not None and wanted.order.digest != self._judges.active.info.digest:
            self._join(wanted)

    def _follow_shadow(self, orders: Sequence[RecordedOrder]) -> None:
        """Also at the start: a shadow goes on after a restart."""
        wanted, shadow = shadow_order(orders), self._judges.shadow
        if wanted is not None and wanted.order.digest == self._judges.active.info.digest:
            self._end_shadow(wanted, "it has the say now")
        elif wanted is not None and shadow is not None and shadow.failure:
            self._end_shadow(wanted, shadow.failure)
        elif self._shadowing != (wanted and wanted.sequence):
            self._drop_shadow()
            if wanted is not None:
                self._join(wanted)

    def _join(self, recorded: RecordedOrder) -> None:
        """Judges with a model that the line has already. Where that cannot be here, others may go on with it; not with a shadow."""
        if self._orders.worker in recorded.unable:
            return
        loaded = self._orders.loaded(recorded)
        if not isinstance(loaded, str):
            self._begin(recorded, loaded)
            self._orders.tell(recorded, Taken.TAKEN)
        elif recorded.order.role is Role.ACTIVE:
            self._orders.answer(recorded, Taken.UNABLE, loaded)
        else:
            self._orders.end(recorded, loaded)

    def _end_shadow(self, recorded: RecordedOrder | None, why: str) -> None:
        """For all workers of the line. What it was offered is written before the ledger says that it is gone."""
        if recorded is None:
            return
        if self._judges.shadow is not None:
            self._judges.shadow.close()
        self._orders.end(recorded, why)
        self._drop_shadow()

    def _drop_shadow(self) -> None:
        if self._judges.shadow is not None:
            self._judges.shadow.close()
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


def shadow_order(orders: Sequence[RecordedOrder]) -> RecordedOrder | None:
    """The order by which a shadow judges beside, if one does."""
    over = (Taken.TAKEN, Taken.ENDED)
    last = next(
        (one for one in reversed(orders) if one.order.role in (Role.SHADOW, Role.NONE) and one.outcome in over), None
    )
    return last if last and (last.order.role, last.outcome) == (Role.SHADOW, Taken.TAKEN) else None


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
