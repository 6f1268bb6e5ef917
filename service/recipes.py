"""Follows the orders for another recipe of a line: when a worker has to change over, and what it answers.

An order is in the ledger before anything changes, with its answer afterwards. What can be known of a recipe beforehand is looked at while the old one
still judges; only then the line is drained, and goes on under the other between two parts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from threading import Event

import structlog

from service.errors import LedgerUnavailable
from service.orders import DEAD_AFTER, LOOK_EVERY, TRIES
from service.ports import Clock, ModelLedger
from service.records import ModelAnswer, ModelOrder, RecordedOrder, Role, Taken

log = structlog.get_logger()


def orders_of(line: str, ledger: ModelLedger) -> Sequence[RecordedOrder]:
    """Those for a recipe, oldest first. Raises LedgerUnavailable."""
    return [one for one in ledger.model_orders(line) if one.order.role is Role.RECIPE]


def standing(orders: Iterable[RecordedOrder], known: Collection[str]) -> RecordedOrder | None:
    """The newest that was taken, of a recipe that there still is."""
    taken = [one for one in orders if one.outcome is Taken.TAKEN and one.order.name in known]
    return taken[-1] if taken else None


@dataclass(slots=True)
class Controls:
    """The numbers by which the line's controls ask for recipes; fulfils releases.floor.RecipeControls. numbers: of each recipe that has one.
    number: of the one in force."""

    numbers: Mapping[int, str]
    number: int = 0
    asked: SimpleQueue[tuple[str, str]] = field(default_factory=SimpleQueue)
    """(who asks, recipe), for the worker's next look."""
    _stands: dict[str, int] = field(default_factory=dict)

    def wanted(self, release: str, number: int) -> None:
        """A number asks when it comes to stand there: what stood there at the start has been answered, or the line is as somebody else wants it."""
        before = self._stands.get(release, number)
        self._stands[release] = number
        if number in (before, 0):
            return
        if number in self.numbers:
            self.asked.put((release, self.numbers[number]))
        else:
            log.error("no recipe has this number", release=release, number=number)


@dataclass(slots=True)
class Changeover:
    """Of one worker of the line. recipe: under which it judges. fits: why the line cannot go on under another, as far as that shows before; ""
    where it can."""

    line: str
    worker: str
    ledger: ModelLedger
    recipes: Collection[str]
    recipe: str
    fits: Callable[[str], str]
    clock: Clock
    controls: Controls = field(default_factory=lambda: Controls({}))
    due: RecordedOrder | None = None
    """By which the line is to change over, once it is drained."""
    _unable: set[int] = field(default_factory=set)

    def follow(self, leave: Callable[[], None], ended: Event) -> None:
        """Looks every second until `ended`, or until a change is due: then calls `leave`."""
        while not ended.wait(LOOK_EVERY):
            try:
                self.look()
            except LedgerUnavailable as error:
                log.warning("recipe orders not followed", line=self.line, why=str(error))
            if self.due is not None:
                leave()
                return

    def look(self) -> None:
        """Answers what can be answered at once, oldest first; what asks for another recipe is due. Raises LedgerUnavailable."""
        self._order_what_controls_ask()
        orders = orders_of(self.line, self.ledger)
        wanted = standing(orders, self.recipes)
        if wanted is not None and wanted.order.name != self.recipe and wanted.sequence not in self._unable:
            self.due = wanted  # another worker of the line has taken it
            return
        for recorded in (one for one in orders if one.open):
            name = recorded.order.name
            if name == self.recipe:
                self._answer(recorded, Taken.TAKEN)
            elif name not in self.recipes:
                self._answer(recorded, Taken.REFUSED, f"no recipe {name}; there are {', '.join(self.recipes)}")
            elif (trying := self._tried(recorded)) is None:
                continue
            elif why := self.fits(name):
                self._answer(trying, Taken.REFUSED, why)
            else:
                self.due = trying
                return

    def _order_what_controls_ask(self) -> None:
        """Of several workers that are asked the same, one orders it."""
        while not self.controls.asked.empty():
            release, recipe = asked = self.controls.asked.get()
            try:
                waiting = {one.order.name for one in orders_of(self.line, self.ledger) if one.open}
                if recipe not in (self.recipe, *waiting):
                    self.ledger.order_model(ModelOrder(self.line, Role.RECIPE, "", recipe, release))
            except LedgerUnavailable:
                self.controls.asked.put(asked)
                raise

    def _tried(self, recorded: RecordedOrder) -> RecordedOrder | None:
        """Says that it is tried from now on: it may take the worker down. None: it is not to be."""
        trying = [one.worker for one in recorded.answers if one.outcome is Taken.TRYING]
        if trying and trying[-1] in self._others():
            return None
        if len(trying) >= TRIES:
            self._answer(recorded, Taken.REFUSED, f"{TRIES} workers have ended over it")
            return None
        return self._answer(recorded, Taken.TRYING)

    def _others(self) -> set[str]:
        """The line's other workers, as far as they give signs of life."""
        since = self.clock() - DEAD_AFTER
        _, _, beats = self.ledger.line_state()
        alive = (
            one for one in beats if one.line.startswith(f"{self.line}:") and one.seen_at > since and not one.stopped
        )
        return {one.worker for one in alive} - {self.worker}

    def settle(self, recorded: RecordedOrder) -> bool:
        """The line stands ready under the recipe of this order: whether it is to go on so. Raises LedgerUnavailable."""
        while recorded.open and self._answer(recorded, Taken.TAKEN) is None:
            recorded = next(one for one in orders_of(self.line, self.ledger) if one.sequence == recorded.sequence)
        self.due = None
        if not recorded.open and recorded.outcome is not Taken.TAKEN:
            return False
        self.recipe = recorded.order.name
        return True

    def fail(self, recorded: RecordedOrder, why: str) -> None:
        """The line cannot go on under it after all: refused, or, where another worker has taken it, by this one alone. Raises LedgerUnavailable."""
        self._unable.add(recorded.sequence)
        self.due = None
        self._answer(recorded, Taken.REFUSED if recorded.open else Taken.UNABLE, why)

    def _answer(self, recorded: RecordedOrder, outcome: Taken, why: str = "") -> RecordedOrder | None:
        """The order with its answer; None, and nothing is said, where another worker has answered since it was read."""
        answer = ModelAnswer(recorded.sequence, self.line, self.worker, outcome, why)
        if not self.ledger.answer_order(answer, len(recorded.answers)):
            return None
        say = log.error if outcome in (Taken.REFUSED, Taken.UNABLE) else log.info
        say("recipe", line=self.line, recipe=recorded.order.name, outcome=outcome, why=why)
        return replace(recorded, answers=(*recorded.answers, answer))
