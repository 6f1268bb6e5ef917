"""What a dashboard is made of, in plain data: queries, panels, rows. `grafana.py` makes Grafana's JSON of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

GOOD, CARE, BAD, WORST, UNSURE, CALM = "green", "orange", "red", "dark-red", "purple", "blue"


class Kind(StrEnum):
    """How a panel shows its queries. MATRIX: counts by actual and predicted."""

    SERIES = "series"
    STAT = "stat"
    TABLE = "table"
    STATES = "states"
    MATRIX = "matrix"


@dataclass(frozen=True, slots=True)
class Step:
    """From this value on, this colour. value: None is where it begins."""

    value: float | None
    colour: str


@dataclass(frozen=True, slots=True)
class Word:
    """What is shown in place of a number."""

    text: str
    colour: str


@dataclass(frozen=True, slots=True)
class Query:
    """name: the legend, or the head of a table's column, which an empty one hides. The rest is of such a column."""

    expr: str
    name: str
    unit: str = ""
    steps: tuple[Step, ...] = ()
    words: Mapping[int, Word] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Panel:
    """about: what it means and what to do. alert: the section of the runbook that it links to. powers: on an axis of powers of ten."""

    kind: Kind
    title: str
    unit: str
    about: str
    alert: str
    queries: tuple[Query, ...]
    width: int = 12
    height: int = 8
    steps: tuple[Step, ...] = ()
    words: Mapping[int, Word] = field(default_factory=dict)
    most: float | None = None
    powers: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One without panels is left out."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """One value, or with `every` any number of them and All, which matches series without such a label too."""

    name: str
    series: str
    every: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Marks on the time axis. expr: its values are the times, in milliseconds."""

    name: str
    expr: str
    text: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    about: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    events: tuple[Event, ...] = ()


PLANT = 'plant=~"$plant"'
"""What every query is narrowed to. A plant is an external label of its Prometheus, so that one may be missing."""

LINE = (PLANT, 'line="$line"')
DEFECT = (*LINE, 'defect="$defect"')
WINDOW = (*DEFECT, 'window="$window"')

UP_OR_DOWN = {1: Word("up", GOOD), 0: Word("down", BAD)}
YES_OR_NO = {1: Word("yes", GOOD), 0: Word("no", BAD)}


def of(metric: str, *chosen: str) -> str:
    """The selector of one of our series."""
    return f"redrabbit_{metric}{{{','.join(chosen)}}}"


def rate(metric: str, *chosen: str) -> str:
    """Per second, over as long as Grafana finds sensible."""
    return f"rate({of(metric, *chosen)}[$__rate_interval])"


def quantile(share: float, metric: str, by: str, *chosen: str) -> str:
    """Of a histogram. The comparison leaves out the NaN of a time in which nothing was counted."""
    by = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({by}) ({rate(f'{metric}_bucket', *chosen)})) >= 0"


def by_name(name: str) -> str:
    """Placeholder of a legend: the value of that label."""
    return f"{{{{{name}}}}}"
