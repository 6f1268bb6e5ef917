"""`redrabbit worker` on a line of industrial cameras: recorded parts, metrics, and a camera that refuses what line.yaml asks for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import genicam
import httpx
import yaml

from service.cli.demo import MODEL
from service.ledger.store import open_ledger
from service.records import NotInspected
from tests.cameras.gige_peers import VIVA, viva
from tests.servers import free_port, until

PRODUCER = quote(str((Path(genicam.__file__).parent / "viky.cti").resolve()))
OURS = f"gige://{VIVA}?exposure=3ms&PixelFormat=Mono8"


def _line(folder: Path, **cameras: str) -> str:
    """Returns the address of the worker's metrics."""
    (folder / "thresholds.yaml").write_text("defaults: {}\n")
    worker = f"127.0.0.1:{free_port()}"
    settings = {
        "line": "a",
        "model": str(MODEL),
        "allow_ungated": True,
        "cameras": cameras,
        "metrics": {"worker": worker},
        "parts": {"wait": "100ms", "missing": "stop"},
        "releases": [f"log://{folder}/verdicts.jsonl"],
    }
    (folder / "line.yaml").write_text(yaml.safe_dump(settings))
    return worker


def _command(folder: Path, name: str) -> list[str]:
    return [sys.executable, "-m", "service.cli", name, "--config", str(folder / "line.yaml")]


def test_a_line_of_two_cameras_records_their_parts(tmp_path: Path) -> None:
    """Each part under its camera with the camera's number in its id; triggers and losses on /metrics; the lost one is a record; a clean end."""
    worker = _line(tmp_path, top=OURS, side=f"gentl://{PRODUCER}?serial=1")
    with viva(fps=5, drop_packets=[(8, 1)], packet_resend=False):
        running = subprocess.Popen(_command(tmp_path, "worker"))
        try:
            until(
                lambda: 'frames_dropped_total{camera="top",line="a",reason="incomplete"} 1.0' in _metrics(worker),
                "a loss",
            )
            until(lambda: len(_cameras(tmp_path)) == 2, "parts of both cameras")
            until(lambda: _missing(tmp_path), "the picture after the lost one has shown the gap")
            said = _metrics(worker)
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
    assert 'redrabbit_camera_up{camera="top",line="a"} 1.0' in said
    assert 'redrabbit_camera_up{camera="side",line="a"} 1.0' in said
    assert 'redrabbit_camera_triggers_total{camera="top",line="a"}' in said
    found = _missing(tmp_path)
    told = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert found and {(one.reason, one.outcome) for one in found} == {("no_picture", "stop")}
    missing = {one["part_id"] for one in told if one.get("not_inspected") and one["camera"] == "top"}
    assert missing == {one.part_id for one in found}


def test_what_the_camera_refuses_ends_the_worker_in_one_line(tmp_path: Path) -> None:
    """With status 2, as any other fault of line.yaml; `check` says the same."""
    _line(tmp_path, top=f"{OURS}&Width=9999")
    with viva():
        for name in ("check", "worker"):
            done = subprocess.run(_command(tmp_path, name), capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 2
            why = "Width=9999: Width of this camera is 16 to 4096, found 9999"
            assert done.stderr == f"redrabbit: camera top: {OURS}&Width=9999: {why}\n"


def _metrics(worker: str) -> str:
    try:
        return httpx.get(f"http://{worker}/metrics", timeout=5).text
    except httpx.HTTPError:
        return ""


def _missing(folder: Path) -> list[NotInspected]:
    """Of the camera that loses one."""
    with closing(open_ledger(f"sqlite:///{folder}/var/redrabbit.db", lambda: 0.0, read_only=True)) as ledger:
        return [one for _, _, one in ledger.not_inspected_after(0, 99) if one.camera == "top"]


def _cameras(folder: Path) -> set[str]:
    with closing(open_ledger(f"sqlite:///{folder}/var/redrabbit.db", lambda: 0.0, read_only=True)) as ledger:
        rows = ledger.parts_after(0, 100)
    return {row.verdict.camera for row in rows}
