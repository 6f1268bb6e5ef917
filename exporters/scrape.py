"""One scrape: one snapshot, every collector run over it, and none of them able to take the others down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

import structlog
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.errors import LedgerUnavailable

T = TypeVar("T")
S = TypeVar("S")

SNAPSHOT = "snapshot"
"""The name under which the reading of the ledger itself is reported."""

log = structlog.get_logger()


class Collectors(Collector, Generic[S]):
    """Families are built anew at each scrape, so a line that is gone leaves no stale series behind.

    snapshot: what is known now; called once per scrape. collectors: (name, function), in the order of the page.
    """

    def __init__(
        self, snapshot: Callable[[], S], collectors: Sequence[tuple[str, Callable[[S], Iterable[Metric]]]]
    ) -> None:
        self._snapshot = snapshot
        self._collectors = tuple(collectors)

    def describe(self) -> list[Metric]:
        """Nothing: registration must not query the ledger."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family of every collector that came through, then how each of them fared."""
        fared = _Fared()
        snapshot = fared.run(SNAPSHOT, self._snapshot)
        if snapshot is not None:
            for name, collect in self._collectors:
                # list(): the families of a collector that fails half-way are dropped with it.
                yield from fared.run(name, lambda: list(collect(snapshot))) or ()  # noqa: B023
        yield fared.success
        yield fared.seconds


class _Fared:
    """How each collector of one scrape fared."""

    def __init__(self) -> None:
        self.success = GaugeMetricFamily(
            "redrabbit_collector_success", "Whether the collector came through (1) or failed (0).", labels=["collector"]
        )
        self.seconds = GaugeMetricFamily(
            "redrabbit_collector_seconds", "Time that the collector took.", labels=["collector"]
        )

    def run(self, name: str, step: Callable[[], T]) -> T | None:
        started = time.perf_counter()
        found = None
        try:
            found = step()
        except LedgerUnavailable as error:  # of the world around us: no bug of ours that a traceback would help to find
            log.error("collector failed", collector=name, why=str(error))
        except Exception as error:  # The one fence: what fails here is logged, counted and paged (ExporterDown).
            log.error("collector failed", collector=name, exc_info=error)
        self.success.add_metric([name], float(found is not None))
        self.seconds.add_metric([name], time.perf_counter() - started)
        return found
