"""What the scores alone say. Hints, named so: they assume that a score still means what it meant in validation."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from exporters.families import add, gauge
from service.records import Snapshot


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """Absent where the model does not say how its validation scores lay, and while too few parts were scored."""
    expected = gauge(
        "expected_recall_ratio", "Recall that the scores alone lead to expect: a hint, blind to new defects.", "defect"
    )
    drift = gauge(
        "score_drift", "Population stability index of the scores against validation, at the best-fitting defect rate."
    )
    for name, line in snapshot.lines.items():
        for defect, recall in line.expected.items():
            expected.add_metric((name, defect), recall)
        add(drift, (name,), line.drift)
    yield from (expected, drift)
