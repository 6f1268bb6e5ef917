"""A real worker with several releases at once: the PLC has its verdict though the broker is gone, and both stand in its metrics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cameras.stage import png
from tests.releases.plc import Plc, plc
from tests.servers import free_port, until

ROOT = Path(__file__).parents[2]
SEQUENCE, HEARTBEAT, READY, CODE = 0, 1, 2, 3


@pytest.fixture
def controls() -> Iterator[Plc]:
    with plc() as server:
        yield server


def test_several_releases_at_once_one_of_them_down(tmp_path: Path, controls: Plc) -> None:
    """Every part reaches the PLC and the log; for the broker that is not there the fail-safe is counted. The sign of life ends with the worker."""
    (inbox := tmp_path / "in").mkdir()
    (config := tmp_path / "line.yaml").write_text(
        f"line: a\nmodel: {ROOT}/deploy/models/el-cells.onnx\nallow_ungated: true\nthresholds: {ROOT}/thresholds.yaml\n"
        f"cameras: {{left: 'folder://{inbox}?settle=100ms'}}\nmetrics: {{worker: '127.0.0.1:{(port := free_port())}'}}\n"
        f"releases:\n  - log://{tmp_path}/verdicts.jsonl\n  - mqtt://127.0.0.1:{free_port()}/hall/a?deadline=100ms\n"
        f"  - modbus://127.0.0.1:{controls.port}?deadline=10s&heartbeat=200ms\n"
    )
    command = [sys.executable, "-m", "service.cli", "worker", "--config", str(config)]
    worker = subprocess.Popen(command, env=os.environ | {"NOTIFY_SOCKET": ""})
    try:
        until(lambda: controls.holding[READY] == 1, "the inspector is ready")
        for number in range(3):
            (inbox / f"p{number}.png").write_bytes(png(number))
        until(lambda: controls.holding[SEQUENCE] == 3, "three verdicts")
        log = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
        codes = {"pass": 1, "audit": 1, "reject": 2}
        assert controls.written(CODE) == [codes[one["verdict"]] for one in log]

        def metrics() -> str:
            return httpx.get(f"http://127.0.0.1:{port}/metrics").text

        until(
            lambda: "redrabbit_release_failsafe_total" in (text := metrics()) and _value(text, "mqtt") == 3, "counted"
        )
        text = metrics()
        assert _value(text, "modbus") == 0
        assert _value(text, "modbus", "redrabbit_release_up") == 1
        assert _value(text, "mqtt", "redrabbit_release_up") == 0
        assert _value(text, "modbus", "redrabbit_release_seconds_count") == 3
        worker.terminate()
        assert worker.wait(60) == 0
        assert controls.holding[READY] == 0
    finally:
        worker.kill()
        worker.wait()


def _value(text: str, scheme: str, name: str = "redrabbit_release_failsafe_total") -> float:
    found = (line for line in text.splitlines() if line.startswith(name + "{") and f'release="{scheme}://' in line)
    return float(next(found).rpartition(" ")[2])
