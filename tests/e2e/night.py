"""A line under `redrabbit up` with its inspectors, watched by real servers whose rules wait shorter."""

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

from service.cli.datasets import Options
from service.demo.inspectors import SimulatedInspectors
from service.ledger.store import open_ledger
from tests.servers import Post, Stack, free_port, stack, until

MODEL = Path(__file__).parents[2] / "deploy/models/el-cells.onnx"
LINE = "el-cells"
CAMERA = Options(prevalence=0.3, seed=5, rate=50.0)
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

    def ended(self, name: str) -> list[Post]:
        """Notifications to the pager that all is over, this alert included: a call that two rules made ends with the later one."""
        return [post for post in self.pages(name, "resolved") if json.loads(post.body)["status"] == "resolved"]

    def pid(self, name: str) -> int:
        """Of worker, station or exporter."""
        wanted = f"{name}\0--config\0{self.folder}/line.yaml\0".encode()
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and (process / "cmdline").read_bytes().endswith(wanted):
                return int(process.name)
        raise AssertionError(f"no {name} runs")

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """A process that hangs: SIGSTOP, and later SIGCONT."""
        process = self.pid(name)
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)


@contextmanager
def night(folder: Path, **cameras: str) -> Iterator[Night]:
    """cameras: {name: URL} beside the one that gives pictures."""
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("station", "exporter", "worker")}
    settings = {
        "line": LINE,
        "model": str(MODEL),
        "allow_ungated": True,
        "cameras": {"top": CAMERA.url, **cameras},
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
