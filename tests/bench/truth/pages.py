"""How often does a line page that is as good as it should be, and how soon does one that is not?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import chdtri

from tests.bench.truth.line import KINDS, make
from tests.bench.truth.pager import BUDGET, PAGERS, PROMISE, RULES, SIZE, THRESHOLD, firing
from tests.bench.truth.report import percent, table

PREVALENCE = 0.02
HEALTHY = 0.95
RUN = 10_000
"""Buckets of one run of a line that stays as it is."""
BEFORE, AFTER = 50, 300
"""Buckets of a run in which recall falls: before that, and after it at most."""
MILLION = 1_000_000


class Stay(NamedTuple):
    """Pages by who paged, on a line that stays as it is. audited: share of passed parts."""

    recall: float
    kind: str
    buckets: int
    pages: Mapping[str, int]
    audited: Mapping[str, float]

    def per_million(self, name: str) -> float:
        return self.pages[name] * MILLION / (self.buckets * SIZE)

    def at_most(self, name: str) -> float:
        """95 % upper limit of that, a count of rare events taken as Poisson's."""
        return float(chdtri(2 * (self.pages[name] + 1), 0.05)) / 2 * MILLION / (self.buckets * SIZE)


def stay(recall: float, kind: str, runs: int, buckets: int, seed: list[int], rules: bool = True) -> Stay:
    """`runs` lines of so many buckets whose recall never changes."""
    pages = dict.fromkeys([*PAGERS, *(RULES if rules else ())], 0)
    spent = {name: [0, 0] for name in PAGERS}
    for run in range(runs):
        dice = np.random.default_rng([*seed, run])
        made = make(dice, buckets, SIZE, PREVALENCE, recall, kind)
        for name, start in PAGERS.items():
            pager = start()
            pages[name] += sum(pager.inspect(made, number, dice) for number in range(buckets))
            spent[name][0] += pager.drawn
            spent[name][1] += pager.passed
        for name, fires in (firing(made, dice) if rules else {}).items():
            pages[name] += int(np.sum(fires[1:] & ~fires[:-1]))
    audited = {name: drawn / passed for name, (drawn, passed) in spent.items()}
    return Stay(recall, kind, runs * buckets, pages, audited)


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
        for row, recall in enumerate((THRESHOLD, 0.85, 0.9, HEALTHY))
        for column, kind in enumerate(KINDS)
    ]
    yield "## Does it page when it should, and only then?"
    yield (
        f"Page threshold {THRESHOLD:g}, audit {percent(BUDGET)}, {percent(PREVALENCE)} defects, buckets of {SIZE} parts, "
        f"{PROMISE} buckets wished between false pages: at most one false page per million parts while recall is at or above "
        "the threshold.\n\n"
        "* redrabbit: audits four times as much while evidence rises, learns its draw from closed buckets; labels are there when "
        "a bucket ends.\n"
        "* fixed draw: the same with the weights of a new line for ever. No surge: and never audits more.\n"
        "* labels 8 h late: as the first, on a line that makes a part a second.\n"
        "* rule: naive: TP / (TP + FN) as labelled is under the threshold. Rule: point: the weighted estimate is, three buckets "
        "in a row. Rule: limit: the upper 95 % limit is. Each over the newest 10,000 parts, looked at after every bucket."
    )
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
    return "\n".join(lines)


def _delay(delays: list[float]) -> str:
    median, late = np.quantile(delays, [0.5, 0.9], method="inverted_cdf")
    return " / ".join("never" if np.isinf(value) else f"{value:.0f}" for value in (median, late))
