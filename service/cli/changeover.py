"""A worker of a line with recipes: judges under one, drains, goes on under the next; and what is said of that."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from threading import Event, Thread
from typing import TypeVar

import structlog
from prometheus_client import CollectorRegistry, Metric

from exporters.worker import tell_recipe
from service.cli import building, judging
from service.errors import InvalidInput, LedgerUnavailable
from service.orders import LOOK_EVERY, check_defects
from service.recipes import Changeover, Controls, orders_of, standing
from service.settings import Settings
from service.thresholds import WatchedThresholds
from service.worker import Worker

log = structlog.get_logger()

T = TypeVar("T")


class Shown(CollectorRegistry):
    """What the worker of the moment measures: that of the recipe before is over, and its series with it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = CollectorRegistry()

    def collect(self) -> Iterator[Metric]:
        yield from self.now.collect()


class Running:
    """The worker of the moment, for whoever stops it."""

    def __init__(self) -> None:
        self.stopped = Event()
        self._worker: Worker | None = None

    def stop(self) -> None:
        """For good."""
        self.stopped.set()
        if self._worker is not None:
            self._worker.stop()

    def run(self, worker: Worker) -> None:
        """Blocks until it is drained."""
        self._worker = worker
        if self.stopped.is_set():
            worker.stop()
        worker.run()


def run(settings: Settings, shown: Shown, running: Running, alive: Callable[[], None]) -> None:
    """Blocks until the cameras end or `running` is stopped. Raises InvalidInput where the line cannot begin."""
    from service.ledger.store import open_ledger

    with closing(open_ledger(settings.ledger, time.time)) as ledger:
        begun = standing(orders_of(settings.line, ledger), settings.recipes)
        change = Changeover(
            settings.line,
            f"{socket.gethostname()}-{os.getpid()}",
            ledger,
            settings.recipes,
            begun.order.name if begun else settings.recipe,
            lambda recipe: why_not(settings.under(recipe)),
            time.time,
            Controls({one.number: name for name, one in settings.recipes.items() if one.number is not None}),
        )
        while True:
            due = change.due
            try:
                if not _judged(settings, change, shown, running, alive) or running.stopped.is_set():
                    return
            except InvalidInput as error:
                if due is None:
                    raise
                _told(running, partial(change.fail, due, str(error)))


def _judged(settings: Settings, change: Changeover, shown: Shown, running: Running, alive: Callable[[], None]) -> bool:
    """Under the recipe that is due, or the present one, until it ends; whether another is to follow."""
    due = change.due
    shown.now = CollectorRegistry()
    recipe = due.order.name if due else change.recipe
    tell_recipe(shown.now, settings.line, recipe, settings.recipes[recipe].product)
    under = settings.under(recipe)
    change.controls.number = settings.recipes[recipe].number or 0
    with building.worker(under, shown.now, alive, change.controls) as worker:
        if due is not None and not _told(running, partial(change.settle, due)):
            return True
        with _following(change, worker.leave):
            running.run(worker)
    return change.due is not None


def _told(running: Running, answer: Callable[[], T]) -> T:
    """Once the ledger takes it: until then nothing is judged under a recipe that nobody may know of. Raises LedgerUnavailable when stopped."""
    while True:
        try:
            return answer()
        except LedgerUnavailable as error:
            log.warning("recipe not answered", why=str(error))
            if running.stopped.wait(LOOK_EVERY):
                raise


@contextmanager
def _following(change: Changeover, leave: Callable[[], None]) -> Iterator[None]:
    ended = Event()
    thread = Thread(target=change.follow, args=(leave, ended), name="recipe orders", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def why_not(under: Settings) -> str:
    """Why a line cannot go on under a recipe, as far as that shows while another judges: its model, the gate, thresholds.yaml. "" where it can."""
    try:
        model, _ = judging.would_begin(under)
        check_defects(WatchedThresholds(under.thresholds)(), under.line, model.info)
    except InvalidInput as error:
        return str(error)
    return ""
