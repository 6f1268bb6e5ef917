"""What stands on /metrics: names, labels, values, and what must not stand there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from exporters import totals
from exporters.families import counter, exposition, gauge
from exporters.publisher import PublisherMeter
from exporters.scrape import Collectors
from exporters.serving import serve_metrics, snapshot_metrics
from exporters.station import StationMetrics
from exporters.worker import WorkerMeter, tell_recipe
from service.errors import InvalidInput, LedgerUnavailable
from service.records import Look, Snapshot
from service.thresholds import WatchedThresholds
from tests.exporters.snapshot import KNOWN, SNAPSHOT
from tests.servers import program

GOLDEN = Path(__file__).parents[1] / "golden/metrics.prom"
VARIES = re.compile(r"^(redrabbit_collector_seconds\{.*\}) .*$", re.MULTILINE)


@pytest.fixture
def watched(tmp_path: Path) -> WatchedThresholds:
    file = tmp_path / "thresholds.yaml"
    file.write_text("lines: {a: {recall: {page: 0.75}}}\n")
    return WatchedThresholds(file)


def _everything(watched: WatchedThresholds) -> str:
    """All three processes' metrics and the totals, one after the other."""
    worker, station = CollectorRegistry(), CollectorRegistry()
    meter = WorkerMeter("a", worker)
    meter.observe("total", 0.02, 3)
    meter.dropped("left", "broken")
    meter.redelivered("left")
    meter.camera_waiting("left", 7)
    meter.camera_dead("left", 1)
    meter.camera_up("left", True)
    meter.camera_frame("left", 1_700_000_000.0)
    meter.camera_triggers("left", 2)
    meter.camera_repeats("left", 0)
    meter.camera_sight("left", Look(0.02, 0.5, 0.03), Look(0.04, 0.5, 0.01))
    meter.ledger_up(True)
    meter.store_up(True)
    meter.pictures_waiting(3)
    meter.gated(True)
    meter.swapped("active", "taken")
    meter.shadow_dropped(16)
    meter.release_up("mqtt://broker/plant/cells", True)
    meter.released("mqtt://broker/plant/cells", 0.004)
    meter.failsafe("mqtt://broker/plant/cells", 2)
    tell_recipe(worker, "cells", "red", "red cells")
    doors = StationMetrics(station)
    doors.rejected("a", "unknown_class")
    doors.request("/v1/labels", 200, 0.01)
    doors.ledger_unavailable()
    texts = [
        exposition(registry.collect()).decode()
        for registry in (snapshot_metrics(lambda: SNAPSHOT, watched), worker, station)
    ]
    texts.append(_own_of_the_publisher())
    texts.append(exposition(totals.families((), [totals.Total(("crack", "24h"), KNOWN)])).decode())
    return VARIES.sub(r"\1 0.001", "".join(texts))


def _own_of_the_publisher() -> str:
    """Its other families are called as the worker's, which the page has already."""
    registry = CollectorRegistry()
    PublisherMeter("a", registry).published("left")
    lines = exposition(registry.collect()).decode().splitlines(keepends=True)
    return "".join(line for line in lines if "frames_published" in line)


def test_the_metrics_are_the_golden_ones(watched: WatchedThresholds) -> None:
    """Names and labels are public. To take a wanted change over: write `_everything` into the golden file and look at the diff."""
    assert _everything(watched) == GOLDEN.read_text(encoding="utf-8")


def test_promtool_finds_nothing_to_complain_about(watched: WatchedThresholds) -> None:
    """Units, suffixes and help texts follow Prometheus' conventions."""
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=_everything(watched),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@given(
    rows=st.dictionaries(st.tuples(st.text(), st.text()), st.floats() | st.integers(-(10**12), 10**12), max_size=5),
    make=st.sampled_from([(gauge, GaugeMetricFamily, "x_ratio"), (counter, CounterMetricFamily, "x_total")]),
)
def test_a_family_is_written_as_the_library_writes_it(
    rows: dict[tuple[str, str], float], make: tuple[Any, Any, str]
) -> None:
    """Byte by byte, whatever stands in a label and however large or small the number; and its samples are the library's."""
    ours, theirs, name = make
    fast, plain = ours(name, "Help.", "defect"), theirs(f"redrabbit_{name}", "Help.", labels=("line", "defect"))
    for labels, value in rows.items():
        fast.add_metric(labels, value)
        plain.add_metric(labels, value)
    registry = CollectorRegistry()
    registry.register(Collectors(lambda: SNAPSHOT, [("x", lambda _: [plain])]))
    expected = generate_latest(registry).decode().partition("# HELP redrabbit_collector")[0]
    assert exposition([fast]).decode() == expected
    told = [[(one.name, one.labels, str(float(one.value))) for one in family.samples] for family in (fast, plain)]
    assert told[0] == told[1]


