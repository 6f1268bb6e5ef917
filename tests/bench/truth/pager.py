"""The project's pager on simulated buckets, and three rules that people use instead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from service.quality.buckets import Bucket, merged
from service.quality.draw import SURGE, learned_guesses, learned_shares, weights, worth_changing
from service.quality.evidence import bets
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
MODEL = ""  # one and the same all the time
LEARN_FROM, LEARN_EVERY = 50, 10
"""Buckets that the draw is learned from, and how often it is looked at."""


class Pager:
    """A meter, and the draw of the next bucket as it asks for it. A page is acknowledged at once.

    surge: audit four times as much while the evidence asks for it. learns: weights follow the closed buckets. late: buckets
    that a bucket waits for its labels until it closes.
    """

    def __init__(self, surge: bool, learns: bool, late: int = 0) -> None:
        self.drawn = self.passed = 0
        self._surge = surge
        self._learns = learns
        self._late = late
        self._meter = Meter("line", ROW, THRESHOLD, Detector.AUDIT)
        self._limit = limit_in_steps(PROMISE * SIZE, SIZE, THRESHOLD, bets(THRESHOLD, BUDGET))
        self._open: deque[Bucket] = deque()
        self._recent: deque[Bucket] = deque(maxlen=LEARN_FROM)
        self._budget = BUDGET
        self._spread = first_weights(BUDGET)

    def inspect(self, made: Made, number: int, dice: np.random.Generator) -> bool:
        """Draws one bucket, and closes the one whose labels are there. Returns whether that paged."""
        audited = draw(dice, made.missed[number], made.good[number], self._spread)
        self._open.append(bucket(made, number, audited, self._spread, self._budget))
        self.drawn += self._open[-1].drawn.total()
        self.passed += self._open[-1].passed.total()
        return len(self._open) > self._late and self.close(self._open.popleft())

    def close(self, closed: Bucket) -> bool:
        """What service.paging does with a bucket, the limit being the same for all; then plans the next draw."""
        steps = self._meter.state(MODEL).steps
        bold = bets(THRESHOLD, closed.budget)
        step = Step(
            closed.hits(ROW, GOOD), closed.plain_misses(ROW, GOOD), bold, self._limit, (steps + 1) * SIZE, MODEL
        )
        raised = self._meter.follow(steps + 1, lambda _: step, float(steps))
        if raised:
            self._meter.acknowledge(float(steps), "somebody", "")
        self._recent.append(closed)
        self._plan(steps)
        return bool(raised)

    def window(self) -> Bucket:
        """The newest closed buckets as one, as the screen shows them."""
        return merged(islice(reversed(self._recent), WINDOW))

    def _plan(self, steps: int) -> None:
        """As service.book advises."""
        budget = SURGE * BUDGET if self._surge and self._meter.surge(MODEL) else BUDGET
        if budget == self._budget and (not self._learns or steps % LEARN_EVERY):
            return
        spread = first_weights(budget)
        if self._learns:
            seen = merged(self._recent)
            spread = weights(budget, learned_shares(seen.passed), learned_guesses(seen.audits, GOOD))
        if budget != self._budget or worth_changing(self._spread, spread):
            self._budget, self._spread = budget, spread


PAGERS: dict[str, Callable[[], Pager]] = {
    "redrabbit": lambda: Pager(surge=True, learns=True),
    "fixed draw": lambda: Pager(surge=True, learns=False),
    "fixed draw, no surge": lambda: Pager(surge=False, learns=False),
    "labels 8 h late": lambda: Pager(surge=True, learns=True, late=29),
}
"""The first as it is set up by default, the others to compare. 29 buckets: eight hours at one part a second."""


def _naive(said: WindowQuality) -> bool:
    return said.observed is not None and said.observed < THRESHOLD


def _point(said: WindowQuality) -> bool:
    return said.recall.denominator > 0 and said.recall.numerator / said.recall.denominator < THRESHOLD


def _limit(said: WindowQuality) -> bool:
    return said.state is State.BELOW


RULES: dict[str, tuple[Callable[[WindowQuality], bool], int]] = {
    "rule: naive": (_naive, 1),
    "rule: point": (_point, 3),
    "rule: limit": (_limit, 1),
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
