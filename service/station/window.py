"""What the figures of a window are made of: its misses as a gallery, and what parts were against what the model said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from service.quality.truth import opinions
from service.records import ALL, LineSnapshot, RecordedLabel, RecordedVerdict
from service.station.access import Caller
from service.station.deps import Deps
from service.station.pages import EngineerVisitor, templates

router = APIRouter(include_in_schema=False)

SHOWN: Final = 120


@dataclass(frozen=True, slots=True)
class Inside:
    """A labelled part of a window. actual: what it is taken for, None while that is open. weight: how many parts of the window
    it stands for, 0 for one that nobody drew."""

    part: RecordedVerdict
    labels: Sequence[RecordedLabel]
    actual: str | None
    weight: float


@dataclass(frozen=True, slots=True)
class Cell:
    """parts: as labelled; weighted: how many they stand for."""

    parts: int
    weighted: float


def inside(deps: Deps, line: str, window: str) -> list[Inside] | None:
    """The labelled parts that the window's figures count, in order of recording. None: there is no such line or window."""
    contents, settling = deps.monitor.contents(line, window), deps.monitor.settling(line)
    if contents is None or settling is None:
        return None
    if not contents.spans:
        return []
    rows = deps.ledger.labelled(line, contents.spans[0][0], contents.spans[-1][1])
    parts = [part for part in rows if contents.holds(part)]
    labels = deps.ledger.labels([part.verdict.part_id for part in parts])
    found = []
    for part in parts:
        said = labels.get(part.verdict.part_id, ())
        found.append(Inside(part, said, settling.actual(part.verdict, said), contents.weight(part.verdict)))
    return found


def accounts(labels: Mapping[str, Sequence[RecordedLabel]]) -> dict[str, list[str]]:
    """What inspectors say of each part now, one "NAME: word" for each."""
    return {
        part_id: [f"{inspector}: {word}" for inspector, word in opinions(rows).items()]
        for part_id, rows in labels.items()
    }


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The line and window of a page, and what may be chosen instead."""

    line: LineSnapshot
    lines: list[str]
    window: str
    windows: list[str]
    defect: str


def _chosen(request: Request, who: Caller, line: str, window: str, defect: str = ALL) -> _Chosen | None:
    """What was asked for, or else the first there is; None where no line has written yet. Raises HTTPException 404."""
    snapshot = request.app.state.snapshots()
    lines = {one.line: one for one in snapshot.lines.values() if who.may_see(one.line)}
    if not lines:
        return None
    found = lines.get(line or next(iter(lines)))
    windows = list(dict.fromkeys(row.window for row in found.quality)) if found else []
    if found is None or (window and window not in windows) or defect not in found.defects:
        raise HTTPException(404, "there is no such line, window or defect")
    return _Chosen(found, list(lines), window or windows[0], windows, defect)


@router.get("/misses", response_class=HTMLResponse)
def misses(request: Request, who: EngineerVisitor, line: str = "", defect: str = ALL, window: str = "") -> Response:
    """The escapes of a window that are known, those that stand for most parts first."""
    chosen = _chosen(request, who, line, window, defect)
    found, good = _found(request, chosen)
    bad = [one for one in found if one.actual not in (None, good) and defect in (ALL, one.actual)]
    escaped = [one for one in bad if not one.part.verdict.flagged]
    escaped.sort(key=lambda one: (one.weight, one.part.ordinal), reverse=True)
    waiting = [one for one in found if one.actual is None and not one.part.verdict.flagged]
    context = {
        "chosen": chosen,
        "misses": escaped[:SHOWN],
        "count": len(escaped),
        "audited": sum(one.weight > 0 for one in escaped),
        "stand_for": sum(one.weight for one in escaped),
        "caught": len(bad) - len(escaped),
        "open": sum(any(word != good for word in opinions(one.labels).values()) for one in waiting),
        "said": accounts({one.part.verdict.part_id: one.labels for one in escaped[:SHOWN]}),
    }
    return templates.TemplateResponse(request, "misses.html", context)


@router.get("/confusion", response_class=HTMLResponse)
def confusion(request: Request, who: EngineerVisitor, line: str = "", window: str = "") -> Response:
    """What labelled parts are against what the model said of them; each cell leads to its parts."""
    chosen = _chosen(request, who, line, window)
    found, good = _found(request, chosen)
    cells: dict[tuple[str, str], Cell] = {}
    for one in found:
        if one.actual is not None and one.weight:
            pair = one.actual, one.part.verdict.predicted
            before = cells.get(pair, Cell(0, 0.0))
            cells[pair] = Cell(before.parts + 1, before.weighted + one.weight)
    classes = chosen.line.models[0].classes if chosen and chosen.line.models else ()
    context = {
        "chosen": chosen,
        "words": list(dict.fromkeys([*classes, *(word for pair in cells for word in pair)])),
        "cells": cells,
        "good": good,
        "open": sum(one.actual is None for one in found),
        "returns": sum(one.actual is not None and not one.weight for one in found),
    }
    return templates.TemplateResponse(request, "confusion.html", context)


def _found(request: Request, chosen: _Chosen | None) -> tuple[list[Inside], str]:
    """What lies in the chosen window, and the class that is no defect."""
    if chosen is None:
        return [], "good"
    deps: Deps = request.app.state.deps
    settling = deps.monitor.settling(chosen.line.line)
    return inside(deps, chosen.line.line, chosen.window) or [], settling.good if settling else "good"
