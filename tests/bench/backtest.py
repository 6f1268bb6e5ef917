"""(h) A backtest of a million recorded parts, against reading their rows and doing nothing with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import count, islice
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, cast

from service.backtest.period import Period
from service.backtest.retold import Judge, Retold, by_thresholds
from service.backtest.run import run
from service.ledger.store import SqlLedger, open_ledger
from service.ports import LedgerReader
from service.quality.draw import DEFAULT_GUESSES, DEFAULT_SHARES, band, weights
from service.records import DrawPolicy, Label, Outcome, Verdict
from service.thresholds import parse
from tests.bench.table import Row
from tests.line import LINE, MODEL

PARTS, AT_ONCE, BUDGET = 1_000_000, 10_000, 0.02
RULES = parse("defaults: {windows: [{parts: 100000}]}")


def measure() -> Iterator[Row]:
    """As recorded, and with a lower decision threshold."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        _record(url)
        with closing(open_ledger(url, time.time, read_only=True)) as ledger:
            bare = _seconds(lambda: _read(ledger))
            for name, judge in (("", None), (", another decision threshold", by_thresholds([MODEL], {"crack": 0.3}))):
                seconds = _seconds(partial(_play, ledger, judge))
                yield Row(
                    f"(h) backtest of {PARTS:,} parts{name}",
                    f"{seconds:.0f} s",
                    f"{bare:.0f} s to read the rows alone",
                    seconds / bare,
                )


def _play(ledger: SqlLedger, judge: Judge | None) -> None:
    period = cast(Any, Period(cast(LedgerReader, ledger), LINE))
    run(period, Retold(period, judge, BUDGET), LINE, RULES, 1e9, None)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _read(ledger: SqlLedger) -> None:
    sequence = 0
    while rows := ledger.parts_after(sequence, 5_000):
        sequence = rows[-1].sequence


def _record(url: str) -> None:
    """Two in a hundred defective, nine in ten of them caught; every reject and audit labelled."""
    dice = Random(1)
    drawn_with = tuple(weights(BUDGET, DEFAULT_SHARES, DEFAULT_GUESSES))
    now = [0.0]
    with closing(open_ledger(url, lambda: now[0])) as ledger:
        ledger.register(MODEL)
        ledger.set_draw_policy(DrawPolicy(0, LINE, 0.0, drawn_with, BUDGET))
        made = (_part(number, dice, drawn_with) for number in count())
        for _ in range(PARTS // AT_ONCE):
            parts: Sequence[tuple[Verdict, str]] = list(islice(made, AT_ONCE))
            now[0] = parts[-1][0].captured_at
            ledger.record([verdict for verdict, _ in parts])
            ledger.add_labels(
                [
                    Label(verdict.part_id, actual, inspector, now[0])
                    for verdict, actual in parts
                    if verdict.outcome is not Outcome.PASS
                    for inspector in (
                        ("ines", "eva") if verdict.outcome is Outcome.AUDIT and actual == "crack" else ("ines",)
                    )
                ]
            )


def _part(number: int, dice: Random, drawn_with: Sequence[int]) -> tuple[Verdict, str]:
    bad = dice.random() < 0.02
    u = dice.uniform(0.9, 1.9) if bad else min(0.99, dice.expovariate(8))
    at = None if u >= 1 else band(u)
    weight = 1 if at is None else drawn_with[at]
    outcome = Outcome.REJECT if at is None else Outcome.AUDIT if dice.random() < 1 / weight else Outcome.PASS
    predicted = "good" if at is not None else "crack"
    scores = (1 - u / 2, u / 2)
    verdict = Verdict(
        f"p{number}", LINE, "left", float(number), MODEL.digest, "t", scores, u, predicted, outcome, at, weight, 1
    )
    return verdict, "crack" if bad else "good"
