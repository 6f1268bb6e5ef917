"""kill -9 of each process in turn while the demo runs: nothing acknowledged is missing, nothing is double."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import httpx

from service.ledger.store import open_ledger
from tests.e2e.demo import Demo, running
from tests.servers import until


class Inspector(Thread):
    """Labels parts of its own choice and remembers what was acknowledged. Labels are sent again until they are."""

    def __init__(self, demo: Demo) -> None:
        super().__init__(daemon=True)
        self._demo = demo
        self.stopping = Event()
        self.acknowledged: list[str] = []
        self.failures = 0

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            part_id = f"el-5-{number:06d}"
            body = {"part_id": part_id, "label": "good", "inspector": "vera", "labelled_at": time.time()}
            try:
                answer = httpx.post(f"http://{self._demo.station}/v1/labels", json=body, timeout=5)
                if answer.is_success:
                    self.acknowledged.append(part_id)
                    number += 1
                    continue
            except httpx.HTTPError:
                pass
            self.failures += 1
            time.sleep(0.05)


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Every released verdict is recorded once; every acknowledged label is there once; the line goes on."""
    with running(tmp_path / "home", "--seed", "5", "--rate", "60") as demo:
        inspector = Inspector(demo)
        inspector.start()
        for name in ("worker", "station", "exporter", "worker", "station"):
            before = demo.parts()
            until(lambda least=before + 40: demo.parts() > least, f"the line going on before {name} is killed")
            demo.kill(name)
        until(lambda: inspector.failures and inspector.is_alive() and demo.parts(), "the exporter after the kills")
        before, labels = demo.parts(), len(inspector.acknowledged)
        until(lambda: demo.parts() > before + 60, "the line going on after the kills")
        until(lambda: len(inspector.acknowledged) > labels + 20, "labels after the kills")
        inspector.stopping.set()
        inspector.join(10)
    released = [json.loads(line) for line in demo.released.read_text().splitlines() if line.endswith("}")]
    with closing(open_ledger(demo.ledger, time.time, read_only=True)) as ledger:
        recorded = {row.verdict.part_id: row for row in ledger.parts_after(0, 100_000)}
        labelled = Counter(
            row.label.part_id for row in ledger.labels_after(0, 100_000) if row.label.inspector == "vera"
        )
    assert released and {row["part_id"] for row in released} <= set(recorded)
    assert all(recorded[row["part_id"]].verdict.outcome == row["verdict"] for row in released)
    assert sorted(row.ordinal for row in recorded.values()) == list(range(len(recorded)))
    assert [recorded[f"el-5-{n:06d}"].ordinal for n in range(len(recorded))] == list(range(len(recorded)))
    assert inspector.failures > 0, "the station was killed and nobody noticed"
    assert set(inspector.acknowledged) <= set(labelled)
    assert set(labelled.values()) == {1}


def test_a_demo_that_was_killed_leaves_nobody_behind_and_goes_on_from_there(tmp_path: Path) -> None:
    """kill -9 of the supervisor: its processes drain and end; the next start in the same folder continues."""
    options = ("--seed", "6", "--rate", "60")
    with running(tmp_path / "home", *options, killed=True) as demo:
        until(lambda: demo.parts() > 50, "fifty parts")
        demo.process.kill()
        until(lambda: not any(demo.pid(name) for name in ("worker", "station", "exporter")), "the end of all three")
    with closing(open_ledger(demo.ledger, time.time, read_only=True)) as ledger:
        before = len(ledger.parts_after(0, 100_000))
    with running(tmp_path / "home", *options) as demo:
        until(lambda: demo.parts() > before + 20, "the line going on")
    with closing(open_ledger(demo.ledger, time.time, read_only=True)) as ledger:
        rows = ledger.parts_after(0, 100_000)
    assert [row.verdict.part_id for row in rows] == [f"el-6-{n:06d}" for n in range(len(rows))]
