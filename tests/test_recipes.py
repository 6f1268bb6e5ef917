"""Orders for another recipe: what a worker answers at once, what it changes over by, and what becomes of several workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.ledger.store import SqlLedger, open_ledger
from service.orders import TRIES
from service.recipes import Changeover, Controls, orders_of, standing
from service.records import Heartbeat, ModelOrder, RecordedOrder, Role, Taken

LINE, RECIPES = "cells", ("blue", "red")
NOW = 2000.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", lambda: NOW)) as opened:
        yield opened


Workers = Callable[..., Changeover]


@pytest.fixture
def worker(ledger: SqlLedger) -> Workers:
    """Under blue."""

    def make(name: str = "w", fits: Callable[[str], str] = lambda _: "") -> Changeover:
        return Changeover(LINE, name, ledger, RECIPES, "blue", fits, lambda: NOW)

    return make


def order(ledger: SqlLedger, recipe: str) -> int:
    return ledger.order_model(ModelOrder(LINE, Role.RECIPE, "", recipe, "eva")).sequence


def newest(ledger: SqlLedger) -> RecordedOrder:
    return orders_of(LINE, ledger)[-1]


def test_a_recipe_that_fits_is_due_and_taken_once_the_line_stands_ready(ledger: SqlLedger, worker: Workers) -> None:
    """While it is tried the order is open: nobody else may take it for done."""
    order(ledger, "red")
    one = worker()
    one.look()
    assert one.due is not None and newest(ledger).open and one.recipe == "blue"
    assert one.settle(one.due)
    assert (one.recipe, one.due, newest(ledger).outcome) == ("red", None, Taken.TAKEN)
    found = standing(orders_of(LINE, ledger), RECIPES)
    assert found is not None and found.order.name == "red"


@pytest.mark.parametrize(
    ("recipe", "outcome", "why"),
    [
        ("green", Taken.REFUSED, "no recipe green; there are blue, red"),
        ("blue", Taken.TAKEN, ""),
        ("red", Taken.REFUSED, "broken"),
    ],
)
def test_what_can_be_answered_at_once_changes_nothing(
    ledger: SqlLedger, worker: Workers, recipe: str, outcome: Taken, why: str
) -> None:
    """One that there is not, one that is in force, one whose model does not load."""
    order(ledger, recipe)
    one = worker(fits=lambda _: "broken")
    one.look()
    assert (one.due, one.recipe) == (None, "blue")
    assert (newest(ledger).outcome, newest(ledger).why) == (outcome, why)


def test_what_a_camera_refuses_is_refused_and_the_old_recipe_goes_on(ledger: SqlLedger, worker: Workers) -> None:
    order(ledger, "red")
    one = worker()
    one.look()
    assert one.due is not None
    one.fail(one.due, "camera top: exposure=9m")
    assert (one.recipe, one.due) == ("blue", None)
    assert (newest(ledger).outcome, newest(ledger).why) == (Taken.REFUSED, "camera top: exposure=9m")
    one.look()
    assert one.due is None, "an order is obeyed once"


def test_the_others_of_the_line_follow_the_one_that_tried(ledger: SqlLedger, worker: Workers) -> None:
    """While it tries they wait; once it is taken they change over; one that cannot says so for itself, and goes on as it was."""
    order(ledger, "red")
    first, second, third = worker("first"), worker("second"), worker("third")
    first.look()
    ledger.beat(Heartbeat(f"{LINE}:blue", "first", 0.0, NOW, False))
    second.look()
    assert second.due is None
    assert first.due is not None and first.settle(first.due)
    for one in (second, third):
        one.look()
        assert one.due is not None
    assert second.due is not None and second.settle(second.due) and second.recipe == "red"
    assert third.due is not None
    third.fail(third.due, "no such file")
    third.look()
    assert (third.recipe, third.due) == ("blue", None)
    assert newest(ledger).outcome is Taken.TAKEN and newest(ledger).unable == {"third": "no such file"}


def test_another_that_refused_it_meanwhile_is_heard(ledger: SqlLedger, worker: Workers) -> None:
    """Both have tried it: the first answer counts for both."""
    order(ledger, "red")
    first, second = worker("first"), worker("second")
    first.look()
    second.look()
    assert first.due is not None and second.due is not None
    second.fail(second.due, "its camera")
    assert not first.settle(first.due)
    assert (first.recipe, newest(ledger).outcome) == ("blue", Taken.REFUSED)


def test_a_number_asks_when_it_comes_to_stand_in_the_controls(ledger: SqlLedger, worker: Workers) -> None:
    """What stood there at the start asks for nothing, nor does 0, a number of no recipe, or one that is in force; the same twice is one order."""
    one = worker()
    one.controls = Controls({1: "blue", 2: "red"})
    for number in (2, 2, 0, 9, 1):
        one.controls.wanted("modbus://plc", number)
    one.look()
    assert orders_of(LINE, ledger) == []
    for number in (2, 0, 2):
        one.controls.wanted("modbus://plc", number)
    one.look()
    assert [(each.order.name, each.order.by) for each in orders_of(LINE, ledger)] == [("red", "modbus://plc")]
    assert one.due is not None


def test_no_recipe_keeps_the_line_down(ledger: SqlLedger, worker: Workers) -> None:
    """Workers end over it, one after the other, without an answer: the next one refuses it."""
    order(ledger, "red")
    for number in range(TRIES):
        dying = worker(f"w{number}")
        dying.look()
        assert dying.due is not None
    last = worker("last")
    last.look()
    assert last.due is None and newest(ledger).why == f"{TRIES} workers have ended over it"
