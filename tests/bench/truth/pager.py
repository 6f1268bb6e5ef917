"""The project's pager on simulated buckets, and three rules that people use instead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.quality.buckets import Bucket, merged
from service.quality.draw import learned_guesses, learned_shares, weights, worth_changing
from service.quality.evidence import SURGE, bets
from service.quality.meter import Meter, Step, limit_in_steps
from service.quality.windows import quality
from service.records import Detector, State, WindowQuality
from tests.bench.truth.line import GOOD, ROW, Drawn, Made, bucket, draw, first_weights, sliding

SIZE = 1000
"""Parts of a bucket; one part a second."""
THRESHOLD = 0.80
BUDGET = 0.02
PROMISE = 1000
"""Buckets between false pages: no more than one page per million parts."""
WINDOW = 10
"""Buckets of the window that the other rules look at."""
LEARN_FROM, LEARN_EVERY = 50, 10
"""Buckets that the draw is learned from, and how often it is looked at."""


class Pager:
    """A meter, and the draw of the next bucket as it asks for it. A page is acknowledged at once.

    surge: audit four times as much while the evidence asks for it. learns: weights follow the closed buckets.
    """

    def __init__(self, surge: bool, learns: bool) -> None:
        self.drawn = self.passed = 0
        self._surge = surge
        self._learns = learns
        self._meter = Meter("line", ROW, THRESHOLD, Detector.AUDIT)
        self._limit = limit_in_steps(PROMISE * SIZE, SIZE, THRESHOLD, bets(THRESHOLD, BUDGET))
        self._recent: list[Bucket] = []
        self._budget = BUDGET
        self._spread = first_weights(BUDGET)

    def close(self, made: Made, number: int, dice: np.random.Generator) -> bool:
        """Draws, labels and closes one bucket. Returns whether it paged."""
        audited = draw(dice, made.missed[number], made.good[number], self._spread)
        closed = bucket(made, number, audited, self._spread, self._budget)
        self.drawn += closed.drawn.total()
        self.passed += closed.passed.total()
        paged = self.take(closed)
        self._plan(closed)
        return paged

    def take(self, closed: Bucket) -> bool:
        """What service.paging does with a bucket, the limit being the same for all."""
        steps = self._meter.state().steps
        bold = bets(THRESHOLD, closed.budget)
        step = Step(closed.hits(ROW, GOOD), closed.plain_misses(ROW, GOOD), bold, self._limit, (steps + 1) * SIZE)
        raised = self._meter.follow(steps + 1, lambda _: step, float(steps))
        if raised:
            self._meter.acknowledge(float(steps), "somebody", "")
        return bool(raised)

    def _plan(self, closed: Bucket) -> None:
        """The draw of the next bucket, as service.book advises it."""
        budget = min(1.0, SURGE * BUDGET) if self._surge and self._meter.surge else BUDGET
        due = False
        if self._learns:
            self._recent = [*self._recent[1 - LEARN_FROM :], closed]
            due = self._meter.state().steps % LEARN_EVERY == 0
        if budget == self._budget and not due:
            return
        if self._learns:
            seen = merged(self._recent)
            spread = weights(budget, learned_shares(seen.passed), learned_guesses(seen.audits, GOOD))
        else:
            spread = first_weights(budget)
        if budget != self._budget or worth_changing(self._spread, spread):
            self._budget, self._spread = budget, spread


PAGERS: dict[str, Callable[[], Pager]] = {
    "redrabbit": lambda: Pager(surge=True, learns=True),
    "redrabbit, first weights": lambda: Pager(surge=True, learns=False),
    "redrabbit, first weights, no surge": lambda: Pager(surge=False, learns=False),
}


def _naive(said: WindowQuality) -> bool:
    return said.observed is not None and said.observed < THRESHOLD


def _point(said: WindowQuality) -> bool:
    return said.recall.denominator > 0 and said.recall.numerator / said.recall.denominator < THRESHOLD


def _limit(said: WindowQuality) -> bool:
    return said.state is State.BELOW


RULES: dict[str, tuple[Callable[[WindowQuality], bool], int]] = {
    "TP / (TP + FN) as labelled": (_naive, 1),
    "weighted point, 3 buckets in a row": (_point, 3),
    "upper limit": (_limit, 1),
}
"""Over the newest 10,000 parts: what must hold, and for how many buckets in a row."""


def firing(made: Made, dice: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Whether each rule fires, after each bucket; never before its window is full."""
    spread = first_weights(BUDGET)
    audited = draw(dice, made.missed, made.good, spread)
    window = made.sliding(WINDOW)
    missed, good = sliding(audited.missed, WINDOW), sliding(audited.good, WINDOW)
    held = np.zeros((len(RULES), len(made.hits)), bool)
    for number in range(len(window.hits)):
        total = bucket(window, number, Drawn(missed[number], good[number]), spread, BUDGET)
        said = quality(total, "line", ROW, GOOD, "10000 parts", THRESHOLD)
        held[:, number + WINDOW - 1] = [holds(said) for holds, _ in RULES.values()]
    return {name: _in_a_row(row, times) for row, (name, (_, times)) in zip(held, RULES.items(), strict=True)}


def _in_a_row(held: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    """Whether it held now and in the buckets before, `times` in all."""
    long = held.copy()
    for back in range(1, times):
        long[back:] &= held[:-back]
        long[:back] = False
    return long
