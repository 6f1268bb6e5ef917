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
"""So often a worker may die over one order before the next worker refuses it: no model may keep the line down."""


@dataclass(frozen=True, slots=True)
class Following:
    """What it takes. load(digest, role): a model of the models folder, verified and admitted; raises InvalidInput."""

    line: str
    worker: str
    ledger: ModelLedger
    load: Callable[[str, Role], Inspection]
    thresholds: Callable[[], Thresholds]
    meter: Meter
    clock: Clock
    batch_size: int = 16


class OrderFollower:
    """One per worker. `begin` first, then `follow` in a thread of its own."""

    def __init__(self, following: Following) -> None:
        self._at = following
        self._trying: int | None = None
        self._shadowing: RecordedOrder | None = None
        self._resumed = False

    def begin(self, configured: Callable[[], Inspection]) -> Judges:
        """The newest order that was taken wins over the configured model; one that cannot be loaded any more falls back."""
        at = self._at
        taken = [one for one in at.ledger.model_orders(at.line) if one.outcome is Taken.TAKEN]
        orders = {one.order.digest: one for one in taken if one.order.role is Role.ACTIVE}
        for digest in ways_back(one.order.digest for one in taken if one.order.role is Role.ACTIVE):
            loaded = self._loaded(orders[digest], resumed=True)
            if isinstance(loaded, Inspection):
                log.info("an order wins over the configured model", model=loaded.info.name, digest=digest)
                break
            self._answer(orders[digest], Taken.REFUSED, loaded)
        else:
            loaded = configured()
        self._judges = Judges(loaded)
        return self._judges

    def follow(self, ended: Event) -> None:
        """Looks every second until `ended`, then lets the shadow finish."""
        while not ended.wait(LOOK_EVERY):
            try:
                self.look()
            except LedgerUnavailable as error:
                log.warning("model orders not followed", line=self._at.line, why=str(error))
        if self._judges.shadow is not None:
            self._judges.shadow.close()

    def look(self) -> None:
        """Does what is ordered and not answered yet, oldest first. Raises LedgerUnavailable: then it is done next time."""
        orders = self._at.ledger.model_orders(self._at.line)
        if not self._resumed:
            self._resume(orders)
        shadow = self._judges.shadow
        if shadow is not None and shadow.failure:
            self._end_shadow(shadow.failure)
        for recorded in orders:
            if recorded.open:
                self._obey(recorded)

    def _resume(self, orders: Sequence[RecordedOrder]) -> None:
        """A shadow that was in force when the last worker ended goes on."""
        over = (Taken.TAKEN, Taken.ENDED)
        last = next(
            (one for one in reversed(orders) if one.order.role is not Role.ACTIVE and one.outcome in over), None
        )
        if last is not None and (last.order.role, last.outcome) == (Role.SHADOW, Taken.TAKEN):
            self._shadowing = last
            loaded = self._loaded(last, resumed=True)
            if isinstance(loaded, str):
                self._end_shadow(loaded)
            else:
                self._start_shadow(loaded)
        self._resumed = True

    def _obey(self, recorded: RecordedOrder) -> None:
        order = recorded.order
        if order.role is Role.NONE:
            self._end_shadow("somebody ended it")
            self._answer(recorded, Taken.TAKEN)
            return
        if self._trying != recorded.sequence:
            if len(recorded.answers) >= TRIES:
                self._answer(recorded, Taken.REFUSED, f"{TRIES} workers ended while they loaded it")
                return
            self._answer(recorded, Taken.TRYING)
            self._trying = recorded.sequence
        loaded = self._loaded(recorded)
        if isinstance(loaded, str):
            self._answer(recorded, Taken.REFUSED, loaded)
        elif order.role is Role.ACTIVE:
            self._activate(recorded, loaded)
        else:
            self._shadow(recorded, loaded)

    def _activate(self, recorded: RecordedOrder, loaded: Inspection) -> None:
        """The ledger first: a part never bears the name of a model that the ledger does not know."""
        self._answer(recorded, Taken.TAKEN, model=self._in_force(loaded, Role.ACTIVE))
        self._judges.active = loaded
        if self._shadowing is not None and self._shadowing.order.digest == loaded.info.digest:
            self._end_shadow("it has the say now")

    def _shadow(self, recorded: RecordedOrder, loaded: Inspection) -> None:
        self._end_shadow("another one takes its place")
        self._answer(recorded, Taken.TAKEN, model=self._in_force(loaded, Role.SHADOW))
        self._shadowing = recorded
        self._start_shadow(loaded)

    def _start_shadow(self, loaded: Inspection) -> None:
        self._judges.shadow = Shadow(loaded, self._at.ledger, self._at.meter)

    def _end_shadow(self, why: str) -> None:
        """What it was offered is written before the ledger says that it is gone."""
        if self._shadowing is None:
            return
        shadow, self._judges.shadow = self._judges.shadow, None
        if shadow is not None:
            shadow.close()
        gone = ModelInForce(self._at.line, "", "", (), "", {}, "", Role.SHADOW, self._at.clock())
        self._answer(self._shadowing, Taken.ENDED, why, gone)
        self._shadowing = None

    def _loaded(self, recorded: RecordedOrder, resumed: bool = False) -> Inspection | str:
        """The model, warm; or why it cannot judge here. Memory for a whole batch is taken now, not at the first one.

        resumed: it has judged before; what thresholds.yaml asks of models was asked then.
        """
        order = recorded.order
        if order.role is Role.SHADOW and order.digest == self._judges.active.info.digest:
            return "it is the model that has the say"
        try:
            loaded = self._at.load(order.digest, order.role)
            if not resumed:
                check_defects(self._at.thresholds(), self._at.line, loaded.info)
            black = loaded.detector.fit(np.zeros((8, 8, 3), np.uint8))
            list(loaded.opinions(np.stack([black] * self._at.batch_size)))
        except InvalidInput as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common base, and none may reach the line
            return " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return loaded

    def _in_force(self, loaded: Inspection, role: Role) -> ModelInForce:
        return in_force(self._at.line, loaded.info, self._at.clock(), role)

    def _answer(
        self, recorded: RecordedOrder, outcome: Taken, why: str = "", model: ModelInForce | None = None
    ) -> None:
        at, order = self._at, recorded.order
        at.ledger.answer_order(ModelAnswer(recorded.sequence, at.line, at.worker, outcome, why), model)
        if outcome in (Taken.TAKEN, Taken.REFUSED):
            at.meter.swapped(order.role, outcome)
        tell = log.error if outcome is Taken.REFUSED else log.info
        tell(
            "model order",
            line=at.line,
            role=order.role,
            model=order.name,
            digest=order.digest,
            outcome=outcome,
            why=why,
        )


def check_defects(thresholds: Thresholds, line: str, info: DetectorInfo, file: str = "thresholds.yaml") -> None:
    """Raises InvalidInput when thresholds.yaml asks for a defect that the model does not know. file: to be named."""
    unknown = set(thresholds.line(line).defects) - set(info.decision_thresholds)
    if unknown:
        raise InvalidInput(
            f"{file}: lines.{line}.defects.{min(unknown)}: the model knows no such defect; "
            f"it knows {', '.join(info.decision_thresholds)}"
        )


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
