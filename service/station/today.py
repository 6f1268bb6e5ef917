"""What `/` shows of each line, worst line first. It counts nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log1p
from typing import Any, Final

from service.ports import Wanted
from service.quality.paired import in_words
from service.records import (
    ALL,
    Comparison,
    Detector,
    EvidenceState,
    LineSnapshot,
    Page,
    Role,
    Snapshot,
    Source,
    State,
    WindowQuality,
)
from service.station import views
from service.station.deps import Deps

BAND_WIDTH: Final = 320
BAR_WIDTH: Final = 120
SILENT: Final = 60.0
"""Seconds behind the line's newest part from which on a camera is said to be silent."""
CAMERAS: Final = 12
GONE: Final = 7 * 86_400.0
"""Seconds behind it from which on a camera is taken to have been removed."""

WORDS: Final = {
    "PROVEN": "the lower limit is at or above the threshold",
    "BELOW": "the upper limit is under the threshold",
    "UNDECIDED": "the threshold lies within the limits",
    "UNKNOWN": "nothing can be said",
}
WORST_FIRST: Final = (State.BELOW, State.UNKNOWN, State.UNDECIDED, State.PROVEN)


@dataclass(frozen=True, slots=True)
class Band:
    """Where limits, point and threshold lie in a drawing BAND_WIDTH wide; point and threshold may be absent."""

    lower: float
    upper: float
    point: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """A meter: how much of BAR_WIDTH is filled, and where a ticket is due. Logarithmic: evidence grows by factors."""

    state: EvidenceState
    filled: float
    ticket: float


@dataclass(frozen=True, slots=True)
class ShownRow:
    """provisional: the same row with the open buckets in it. needed: the evidence that is still missing, in words."""

    row: WindowQuality
    provisional: WindowQuality
    band: Band | None
    bars: tuple[Bar, ...]
    word: str
    needed: str


@dataclass(frozen=True, slots=True)
class ShownCamera:
    """Its newest part. silent: seconds it lies behind the line, None while it keeps up."""

    name: str
    part_id: str
    captured_at: float
    silent: float | None


@dataclass(frozen=True, slots=True)
class ShownLine:
    """names: of its models, by digest."""

    line: LineSnapshot
    worst: State
    rows: tuple[ShownRow, ...]
    challenged: tuple[Bar, ...]
    pages: tuple[Page, ...]
    lag: float | None
    second_looks: int
    audits_done: int
    names: Mapping[str, str]
    shadows: tuple[tuple[Comparison, str], ...]
    cameras: tuple[ShownCamera, ...]


def today(deps: Deps, snapshot: Snapshot, lines: Sequence[LineSnapshot], engineer: bool) -> dict[str, Any]:
    """The template's words. An inspector sees no pictures: they might be of parts that he is yet to label."""
    shown = [_shown(deps, line, engineer) for line in lines]
    again = {one.line.line: one.second_looks for one in shown}
    due = {line.line: line.due for line in lines if line.due}
    return {
        "lines": sorted(shown, key=lambda one: (not one.pages, WORST_FIRST.index(one.worst))),
        "advice": views.advice(lines, again, due),
        "now": snapshot.as_of,
        "width": BAND_WIDTH,
        "bar_width": BAR_WIDTH,
    }


def _shown(deps: Deps, line: LineSnapshot, engineer: bool) -> ShownLine:
    states = {row.state for row in line.quality} or {State.UNKNOWN}
    return ShownLine(
        line=line,
        worst=next(state for state in WORST_FIRST if state in states),
        rows=_rows(line, deps.threshold),
        challenged=_bars(line, Detector.CHALLENGE),
        pages=tuple(page for page in line.pages if page.standing),
        lag=_median_lag(line),
        second_looks=len(deps.monitor.second_looks(line.line)),
        audits_done=sum(count for (source, _), count in line.labels.items() if source is Source.AUDIT),
        names={model.digest: f"{model.name} {model.digest[:12]}" for model in deps.ledger.model_history(line.line)},
        shadows=_beside(line),
        cameras=_cameras(deps, line) if engineer else (),
    )


def _rows(line: LineSnapshot, threshold: Callable[[str, str, int], float | None]) -> tuple[ShownRow, ...]:
    """With one kind of defect, ALL says the same again and is left out. Evidence is of a row, whatever the window."""
    kinds, bars, seen = len(line.defects) - 1, _bars(line, Detector.AUDIT), set[str]()
    found = []
    for row, provisional in zip(line.quality, line.provisional, strict=True):
        if row.defect == ALL and kinds == 1:
            continue
        mine = () if row.defect in seen else tuple(bar for bar in bars if bar.state.defect == row.defect)
        seen.add(row.defect)
        band = _band(row, threshold(line.line, row.defect, kinds))
        found.append(ShownRow(row, provisional, band, mine, WORDS[row.state.value], views.evidence_needed(row)))
    return tuple(found)


def _bars(line: LineSnapshot, fed_by: Detector) -> tuple[Bar, ...]:
    def place(evidence: float, limit: float) -> float:
        return BAR_WIDTH * min(1.0, log1p(max(0.0, evidence)) / log1p(limit))

    return tuple(
        Bar(row, place(row.evidence, row.limit), place(row.limit / 10, row.limit))
        for row in line.evidence
        if row.detector is fed_by
    )


def _beside(line: LineSnapshot) -> tuple[tuple[Comparison, str], ...]:
    """The shadow in force against the active model, row by row, each with its sentence."""
    in_force = {model.role: model.digest for model in line.models}
    pair = in_force.get(Role.ACTIVE), in_force.get(Role.SHADOW)
    kinds = len(line.defects) - 1
    return tuple(
        (one, in_words(one))
        for one in line.comparisons
        if (one.active, one.shadow) == pair and not (one.defect == ALL and kinds == 1)
    )


def _band(row: WindowQuality, threshold: float | None) -> Band | None:
    recall = row.recall
    if not recall.estimable:
        return None
    point = None if recall.point is None else recall.point * BAND_WIDTH
    limit = None if threshold is None else threshold * BAND_WIDTH
    return Band(recall.lower * BAND_WIDTH, recall.upper * BAND_WIDTH, point, limit)


def _median_lag(line: LineSnapshot) -> float | None:
    """The upper bound of the histogram's bucket that holds the median label, seconds."""
    lag = line.label_lag
    total = lag.counts[-1]
    if not total:
        return None
    return next(bound for bound, count in zip(lag.bounds, lag.counts, strict=True) if count * 2 >= total)


def _cameras(deps: Deps, line: LineSnapshot) -> tuple[ShownCamera, ...]:
    """The newest part of each camera, the silent ones first."""
    found = []
    for camera in sorted({camera for camera, _ in line.parts}):
        for row in deps.ledger.find(Wanted(line.line, camera=camera), 1):
            behind = (line.last_captured_at or 0.0) - row.verdict.captured_at
            silent = behind if behind > SILENT else None
            if behind < GONE:
                found.append(ShownCamera(camera, row.verdict.part_id, row.verdict.captured_at, silent))
    return tuple(sorted(found, key=lambda one: (one.silent is None, one.name))[:CAMERAS])
