"""Do the 95 % limits contain the true recall 95 times in 100? Over every combination of what a line may be like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from service.quality.windows import quality
from tests.bench.truth.line import GOOD, KINDS, ROW, Drawn, bucket, draw, first_weights, make
from tests.bench.truth.report import percent, table

CONFIDENCE = 0.95
AGAIN = 10
"""So many times as many replicates, of new dice, when a cell is looked at again."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of line, audit and window."""

    prevalence: float
    recall: float
    budget: float
    parts: int
    kind: str

    def named(self) -> list[str]:
        return [percent(self.prevalence), f"{self.recall:g}", percent(self.budget), f"{self.parts:,}", self.kind]


CELLS = [Cell(*row) for row in product((0.005, 0.02, 0.05), (0.95, 0.9, 0.8, 0.6), (0.01, 0.02, 0.05),
                                       (2_000, 10_000, 50_000), KINDS)]  # fmt: skip
FACTORS = {"prevalence": "defects", "recall": "recall", "budget": "audit", "parts": "window", "kind": "misses"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What `quality` said of a cell's replicates, (n,) each. point: whether it showed one. window: share caught of the
    defects of that very window."""

    cell: Cell
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    observed: NDArray[np.float64]
    point: NDArray[np.float64]
    window: NDArray[np.float64]

    @property
    def coverage(self) -> float:
        return float(np.mean((self.lower <= self.cell.recall) & (self.cell.recall <= self.upper)))

    @property
    def error(self) -> float:
        """Standard error that a coverage of exactly 95 % would have."""
        return sqrt(CONFIDENCE * (1 - CONFIDENCE) / len(self.lower))

    @property
    def too_high(self) -> float:
        """Share of lower limits above the truth: recall proven that is not there."""
        return float(np.mean(self.lower > self.cell.recall))

    @property
    def too_low(self) -> float:
        return float(np.mean(self.upper < self.cell.recall))

    @property
    def of_window(self) -> float:
        """Coverage of what was caught of that window's own defects; a window without any is covered."""
        outside = (self.lower > self.window) | (self.window > self.upper)
        return 1 - float(np.mean(outside))

    @property
    def pointed(self) -> float:
        return float(np.mean(self.point))

    @property
    def width(self) -> float:
        return float(np.median(self.upper - self.lower))

    @property
    def naive(self) -> float:
        """Median of TP / (TP + FN) over labelled parts, less the truth."""
        return float(np.nanmedian(self.observed)) - self.cell.recall if not np.isnan(self.observed).all() else 0.0

    @property
    def short(self) -> bool:
        """Whether it covers less than it promises by more than chance: two standard errors."""
        return self.coverage < CONFIDENCE - 2 * self.error


def look(cell: Cell, replicates: int, dice: np.random.Generator, written: Sequence[int] | None = None) -> Seen:
    """Windows of one cell. written: weights in the record where they are not those of the draw, to see that it matters."""
    spread = first_weights(cell.budget)
    made = make(dice, replicates, cell.parts, cell.prevalence, cell.recall, cell.kind)
    audited = draw(dice, made.missed, made.good, spread)
    rows = []
    for number in range(replicates):
        one = Drawn(audited.missed[number], audited.good[number])
        total = bucket(made, number, one, written or spread, cell.budget)
        said = quality(total, "line", ROW, GOOD, "window", None)
        observed = np.nan if said.observed is None else said.observed
        rows.append((said.recall.lower, said.recall.upper, observed, said.recall.point is not None))
    lower, upper, seen, point = np.array(rows).T
    defective = made.hits + made.missed.sum(axis=1)
    window = np.divide(made.hits, defective, out=np.full(replicates, np.nan), where=defective > 0)
    return Seen(cell, lower, upper, seen, point, window)


def measure(seed: int, quick: bool) -> Iterator[str]:
    """The chapter of docs/truth.md."""
    replicates = 100 if quick else 4000
    seen = [look(cell, replicates, np.random.default_rng([seed, 1, n])) for n, cell in enumerate(CELLS)]
    seen.sort(key=lambda one: one.coverage)
    short = [one for one in seen if one.short]
    doubted = seen[: max(10, len(short))]
    again = [look(one.cell, AGAIN * replicates, np.random.default_rng([seed, 2, n])) for n, one in enumerate(doubted)]
    yield "## Do the limits hold?"
    yield (
        f"{len(CELLS)} kinds of line, {replicates:,} windows of each. A window counts as covered when the true recall "
        "(the probability that a defective part is flagged) lies within the 95 % limits; one without limits counts as covered. "
        "One standard error of a cell at 95 % is "
        f"{100 * seen[0].error:.2f} points; limits that hold more often than 95 times in 100 are wider than they need be. The audit is drawn with the weights of a line of which nothing is known yet."
    )
    yield _summary(seen, short, again)
    yield "### The ten cells with the lowest coverage"
    yield (
        f"Looked at again with new dice and {AGAIN} times as many windows, because the lowest of {len(CELLS)} is low by luck "
        "too."
    )
    yield table(
        [*FACTORS.values(), "coverage", "again", "lower limit too high", "upper limit too low", "of the window's own defects"],
        [
            [*one.cell.named(), percent(one.coverage), percent(new.coverage), percent(new.too_high),
             percent(new.too_low), percent(new.of_window)]
            for one, new in zip(seen[:10], again, strict=False)
        ],
    )  # fmt: skip
    yield "### By factor"
    yield (
        "Mean over the cells with that value. Naive: the median over a cell's windows of TP / (TP + FN) as labelled, less the "
        "truth; with a point: windows with enough audited misses for more than limits."
    )
    yield table(
        ["", "lowest coverage", "mean coverage", "median width", "with a point", "naive error"], _by_factor(seen)
    )


def _summary(seen: Sequence[Seen], short: Sequence[Seen], again: Sequence[Seen]) -> str:
    still = [one for one in again if one.short]
    lines = [
        f"* Lowest coverage of any cell: **{percent(seen[0].coverage)}**; looked at again, the lowest is "
        f"**{percent(min(one.coverage for one in again))}**. Mean of all: {percent(_mean(seen, 'coverage'))}.",
        f"* Cells under 95 % by more than two standard errors: **{len(short)}**; of those looked at again: **{len(still)}**.",
        f"* Lower limit above the truth, what PROVEN rests on: at most {percent(max(one.too_high for one in seen))} in any "
        f"cell (2.5 % is promised), {percent(_mean(seen, 'too_high'))} on the mean. Upper limit below the truth: at most "
        f"{percent(max(one.too_low for one in seen))}.",
        f"* Of the recall among the window's own defects, instead of the line's: lowest "
        f"{percent(min(one.of_window for one in seen))}.",
        f"* Median width of the limits: {np.median([one.width for one in seen]):.2f}.",
        f"* In the same windows TP / (TP + FN) as labelled is off by {100 * np.median([one.naive for one in seen]):+.1f} points "
        f"in the median cell and by {100 * max(one.naive for one in seen):+.1f} in the worst.",
    ]
    lines += [f"* **Falls short:** {', '.join(one.cell.named())}: {percent(one.coverage)}." for one in still]
    return "\n".join(lines)


def _by_factor(seen: Sequence[Seen]) -> Iterator[list[str]]:
    for place, (field, name) in enumerate(FACTORS.items()):
        for value in dict.fromkeys(getattr(cell, field) for cell in CELLS):
            rows = [one for one in seen if getattr(one.cell, field) == value]
            yield [
                f"{name} {rows[0].cell.named()[place]}",
                percent(min(one.coverage for one in rows)),
                percent(_mean(rows, "coverage")),
                f"{np.median([one.width for one in rows]):.2f}",
                percent(_mean(rows, "pointed")),
                f"{100 * _mean(rows, 'naive'):+.1f} points",
            ]


def _mean(seen: Sequence[Seen], field: str) -> float:
    return float(np.mean([getattr(one, field) for one in seen]))
