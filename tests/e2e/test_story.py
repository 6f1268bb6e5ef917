"""One night, from a clean start, on real servers: what reaches whoever is on call, and what does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import httpx
import onnx
import pytest

from service.cli.datasets import Options
from service.demo.inspectors import SimulatedInspectors
from service.ledger.store import open_ledger
from service.model.passport import bare
from tests.servers import Post, Stack, free_port, stack, until

MODEL = Path(__file__).parents[2] / "deploy/models/el-cells.onnx"
LINE = "el-cells"
CAMERA = Options(prevalence=0.3, seed=5, rate=50.0)
PAGE = "DefectRecallBelowThreshold"
HURRY = 6
"""The rules wait so many times shorter than deployed, or the night would take half an hour."""

RULES = """
defaults:
  recall:    {page: 0.60, warn: 0.60}
  precision: {warn: 0.05}
  windows:   [{parts: 400}]
  bucket:    {parts: 50, closes_after: 6s}
  false_page_every: 2h
  audit:     {budget: 0.5}
  labels:    {starved_after: 12s, second_look: true}
"""


@dataclass
class Night:
    """A line under `redrabbit up`, its inspectors, and the servers that watch it."""

    folder: Path
    stack: Stack
    addresses: dict[str, str]
    labelling: Event = field(default_factory=Event)

    def redrabbit(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "service.cli", *words, "--config", str(self.folder / "line.yaml")]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)

    def value(self, expression: str) -> float:
        """Of the only sample; 0 where there is none."""
        found = self.stack.query(expression)
        return float(found[0]["value"][1]) if found else 0.0

    def firing(self, name: str) -> bool:
        return bool(self.stack.query(f'ALERTS{{alertname="{name}", alertstate="firing"}}'))

    def pages(self, name: str, status: str = "firing") -> list[Post]:
        """Notifications to the pager with this alert in this state."""
        return [
            post
            for post in list(self.stack.receiver.posts)
            if post.path == "/pager"
            and any(
                one["labels"]["alertname"] == name and one["status"] == status
                for one in json.loads(post.body)["alerts"]
            )
        ]


@contextmanager
def night(folder: Path) -> Iterator[Night]:
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("station", "exporter", "worker")}
    settings = {
        "line": LINE,
        "model": str(MODEL),
        "allow_ungated": True,
        "cameras": {"top": CAMERA.url},
        "station": {"listen": addresses["station"], "open_on_loopback": True},
        "metrics": {"exporter": addresses["exporter"], "worker": addresses["worker"]},
    }
    (folder / "line.yaml").write_text(json.dumps(settings))
    (folder / "thresholds.yaml").write_text(RULES)
    with ExitStack() as opened:
        up = subprocess.Popen([sys.executable, "-m", "service.cli", "up", "--config", str(folder / "line.yaml")])
        opened.callback(_ended, up)
        until(lambda: all(map(_answers, addresses.values())), "the line")
        jobs = {f"redrabbit-{name}": [address] for name, address in addresses.items()}
        found = Night(folder, opened.enter_context(stack(folder / "servers", jobs, hurry=HURRY)), addresses)
        over = Event()
        people = Thread(target=_label, args=(found, over), daemon=True)
        found.labelling.set()
        people.start()
        opened.callback(people.join)
        opened.callback(over.set)
        yield found


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(60) == 0


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/healthz", timeout=2).is_success
    except httpx.HTTPError:
        return False


def _label(night: Night, over: Event) -> None:
    """Two inspectors, who come when `labelling` is set."""
    inspectors = SimulatedInspectors(CAMERA.production().actual, "good", CAMERA.seed, delay=1.5)
    sequence = 0
    with (
        closing(open_ledger(f"sqlite:///{night.folder}/var/redrabbit.db", time.time, read_only=True)) as ledger,
        httpx.Client(base_url=f"http://{night.addresses['station']}", timeout=30) as client,
    ):
        while not over.wait(0.5):
            for row in ledger.parts_after(sequence, 5_000):
                inspectors.take(row.verdict)
                sequence = row.sequence
            if night.labelling.is_set() and (labels := inspectors.until(time.time())):
                rows = [{"part_id": one.part_id, "label": one.label, "inspector": one.inspector} for one in labels]
                client.post("/v1/labels", json=rows).raise_for_status()


def _worse(file: Path) -> Path:
    """The same network, deciding so late that hardly a defect is rejected."""
    model = onnx.load_model_from_string(bare(MODEL.read_bytes()))
    said = next(one for one in model.metadata_props if one.key == "redrabbit")
    said.value = json.dumps(json.loads(said.value) | {"name": "late", "thresholds": {"defective": 0.97}})
    onnx.save(model, file)
    return file


@pytest.mark.timeout(900)
def test_the_story_of_a_night(tmp_path: Path) -> None:
    """Healthy; a bad model; one page. Labels stop; the page stands. Rolled back; it clears once. The worker hangs; that alone is told."""
    with night(tmp_path) as line:
        until(
            lambda: line.value("redrabbit_closed_buckets") >= 12, "a healthy quarter of an hour, in short", patience=120
        )
        assert "Watchdog" in line.stack.receiver.names()
        assert not [post for post in line.stack.receiver.posts if post.path == "/pager"]

        done = line.redrabbit("models", "activate", str(_worse(tmp_path / "late.onnx")), "--by", "eva")
        assert done.returncode == 0, done.stderr
        until(lambda: line.pages(PAGE), "the page", patience=180)
        page = line.stack.receiver.named(PAGE)
        assert page is not None
        _is_told_whole(page)

        line.labelling.clear()
        until(lambda: line.stack.receiver.named("DefectRecallUnknown"), "that nobody labels", patience=180)
        assert line.firing(PAGE) and not line.pages(PAGE, "resolved")

        line.labelling.set()
        assert line.redrabbit("models", "rollback", "--by", "eva").returncode == 0
        until(lambda: not line.firing(PAGE), "the page to clear", patience=240)
        until(lambda: line.pages(PAGE, "resolved"), "word of that")
        until(lambda: not line.firing("DefectRecallUnknown"), "the labels to be back", patience=120)
        assert len({json.loads(post.body)["groupKey"] for post in line.pages(PAGE)}) == 1

        told = len(line.stack.receiver.posts)
        worker = _pid(tmp_path)
        os.kill(worker, signal.SIGSTOP)
        try:
            until(lambda: line.pages("WorkerDown"), "the worker", patience=120)
            time.sleep(10)
        finally:
            os.kill(worker, signal.SIGCONT)
        since = [post for post in line.stack.receiver.posts[told:] if post.path == "/pager"]
        assert {name for post in since for name in post.names} == {"WorkerDown"}
        assert len({json.loads(post.body)["groupKey"] for post in since}) == 1


def _is_told_whole(page: dict[str, dict[str, str]]) -> None:
    """Line, defect, figures, and links that lead there."""
    labels, says = page["labels"], page["annotations"]
    assert (labels["line"], labels["defect"], labels["severity"]) == (LINE, "defective", "page")
    assert "defects escape" in says["summary"] and "60%" in says["description"] and LINE in says["description"]
    assert says["runbook_url"].endswith(f"/runbook#{PAGE.lower()}")
    assert says["dashboard_url"].endswith(f"/d/redrabbit-line?var-line={LINE}&var-defect=defective")
    assert says["station_url"]


def _pid(folder: Path) -> int:
    wanted = f"worker\0--config\0{folder}/line.yaml\0".encode()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and (process / "cmdline").read_bytes().endswith(wanted):
            return int(process.name)
    raise AssertionError("no worker runs")
