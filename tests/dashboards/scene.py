"""A demo with everything that the dashboards can show: a fault and its page, a shadow, challenge parts, a refused label."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import onnx

from service.cli.demo import MODEL
from service.ledger.store import open_ledger
from service.records import CameraReference
from tests.e2e.demo import Demo, running
from tests.servers import Stack, stack, until

RATE = 25
PATIENCE = 150


@contextmanager
def scene(folder: Path, fault_at: int) -> Iterator[tuple[Demo, Stack]]:
    """Two plants and a Prometheus that watches both. In `north`, which is yielded, the camera goes out of focus at that part."""
    fault = ("--rate", str(RATE), "--fault", f"defocus@{fault_at}")
    with (
        running(folder / "north", "--prevalence", "0.2", *fault) as north,
        running(folder / "south", "--prevalence", "0.2", "--rate", "10", "--seed", "2") as south,
    ):
        demos = {"north": north, "south": south}
        targets = {
            f"redrabbit-{job}": [getattr(demo, job) for demo in demos.values()]
            for job in ("exporter", "worker", "station")
        }
        plants = {
            getattr(demo, job): plant for plant, demo in demos.items() for job in ("exporter", "worker", "station")
        }
        with stack(folder / "servers", targets, plants) as servers:
            yield north, servers


def happen(demo: Demo, folder: Path) -> None:
    """Brings about what a healthy demo would not show, and waits for the fault's page and for the shadow's figures."""
    _order(demo, "models", "shadow", str(_eager(folder)), "--wait", "60")
    _order(demo, "challenge", "add", "RR-7", "--expect", "defective", "--every", "8h")
    httpx.post(
        f"http://{demo.station}/v1/labels", json={"part_id": _part(demo), "label": "nonsense", "inspector": "eva"}
    )
    _see(demo)
    for _ in range(5):
        _order(demo, "challenge", "report", _part(demo), "--as", "RR-7")
        time.sleep(2)
    for series in ("parts_at_risk{", "recall_ratio{", "shadow_recall_ratio{", "shadow_pvalue{", "challenge_evidence{"):
        until(lambda series=series: demo.value(f"redrabbit_{series}"), series, PATIENCE)  # type: ignore[misc]


def _order(demo: Demo, *words: str) -> None:
    command = [sys.executable, "-m", "service.cli", *words, "--config", str(demo.home / "line.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr


def _see(demo: Demo) -> None:
    """How the camera saw when the model took over: to be found out, that takes a hundred seconds."""
    with closing(open_ledger(demo.ledger, time.time)) as ledger:
        (model,) = (one for one in ledger.line_state()[0] if one.role == "active")
        ledger.keep_camera_reference(CameraReference(model.line, "demo", model.digest, 100, 0.03, 0.6, 0.0, ""))


def _part(demo: Demo) -> str:
    """A part that was rejected lately, which is what a challenge part should be."""
    with closing(open_ledger(demo.ledger, time.time, read_only=True)) as ledger:
        rejected = [row for row in ledger.parts_after(0, 100_000) if row.verdict.flagged]
    return str(rejected[-1].verdict.part_id)


def _eager(folder: Path) -> Path:
    """The demo's model with a lower threshold: it catches more and rejects more."""
    model = onnx.load(MODEL)
    says = next(entry for entry in model.metadata_props if entry.key == "redrabbit")
    changed = json.loads(says.value) | {"name": "el-cells-eager", "thresholds": {"defective": 0.28}}
    says.value = json.dumps(changed)
    file = folder / "eager.onnx"
    onnx.save(model, file)
    return file
