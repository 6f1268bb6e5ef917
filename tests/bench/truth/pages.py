"""How often does a line page that is as good as it should be, and how soon does one that is not?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import chdtri

from service.quality.buckets import Bucket
from service.quality.windows import quality
from tests.bench.truth.line import GOOD, KINDS, ROW, make
from tests.bench.truth.pager import BUDGET, PAGERS, PROMISE, RULES, SIZE, THRESHOLD, WINDOW, firing
from tests.bench.truth.report import percent, table

PREVALENCE = 0.02
HEALTHY, GOOD_ENOUGH = 0.95, 0.85
RUN = 10_000
"""Buckets of one run of a line that stays as it is."""
BEFORE, AFTER = 50, 300
"""Buckets of a run in which recall falls: before that, and after it at most."""
MILLION = 1_000_000
ADAPTIVE = "redrabbit"
"""The pager whose draw changes with what it finds."""


class Stay(NamedTuple):
    """A line that stays as it is. pages: by who paged. audited: share of passed parts. held: share of windows whose limits,
    of the first pager's draw, contained the line's recall."""

    recall: float
    kind: str
    buckets: int
    pages: Mapping[str, int]
    audited: Mapping[str, float]
    held: float

    def per_million(self, name: str) -> float:
        return self.pages[name] * MILLION / (self.buckets * SIZE)

    def at_most(self, name: str) -> float:
        """95 % upper limit of that, a count of rare events taken as Poisson's."""
        return float(chdtri(2 * (self.pages[name] + 1), 0.05)) / 2 * MILLION / (self.buckets * SIZE)


def stay(recall: float, kind: str, runs: int, buckets: int, seed: list[int], rules: bool = True) -> Stay:
    """`runs` lines of so many buckets whose recall never changes."""
    pages = dict.fromkeys([*PAGERS, *(RULES if rules else ())], 0)
    drawn, passed = Counter[str](), Counter[str]()
    held: list[bool] = []
    for run in range(runs):
        dice = np.random.default_rng([*seed, run])
        made = make(dice, buckets, SIZE, PREVALENCE, recall, kind)
        for name, start in PAGERS.items():
            pager = start()
            for number in range(buckets):
                pages[name] += pager.inspect(made, number, dice)
                if name == ADAPTIVE and (number + 1) % WINDOW == 0:
                    held.append(_holds(pager.window(), recall))
            drawn[name] += pager.drawn
            passed[name] += pager.passed
        for name, fires in (firing(made, dice) if rules else {}).items():
            pages[name] += int(np.sum(fires[1:] & ~fires[:-1]))
    audited = {name: drawn[name] / passed[name] for name in PAGERS}
    return Stay(recall, kind, runs * buckets, pages, audited, float(np.mean(held)))


def _holds(window: Bucket, recall: float) -> bool:
    said = quality(window, "line", ROW, GOOD, "10000 parts", THRESHOLD).recall
    return said.lower <= recall <= said.upper


def fall(to: float, kind: str, runs: int, seed: list[int]) -> dict[str, list[float]]:
    """Buckets from the fall to the page, by who paged; infinite where none came. Recall falls from HEALTHY."""
    delays: dict[str, list[float]] = {name: [] for name in [*PAGERS, *RULES]}
    for run in range(runs):
        dice = np.random.default_rng([*seed, run])
        healthy = make(dice, BEFORE, SIZE, PREVALENCE, HEALTHY, kind)
        made = healthy.then(make(dice, AFTER, SIZE, PREVALENCE, to, kind))
        for name, start in PAGERS.items():
            pager = start()
            paged = (pager.inspect(made, number, dice) and number >= BEFORE for number in range(BEFORE + AFTER))
            delays[name].append(next((number + 1 - BEFORE for number, yes in enumerate(paged) if yes), np.inf))
        for name, fires in firing(made, dice).items():
            after = np.flatnonzero(fires[BEFORE:])
            delays[name].append(after[0] + 1 if len(after) else np.inf)
    return delays


