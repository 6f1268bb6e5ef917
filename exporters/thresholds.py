"""thresholds.yaml as series, beside the values that rules compare with them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from exporters.families import add, gauge
from service.records import Snapshot
from service.thresholds import WatchedThresholds


def collect(watched: WatchedThresholds, snapshot: Snapshot) -> Iterator[Metric]:
    """One row per line, defect and severity that has a threshold."""
    recall = gauge("recall_threshold_ratio", "Recall below this is told at this severity.", "defect", "severity")
    precision = gauge(
        "precision_threshold_ratio", "Precision below this is told at this severity.", "defect", "severity"
    )
    starved = gauge(
        "labels_starved_after_seconds", "A part that waits longer for its label than this starves the line."
    )
    camera = gauge("camera_threshold_ratio", "A camera beyond this is degraded; kind says what is measured.", "kind")
    repeated = gauge("camera_threshold_frames", "A camera that gives the same picture so often in a row is frozen.")
    thresholds = watched()
    for name, line in snapshot.lines.items():
        rule = thresholds.line(name)
        starved.add_metric((name,), rule.labels.starved_after)
        repeated.add_metric((name,), rule.camera.repeated)
        for kind in ("sharpness", "brightness", "overexposed", "missed"):
            camera.add_metric((name, kind), getattr(rule.camera, kind))
        for defect in line.defects:
            row = rule.row(defect, len(line.defects) - 1)
            for family, levels in ((recall, row.recall), (precision, row.precision)):
                add(family, (name, defect, "page"), levels.page)
                add(family, (name, defect, "warn"), levels.warn)
    valid = GaugeMetricFamily(
        "redrabbit_thresholds_valid",
        "Whether thresholds.yaml can be read (1), or the last good one stays in force (0).",
        float(not watched.error),
    )
    yield from (recall, precision, starved, camera, repeated, valid)
