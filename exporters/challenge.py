"""Challenge parts: known beforehand, sent through on purpose."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from exporters.families import add, counter, gauge
from service.records import Snapshot


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """Counted apart from production."""
    parts = counter(
        "challenge_parts_total", "Challenge parts that went through; outcome is caught or missed.", "outcome"
    )
    overdue = gauge("challenge_overdue", "Challenge parts whose next pass is overdue.")
    last = gauge("challenge_last_timestamp_seconds", "Capture time of the newest challenge part.")
    for name, line in snapshot.lines.items():
        parts.add_metric((name, "caught"), line.challenges.caught)
        parts.add_metric((name, "missed"), line.challenges.missed)
        overdue.add_metric((name,), len(line.challenges.overdue))
        add(last, (name,), line.challenges.last_passed_at)
    yield from (parts, overdue, last)
