"""How a camera sees, as a user meets it: on the worker's own page and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx

from service.ledger.store import open_ledger
from service.model.passport import digest
from service.records import CameraReference
from tests.servers import free_port, until

MODEL = Path(__file__).parents[2] / "deploy/models/el-cells.onnx"


def _sharpness(address: str) -> float | None:
    try:
        text = httpx.get(f"http://{address}/metrics").text
    except httpx.TransportError:
        return None
    found = [line for line in text.splitlines() if line.startswith("redrabbit_camera_sharpness_ratio")]
    return float(found[0].split()[-1]) if found else None


def test_a_camera_out_of_focus_shows_at_once_and_its_reference_can_be_taken_anew(tmp_path: Path) -> None:
    """Against what the ledger says of the healthy camera: a tenth of the detail. Asked to look anew, the worker says nothing until it has."""
    address, database = f"127.0.0.1:{free_port()}", f"sqlite:///{tmp_path}/var/redrabbit.db"
    settings = {
        "line": "cells",
        "model": str(MODEL),
        "allow_ungated": True,
        "cameras": {"top": "dataset://elpv?fault=defocus@0&rate=20"},
        "metrics": {"worker": address},
    }
    config = tmp_path / "line.yaml"
    config.write_text(json.dumps(settings))
    (tmp_path / "thresholds.yaml").write_text("defaults: {}\n")

    def cameras(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "service.cli", "cameras", *words, "--config", str(config)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert cameras("list").returncode == 2
    (tmp_path / "var").mkdir()
    with closing(open_ledger(database, time.time)) as ledger:
        ledger.keep_camera_reference(
            CameraReference("cells", "top", digest(MODEL.read_bytes()), 100, 0.077, 0.6, 0.0, "")
        )
    worker = subprocess.Popen([sys.executable, "-m", "service.cli", "worker", "--config", str(config)])
    try:
        until(lambda: _sharpness(address) is not None, "the camera's sharpness", patience=60)
        assert 0.05 < (_sharpness(address) or 0) < 0.2
        assert "sharpness 0.0770" in cameras("list").stdout
        wrong = cameras("retake", "left")
        assert wrong.returncode == 2 and "expected one of top" in wrong.stderr
        assert cameras("retake", "top", "--by", "eva").returncode == 0
        until(lambda: _sharpness(address) is None, "the old reference to be forgotten", patience=60)
        assert "as eva asked" in cameras("list").stdout
    finally:
        worker.terminate()
        assert worker.wait(40) == 0
