"""`make bench`: prints the table that the README quotes. Every figure stands beside a bare baseline of the same run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable

import structlog

from tests.bench import backtest, chain, label_cost, labels, latency, machines, memory, review, scrape, swap, throughput
from tests.bench.table import Row, render

BENCHES: dict[str, Callable[[], Iterable[Row]]] = {
    "memory": memory.measure,  # first, while this process has used little
    "throughput": throughput.measure,
    "latency": latency.measure,
    "labels": labels.measure,
    "scrape": scrape.measure,
    "swap": swap.measure,
    "label_cost": label_cost.measure,
    "backtest": backtest.measure,
    "review": review.measure,
    "chain": chain.measure,
    "machines": machines.measure,
}


def main(names: list[str]) -> None:
    """names: some of BENCHES; none is all of them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    rows: list[Row] = []
    for name in names or BENCHES:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += BENCHES[name]()
    print(render(sorted(rows, key=lambda row: row.what[:3])))


main(sys.argv[1:])
