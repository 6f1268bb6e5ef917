"""What the station measures of itself. Fulfils service.station.meter.StationMeter."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class StationMetrics:
    """One per station process. Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._rejected = Counter(
            "redrabbit_labels_rejected_total",
            "Labels refused; line is empty where the part is not known.",
            ("line", "reason"),
            registry=registry,
        )
        self._requests = Histogram(
            "redrabbit_station_request_seconds",
            "Time per HTTP answer.",
            ("route", "status"),
            buckets=SECONDS,
            registry=registry,
        )
        self._unavailable = Counter(
            "redrabbit_station_ledger_unavailable_total",
            "Requests answered 503 because the ledger could not be read or written.",
            registry=registry,
        )

    def rejected(self, line: str, reason: str) -> None:
        self._rejected.labels(line, reason).inc()

    def request(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).observe(seconds)

    def ledger_unavailable(self) -> None:
        self._unavailable.inc()
