"""The three processes as systemd starts them: what they say to it, and that they say nothing while they hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port, until
from tests.systemd import Systemd

ROOT = Path(__file__).parents[2]


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with closing(Systemd(str(tmp_path / "notify"))) as receiver:
        yield receiver


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The environment of a line of the shipped model on free ports."""
    (tmp_path / "in").mkdir()
    config = tmp_path / "line.yaml"
    config.write_text(
        f"line: a\nmodel: {ROOT}/deploy/models/el-cells.onnx\nallow_ungated: true\n"
        f"thresholds: {ROOT}/thresholds.yaml\ncameras: {{left: 'folder://{tmp_path}/in?settle=100ms'}}\n"
    )
    yield os.environ | {
        "REDRABBIT_CONFIG": str(config),
        "REDRABBIT_STATION__LISTEN": f"127.0.0.1:{free_port()}",
        "REDRABBIT_METRICS__EXPORTER": f"127.0.0.1:{free_port()}",
        "REDRABBIT_METRICS__WORKER": f"127.0.0.1:{free_port()}",
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }


ADDRESS = {"worker": "METRICS__WORKER", "station": "STATION__LISTEN", "exporter": "METRICS__EXPORTER"}


@pytest.mark.parametrize("name", ADDRESS)
def test_a_process_says_that_it_is_ready_lives_hangs_and_stops(
    name: str, line: Mapping[str, str], systemd: Systemd
) -> None:
    """READY when it serves and not before, WATCHDOG again and again, nothing while it is stopped, STOPPING at SIGTERM."""
    process = subprocess.Popen([sys.executable, "-m", "service.cli", name], env=dict(line))
    try:
        assert systemd.next() == "READY=1"
        base = f"http://{line[f'REDRABBIT_{ADDRESS[name]}']}"
        assert httpx.get(f"{base}/healthz").is_success and httpx.get(f"{base}/readyz").is_success
        assert [systemd.next() for _ in range(2)] == ["WATCHDOG=1"] * 2
        process.send_signal(signal.SIGSTOP)
        assert systemd.quiet_for(6.0 if name == "worker" else 3.0)
        process.send_signal(signal.SIGCONT)
        assert systemd.next() == "WATCHDOG=1"
        process.terminate()
        until(lambda: systemd.next() == "STOPPING=1", "the word that it stops")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_worker_that_cannot_start_is_never_ready(line: Mapping[str, str], systemd: Systemd) -> None:
    """Its model is missing: one line, status 2 and not a word to systemd."""
    environment = dict(line) | {"REDRABBIT_MODEL": "none.onnx"}
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "worker"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "none.onnx" in done.stderr
    assert systemd.quiet_for(0.1)
