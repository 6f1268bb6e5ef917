"""Which model judges each line."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from exporters.families import gauge
from service.records import Snapshot


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """One row per line and model in force."""
    info = gauge("model_info", "Always 1; role is active or shadow.", "model", "digest", "provider", "role")
    for name, line in snapshot.lines.items():
        for model in line.models:
            info.add_metric((name, model.name, model.digest, model.provider, model.role), 1)
    yield info
