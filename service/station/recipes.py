"""The recipes of the line over HTTP: which is in force, and the order for another, which the line's workers follow."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from service.recipes import orders_of, standing
from service.records import ModelOrder, RecordedOrder, Role
from service.station.access import HERE, Caller, allowed, note
from service.station.deps import Deps, Recipes
from service.station.oncall import Note

SHOWN = 50

router = APIRouter(tags=["recipes"])
Inspector = Annotated[Caller, Depends(allowed("inspector"))]
Engineer = Annotated[Caller, Depends(allowed("engineer"))]


class Wanted(BaseModel):
    """The recipe that the line shall change over to."""

    model_config = ConfigDict(extra="forbid")

    line: str
    recipe: str
    note: Note = Field(default="")


@router.get("/v1/recipes")
def recipes(request: Request, who: Inspector) -> list[dict[str, Any]]:
    """The line's recipes, and its newest orders with what became of them, newest first. Without recipes: none."""
    deps: Deps = request.app.state.deps
    found = deps.recipes
    if found is None or not who.may_see(found.line):
        return []
    orders = orders_of(found.line, found.ledger)
    taken = standing(orders, found.known)
    in_force = taken.order.name if taken else found.configured
    known = [
        {
            "recipe": name,
            "line": f"{found.line}:{name}",
            "number": number,
            "product": product,
            "in_force": name == in_force,
        }
        for name, (number, product) in found.known.items()
    ]
    return [{"line": found.line, "recipes": known, "orders": [_view(one) for one in reversed(orders[-SHOWN:])]}]


@router.post("/v1/recipes", status_code=202)
def use(request: Request, who: Engineer, body: Wanted) -> dict[str, Any]:
    """Orders another recipe: durable when answered with 202. What became of it, GET says: `outcome` is taken or refused, null while nobody
    has answered. 404 for another line, 422 for a recipe that there is not."""
    found = _of_line(request, who, body.line)
    if body.recipe not in found.known:
        raise HTTPException(422, f"recipe {body.recipe[:40]!r}: expected one of {', '.join(found.known)}")
    order = ModelOrder(found.line, Role.RECIPE, "", body.recipe, who.name or HERE, body.note)
    recorded = found.ledger.order_model(order)
    note(request, who, "ordered a recipe", f"{found.line}, {body.recipe}")
    return _view(recorded)


def _of_line(request: Request, who: Caller, line: str) -> Recipes:
    deps: Deps = request.app.state.deps
    if deps.recipes is None or deps.recipes.line != line or not who.may_see(line):
        raise HTTPException(404, "there is no such line, or it has no recipes")
    return deps.recipes


def _view(recorded: RecordedOrder) -> dict[str, Any]:
    order = recorded.order
    return {
        "order": recorded.sequence,
        "recipe": order.name,
        "ordered_at": recorded.recorded_at,
        "by": order.by,
        "note": order.note,
        "outcome": None if recorded.open else recorded.outcome,
        "why": recorded.why,
    }
