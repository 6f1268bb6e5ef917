"""Three workers, a station and an exporter on one ledger in PostgreSQL, as a user starts them, while the server is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from service.ledger.store import open_ledger
from tests.line import picture
from tests.model.test_model import SAYS, _toy
from tests.postgres import Postgres, running
from tests.servers import free_port, until

ROOT = Path(__file__).parents[2]
ANOTHER = _toy(SAYS | {"name": "another", "classes": ["good", "defective"], "thresholds": {"defective": 0.5}})
WORKERS = ("one", "two", "three")
EACH, SWAPPED = 40, 5


@pytest.fixture
def server() -> Iterator[Postgres]:
    with running() as started:
        yield started


def _settings(folder: Path, url: str) -> Mapping[str, str]:
    """The environment of one machine. All are of the same line, and have the same key for the draw."""
    folder.mkdir()
    (folder / "in").mkdir()
    (folder / "line.yaml").write_text(
        f"line: a\nmodel: {ROOT}/deploy/models/el-cells.onnx\nallow_ungated: true\nledger: {url}\n"
        f"models: {folder.parent}/models\n"
        f"thresholds: {ROOT}/thresholds.yaml\ncameras: {{{folder.name}: 'folder://{folder}/in?settle=100ms'}}\n"
        f"audit_key: {folder.parent}/audit.key\nimages: {{folder: {folder.parent}/images}}\nreleases: ['log://{folder}/released.jsonl']\n"
    )
    ports = {key: f"127.0.0.1:{free_port()}" for key in ("STATION__LISTEN", "METRICS__EXPORTER", "METRICS__WORKER")}
    return os.environ | {
        "REDRABBIT_CONFIG": str(folder / "line.yaml"),
        **{f"REDRABBIT_{key}": address for key, address in ports.items()},
    }


def _command(name: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "service.cli", name, *more]


def _metric(address: str, name: str) -> float:
    try:
        text = httpx.get(f"http://{address}/metrics", timeout=15).text
    except httpx.HTTPError:
        return -1.0
    found = [line for line in text.splitlines() if line.startswith(f"redrabbit_{name}{{")]
    return sum(float(line.split()[-1]) for line in found)


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/readyz", timeout=15).is_success
    except httpx.HTTPError:
        return False


def test_three_workers_on_one_ledger(server: Postgres, tmp_path: Path) -> None:
    """Every part is recorded once and released once, as it was recorded, although the server was killed in between; another model that
    one of them takes judges in all; the exporter and the station say the same of it, and `ledger verify` finds nothing."""
    url = server.database()
    machines = {name: _settings(tmp_path / name, url) for name in WORKERS}
    first = machines["one"]
    exporter, station = first["REDRABBIT_METRICS__EXPORTER"], first["REDRABBIT_STATION__LISTEN"]
    checked = subprocess.run(_command("check"), env=dict(first), capture_output=True, text=True, check=False)
    assert f"ledger      {url}, to be made at the first start" in checked.stdout
    with ExitStack() as opened:
        started = [(name, machines[name], _command("worker")) for name in WORKERS]
        started += [("station", first, _command("station")), ("exporter", first, _command("exporter"))]
        processes = {}
        for name, environment, command in started:
            processes[name] = opened.enter_context(subprocess.Popen(command, env=dict(environment)))
            opened.callback(processes[name].kill)
        until(
            lambda: _metric(exporter, "parts_total") == 0 and _ready(station),
            "station and exporter over an empty ledger",
        )
        for number in range(EACH):
            _photograph(tmp_path, number)
            if number == EACH // 2:
                until(lambda: _metric(exporter, "parts_total") >= 3, "the first parts in the ledger")
                server.kill()
                time.sleep(1)
                server.start()
        until(lambda: _metric(exporter, "parts_total") == len(WORKERS) * EACH, "every part in the ledger")
        (tmp_path / "another.onnx").write_bytes(ANOTHER)
        order = _command("models", "activate", str(tmp_path / "another.onnx"))
        subprocess.run(order, env=dict(first), capture_output=True, check=True)
        until(
            lambda: all(
                _metric(machines[name]["REDRABBIT_METRICS__WORKER"], "model_swaps_total") == 1 for name in WORKERS
            ),
            "the other model in all workers",
        )
        for number in range(EACH, EACH + SWAPPED):
            _photograph(tmp_path, number)
        until(lambda: _metric(exporter, "parts_total") == len(WORKERS) * (EACH + SWAPPED), "the parts after the swap")
        quality = httpx.get(f"http://{station}/v1/quality", headers=_token(first), timeout=15)
        assert quality.is_success
        for name in WORKERS:
            processes[name].terminate()
        assert [processes[name].wait(40) for name in WORKERS] == [0, 0, 0]
        done = subprocess.run(
            _command("ledger", "verify"), env=dict(first), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "good"), done.stdout + done.stderr
    released = [
        json.loads(line) for name in WORKERS for line in (tmp_path / name / "released.jsonl").read_text().splitlines()
    ]
    with closing(open_ledger(url, time.time, read_only=True)) as ledger:
        rows = ledger.parts_after(0, 1000)
        policies = ledger.draw_policies("a")
    assert sorted(row.verdict.part_id for row in rows) == sorted(
        f"{name}-{n}" for name in WORKERS for n in range(EACH + SWAPPED)
    )
    swapped = {row.verdict.part_id for row in rows if row.verdict.model == sha256(ANOTHER).hexdigest()}
    assert swapped == {f"{name}-{n}" for name in WORKERS for n in range(EACH, EACH + SWAPPED)}
    assert [row.ordinal for row in rows] == list(range(len(rows)))
    assert sorted((one["part_id"], one["verdict"]) for one in released) == sorted(
        (row.verdict.part_id, row.verdict.outcome.value) for row in rows
    )
    assert len(policies) == 2, "three workers began together, and changed over together"


def _photograph(folder: Path, number: int) -> None:
    """A part before each worker's camera."""
    for name in WORKERS:
        file = folder / name / "in" / f"{name}-{number}.png"
        file.with_suffix(".tmp").write_bytes(picture(number / EACH % 1))
        file.with_suffix(".tmp").rename(file)


def _token(environment: Mapping[str, str]) -> dict[str, str]:
    command = _command("token", "add", "probe", "--role", "engineer")
    made = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=True)
    return {"Authorization": f"Bearer {made.stdout.strip()}"}
