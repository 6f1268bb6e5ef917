"""From the camera to the pager, on real servers: a fault pages, a healthy line does not, a stopped worker does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.e2e.demo import Demo, running
from tests.servers import Stack, until

PAGE = "DefectRecallBelowThreshold"


def _stack(make: Callable[..., Stack], demo: Demo) -> Stack:
    return make(
        {
            "redrabbit-exporter": [demo.exporter],
            "redrabbit-worker": [demo.worker],
            "redrabbit-station": [demo.station],
        }
    )


def test_a_camera_out_of_focus_reaches_the_pager(tmp_path: Path, prometheus_stack: Callable[..., Stack]) -> None:
    """The demo with a fault: the page arrives, names line and defect, and says where the runbook is."""
    with running(tmp_path / "home", "--rate", "60", "--prevalence", "0.2", "--fault", "defocus@0") as demo:
        stack = _stack(prometheus_stack, demo)
        until(lambda: stack.receiver.named(PAGE), "the page", patience=150)
        page = stack.receiver.named(PAGE)
    assert page is not None
    assert page["labels"]["line"] == "el-cells"
    assert page["labels"]["defect"] == "defective"
    assert page["labels"]["severity"] == "page"
    assert "runbook" in page["annotations"]["runbook_url"]
    assert "el-cells" in page["annotations"]["summary"] and "defective" in page["annotations"]["summary"]


def test_a_healthy_line_pages_nobody_and_a_stopped_worker_does(
    tmp_path: Path, prometheus_stack: Callable[..., Stack]
) -> None:
    """Many closed buckets without a page; then the worker is stopped and stays stopped."""
    with running(tmp_path / "home", "--rate", "60", "--prevalence", "0.2") as demo:
        stack = _stack(prometheus_stack, demo)
        until(lambda: demo.value("redrabbit_closed_buckets") >= 15, "fifteen closed buckets", patience=150)
        assert "Watchdog" in stack.receiver.names(), "nothing reaches the receiver at all"
        assert not stack.receiver.names() & {PAGE, "WorkerDown", "ExporterDown", "CameraDown", "LedgerUnavailable"}
        worker = demo.pid("worker")
        assert worker is not None
        os.kill(worker, signal.SIGSTOP)
        try:
            until(lambda: stack.receiver.named("WorkerDown"), "the page of the stopped worker", patience=150)
        finally:
            os.kill(worker, signal.SIGCONT)
    down = stack.receiver.named("WorkerDown")
    assert down is not None and down["labels"]["severity"] == "page"