def measure(seed: int, quick: bool) -> Iterator[str]:
    """The chapter of docs/truth.md."""
    runs, buckets = (1, RUN // 5) if quick else (7, RUN)
    stays = [
        stay(recall, kind, runs, buckets, [seed, 3, row, column])
        for row, recall in enumerate((THRESHOLD, GOOD_ENOUGH, 0.9, HEALTHY))
        for column, kind in enumerate(KINDS)
    ]
    yield "## Does it page when it should, and only then?"
    yield _setting()
    yield "### Pages per million parts of a line that stays as it is"
    yield f"{runs * buckets * SIZE // MILLION:,} million parts for each row. In brackets the 95 % upper limit."
    names = [*PAGERS, *RULES]
    yield table(["recall", "misses", *names], [[f"{one.recall:g}", one.kind, *_counts(one, names)] for one in stays])
    yield _promise(stays)
    yield "### Thousand parts from a fall of recall to the page"
    runs = 20 if quick else 300
    yield (
        f"Recall falls from {HEALTHY:g} after {BEFORE} buckets; {runs} runs for each row. Median / 90th percentile; never: not within "
        f"{AFTER * SIZE:,} parts."
    )
    falls = {
        (to, kind): fall(to, kind, runs, [seed, 4, row, column])
        for row, to in enumerate((0.6, 0.3))
        for column, kind in enumerate(KINDS)
    }
    yield table(
        ["falls to", "misses", *names],
        [[f"{to:g}", kind, *(_delay(delays[name]) for name in names)] for (to, kind), delays in falls.items()],
    )
    yield _price(stays, falls)


def _setting() -> str:
    return (
        f"Page threshold {THRESHOLD:g}, audit {percent(BUDGET)}, {percent(PREVALENCE)} defects, buckets of {SIZE} parts, "
        f"{PROMISE} buckets wished between false pages: at most one false page per million parts while recall is at or above "
        "the threshold.\n\n"
        "* redrabbit: audits four times as much while evidence rises, learns its draw from closed buckets; labels are there when "
        "a bucket ends.\n"
        "* fixed draw: the same with the weights of a new line for ever. No surge: and never audits more.\n"
        "* labels 8 h late: as the first, on a line that makes a part a second.\n"
        "* rules that people use instead, over the newest 10,000 parts after every bucket, labels there at once: naive, TP / (TP + FN) "
        "as labelled is under the threshold; point, the weighted estimate is, three buckets in a row; limit, the upper 95 % limit is."
    )


def _counts(one: Stay, names: list[str]) -> list[str]:
    return [
        f"{one.per_million(n):.2f} ({one.at_most(n):.2f})" if n in PAGERS else f"{one.per_million(n):.2f}"
        for n in names
    ]


def _promise(stays: list[Stay]) -> str:
    lines = []
    for name in PAGERS:
        worst = max(stays, key=lambda one: one.per_million(name))
        kept = "kept" if worst.at_most(name) <= 1 else "not shown to be kept"
        audited = max(one.audited[name] for one in stays if one.recall == HEALTHY)
        lines.append(
            f"* {name}: at most {worst.per_million(name):.2f} false pages per million parts in any row (upper limit "
            f"{worst.at_most(name):.2f}): the promise of 1 is **{kept}**. At recall {HEALTHY:g} it audits at most "
            f"{100 * audited:.2f} % of passed parts."
        )
    tightest = min(stays, key=lambda one: one.held)
    lines.append(
        f"* The draw of the first changes with what it finds. The 95 % limits over its newest 10,000 parts contain the line's "
        f"recall in {percent(np.mean([one.held for one in stays]))} of windows, in the worst row in {percent(tightest.held)}."
    )
    return "\n".join(lines)


def _price(stays: list[Stay], falls: Mapping[tuple[float, str], Mapping[str, list[float]]]) -> str:
    """What each of the other rules costs, in one sentence."""
    lines = []
    for name in RULES:
        healthy = max(one.per_million(name) for one in stays if one.recall == GOOD_ENOUGH)
        late = [f"{to:g} {kind}" for (to, kind), delays in falls.items() if np.median(delays[name]) == np.inf]
        missed = f"; half of the runs or more never page after a fall to {', '.join(late)}" if late else ""
        lines.append(f"* {name}: up to {healthy:.1f} false pages per million parts at recall {GOOD_ENOUGH:g}{missed}.")
    slow_at, slow = max(falls.items(), key=lambda one: np.median(one[1][ADAPTIVE]))
    lines.append(
        f"* {ADAPTIVE} is slowest at a fall to {slow_at[0]:g} {slow_at[1]}: {_delay(slow[ADAPTIVE])}. Misses that score like good "
        "parts are found by little more than the uniform half of the audit."
    )
    return "\n".join(lines)


def _delay(delays: list[float]) -> str:
    median, late = np.quantile(delays, [0.5, 0.9], method="inverted_cdf")
    return " / ".join("never" if np.isinf(value) else f"{value:.0f}" for value in (median, late))