def test_what_cannot_be_estimated_is_absent(watched: WatchedThresholds) -> None:
    """Never 0, 1 or NaN in place of a number; the withheld point is absent while its limits stand."""
    text = generate_latest(snapshot_metrics(lambda: SNAPSHOT, watched)).decode()
    rows = [line for line in text.splitlines() if line.startswith(("redrabbit_recall_ratio", "redrabbit_recall_lower"))]
    assert [line for line in rows if 'window="10000 parts"' in line] == []
    assert [line for line in rows if line.startswith("redrabbit_recall_ratio") and 'defect="crack"' in line] == []
    assert [line for line in rows if line.startswith("redrabbit_recall_lower") and 'defect="crack"' in line] != []
    assert "NaN" not in text
    assert 'line="new"' not in "".join(line for line in text.splitlines() if "timestamp" in line)


def _good(_: Snapshot) -> Iterator[Metric]:
    yield GaugeMetricFamily("redrabbit_good", "Good.", 1.0)


def _half(_: Snapshot) -> Iterator[Metric]:
    yield GaugeMetricFamily("redrabbit_half", "Half.", 1.0)
    raise ZeroDivisionError


def test_a_collector_that_fails_takes_no_other_down() -> None:
    """Its families are dropped with it, and the failure is a series."""
    registry = CollectorRegistry()
    registry.register(Collectors(lambda: SNAPSHOT, [("half", _half), ("good", _good)]))
    text = generate_latest(registry).decode()
    assert "redrabbit_good 1.0" in text and "redrabbit_half" not in text
    assert 'redrabbit_collector_success{collector="half"} 0.0' in text
    assert 'redrabbit_collector_success{collector="good"} 1.0' in text


def test_a_ledger_that_is_not_there_is_said_and_not_hidden() -> None:
    """The scrape answers, with the snapshot marked as failed."""

    def gone() -> Snapshot:
        raise LedgerUnavailable("no ledger yet")

    registry = CollectorRegistry()
    registry.register(Collectors(gone, [("good", _good)]))
    text = generate_latest(registry).decode()
    assert 'redrabbit_collector_success{collector="snapshot"} 0.0' in text
    assert "redrabbit_good" not in text


def test_thresholds_are_series_and_follow_the_file(watched: WatchedThresholds) -> None:
    """A good edit changes them; a bad one keeps them and says so."""
    registry = snapshot_metrics(lambda: SNAPSHOT, watched)
    page = {"line": "a", "defect": "crack", "severity": "page"}
    assert registry.get_sample_value("redrabbit_recall_threshold_ratio", page) == 0.75
    watched.path.write_text("lines: {a: {recall: {page: 0.85}}}\n")
    assert registry.get_sample_value("redrabbit_recall_threshold_ratio", page) == 0.85
    watched.path.write_text("lines: {a: {recall: {page: 85}}}\n")
    assert registry.get_sample_value("redrabbit_recall_threshold_ratio", page) == 0.85
    assert registry.get_sample_value("redrabbit_thresholds_valid") == 0.0


def test_metrics_are_served_and_nothing_else() -> None:
    """GET /metrics and /healthz; the rest is refused politely."""
    registry = CollectorRegistry()
    registry.register(Collectors(lambda: SNAPSHOT, [("good", _good)]))
    server = serve_metrics("127.0.0.1:0", registry)
    try:
        base = f"http://127.0.0.1:{server.port}"
        assert "redrabbit_good 1.0" in httpx.get(f"{base}/metrics").text
        assert httpx.get(f"{base}/healthz").status_code == 200
        assert httpx.get(f"{base}/etc/passwd").status_code == 404
        assert httpx.post(f"{base}/metrics").status_code == 405
        with pytest.raises(InvalidInput, match=f"127.0.0.1:{server.port}"):
            serve_metrics(f"127.0.0.1:{server.port}", registry)
    finally:
        server.close()
