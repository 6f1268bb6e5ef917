"""What flows, and how fresh it is: parts, labels, what waits for a label, buckets closed, signs of life of the workers."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from exporters.families import add, counter, gauge, histograms
from service.records import FailSafe, Snapshot


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """Counters are what the ledger counts: they do not begin anew when a process does."""
    yield from _parts(snapshot)
    yield from _labels(snapshot)
    yield from _workers(snapshot)


def _parts(snapshot: Snapshot) -> Iterator[Metric]:
    parts = counter("parts_total", "Parts inspected; verdict is pass, reject or audit.", "camera", "verdict")
    last = gauge("part_last_timestamp_seconds", "Capture time of the newest part.")
    closed = gauge("closed_buckets", "Buckets of the model in force whose labels had time to arrive.")
    pending = gauge("review_pending", "Parts due for a label and not labelled.", "source")
    oldest = gauge("review_oldest_pending_timestamp_seconds", "Capture time of the oldest part that waits for a label.")
    for name, line in snapshot.lines.items():
        for (camera, verdict), count in sorted(line.parts.items()):
            parts.add_metric((name, camera, verdict), count)
        add(last, (name,), line.last_captured_at)
        closed.add_metric((name,), line.terms[-1].closed if line.terms else 0)
        for source, count in sorted(line.pending.items()):
            pending.add_metric((name, source), count)
        add(oldest, (name,), line.oldest_pending_at)
    yield from (parts, last, closed, pending, oldest)
    yield _absent(snapshot)


def _absent(snapshot: Snapshot) -> Metric:
    """Each outcome from the start: an alert on a rise must see the 0 before it."""
    family = counter(
        "parts_not_inspected_total", "Parts that nobody judged; outcome is what the line was told.", "outcome"
    )
    for name, line in snapshot.lines.items():
        for outcome in FailSafe:
            family.add_metric((name, outcome), line.not_inspected.get(outcome, 0))
    return family


def _labels(snapshot: Snapshot) -> Iterator[Metric]:
    labels = counter("labels_total", "Labels accepted.", "source", "label")
    last = gauge("label_last_timestamp_seconds", "When the newest label was recorded.")
    corrections = counter("label_corrections_total", "Labels that corrected an earlier one of the same inspector.")
    lag = histograms("label_lag_seconds", "Time from capture to label.")
    for name, line in snapshot.lines.items():
        for (source, label), count in sorted(line.labels.items()):
            labels.add_metric((name, source, label), count)
        add(last, (name,), line.last_label_at)
        corrections.add_metric((name,), line.corrections)
        lag.add_histogram((name,), line.label_lag)
    # Of no line yet: that is what these labels wait for.
    early = GaugeMetricFamily(
        "redrabbit_labels_without_part", "Labels whose part is not in the ledger.", snapshot.unknown_part_labels
    )
    yield from (labels, last, corrections, lag, early)


def _workers(snapshot: Snapshot) -> Iterator[Metric]:
    seen = gauge("worker_seen_timestamp_seconds", "Newest sign of life of a worker.")
    stopped = gauge(
        "worker_stopped", "Whether the line's cameras came to their end (1), so that no worker is missed, or not (0)."
    )
    for name, line in snapshot.lines.items():
        newest = max(line.heartbeats, key=lambda beat: beat.seen_at, default=None)
        if newest is not None:
            seen.add_metric((name,), newest.seen_at)
            stopped.add_metric((name,), float(newest.stopped))
    yield from (seen, stopped)
