"""Recipes over HTTP: who may see them, who may order another, and what is said of an order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.records import ModelAnswer, Taken
from service.station.deps import Recipes
from tests.line import LINE
from tests.station.conftest import Station

Start = Callable[..., Station]


@pytest.fixture
def station(start: Start) -> Station:
    """Of a line with two recipes."""
    station = start()
    known = {"blue": (1, "blue cells"), "red": (None, "")}
    deps = station.app.state.deps
    object.__setattr__(deps, "recipes", Recipes(LINE, known, "blue", station.ledger))
    return station


def test_an_engineer_orders_another_recipe_and_sees_what_became_of_it(station: Station) -> None:
    """Open until a worker has answered; then it is in force, and the trail says who it was."""
    client = station.client(station.token("eva", "engineer"))
    ordered = client.post("/v1/recipes", json={"line": LINE, "recipe": "red", "note": "shift 2"})
    assert ordered.status_code == 202
    assert (ordered.json()["by"], ordered.json()["outcome"]) == ("eva", None)
    (before,) = client.get("/v1/recipes").json()
    assert [(one["recipe"], one["number"], one["in_force"]) for one in before["recipes"]] == [
        ("blue", 1, True),
        ("red", None, False),
    ]
    station.ledger.answer_order(ModelAnswer(ordered.json()["order"], LINE, "w", Taken.TAKEN), 0)
    (after,) = client.get("/v1/recipes").json()
    assert [one["recipe"] for one in after["recipes"] if one["in_force"]] == ["red"]
    assert (after["orders"][0]["outcome"], after["orders"][0]["note"]) == ("taken", "shift 2")
    assert after["recipes"][1]["line"] == f"{LINE}:red"
    (deed,) = station.ledger.deeds(None, 1)
    assert (deed.deed.who, deed.deed.what) == ("eva", "ordered a recipe")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"line": LINE, "recipe": "green"}, 422, "expected one of blue, red"),
        ({"line": "elsewhere", "recipe": "red"}, 404, "no such line"),
        ({"line": LINE}, 422, "recipe"),
        ({"line": LINE, "recipe": "red", "note": "x\ny"}, 422, "note"),
    ],
)
def test_what_cannot_be_ordered_is_refused(station: Station, body: dict[str, str], status: int, said: str) -> None:
    answer = station.client(station.token("eva", "engineer")).post("/v1/recipes", json=body)
    assert answer.status_code == status and said in answer.text
    assert station.ledger.model_orders(LINE) == []


def test_who_has_other_lines_sees_none(station: Station) -> None:
    """Of a line that he may see, he sees every recipe's parts."""
    assert station.client(station.token("otto", "inspector", "b")).get("/v1/recipes").json() == []
    own = station.client(station.token("ines", "inspector", LINE))
    assert len(own.get("/v1/recipes").json()) == 1


def test_a_line_without_recipes_has_none(start: Start) -> None:
    client = (plain := start()).client(plain.token("eva", "engineer"))
    assert client.get("/v1/recipes").json() == []
    assert client.post("/v1/recipes", json={"line": LINE, "recipe": "red"}).status_code == 404
