"""A plant of real processes over one ledger: a camera that is fed numbered parts, release logs, and a client that labels.

`Plant` is one machine with SQLite. `Shared` has a camera's machine, two workers of the line, JetStream and PostgreSQL.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import cv2
import httpx
import numpy as np
import yaml

from service.jetstream import PART, consumer
from service.ledger.store import open_ledger
from tests.jetstream import Nats
from tests.jetstream import running as running_nats
from tests.model.test_model import SAYS, _toy
from tests.postgres import Postgres
from tests.postgres import running as running_postgres
from tests.servers import free_port, until

PATIENCE = 180.0
BAD_INPUT = 2
"""Status of a process that could not begin."""

AT_ONCE = 40
MODEL = _toy(SAYS | {"name": "faults", "classes": ["good", "defective"], "thresholds": {"defective": 0.5}})
CLOSES_AFTER = 3
THRESHOLDS = f"""
defaults:
  recall: {{page: 0.8, warn: 0.9}}
  windows: [{{parts: 500}}]
  bucket: {{parts: 50, closes_after: {CLOSES_AFTER}s}}
  false_page_every: 30d
  audit: {{budget: 0.3}}
  labels: {{second_look: false}}
"""


def fed_as(part_id: str) -> str:
    """A folder's file that seems to come from the future is called after its time too: `p7~.png18e…`."""
    return part_id.split("~")[0]


class Plant:
    """One machine, a ledger in SQLite.

    fed: parts handed to the camera so far, `p0`, `p1` ...; rate: of them a second; size: pixels of their sides.
    outage: seconds that a server is gone. acknowledged: {part: label} that was answered
    with 2xx. environment: of every process, read when one starts."""

    workers: tuple[str, ...] = ("worker",)
    stream = ""

    def __init__(self, folder: Path, rate: float = 20.0) -> None:
        """folder: empty, its own."""
        self.folder = folder
        self.rate = rate
        self.size = 16
        self.outage = 60.0
        self.fed = 0
        self.acknowledged: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self._inbox, self._done = folder / "in", folder / "done"
        self._ports = {name: free_port() for name in ("station", "exporter", "camera", *self.workers)}
        self._released: dict[str, list[dict[str, Any]]] = {name: [] for name in self.workers}
        self._read = dict.fromkeys(self.workers, 0)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._feeding, self._labelling, self.pausing = Event(), Event(), Event()
        self._threads = [Thread(target=self._feed, daemon=True), Thread(target=self._label, daemon=True)]
        self._opened = ExitStack()

    @property
    def processes(self) -> tuple[str, ...]:
        return (*self.workers, "station", "exporter")

    @property
    def ledger(self) -> str:
        return f"sqlite:///{self.folder}/var/ledger.db"

    def __enter__(self) -> Self:
        try:
            for name in ("in", "done", "var"):
                (self.folder / name).mkdir()
            self._servers(self._opened)
            (self.folder / "model.onnx").write_bytes(MODEL)
            (self.folder / "thresholds.yaml").write_text(THRESHOLDS)
            self._log = self._opened.enter_context((self.folder / "log").open("ab"))
            for name in self.processes:
                self.start(name)
            self._headers = {"Authorization": f"Bearer {self._made_token()}"}
            for thread in self._threads:
                thread.start()
            self.wait_for(*self.processes)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._feeding.set()
        self._labelling.set()
        for process in self._running.values():
            process.kill()
            process.wait()
        self._opened.close()

    def _servers(self, opened: ExitStack) -> None:
        """None on one machine."""

    def _settings(self, name: str) -> dict[str, Any]:
        """line.yaml of one process."""
        ports = {key: f"127.0.0.1:{self._ports[of]}" for key, of in self._listens(name).items()}
        return {
            "line": "a",
            "model": f"{self.folder}/model.onnx",
            "models": f"{self.folder}/var/models",
            "allow_ungated": True,
            "ledger": self.ledger,
            "thresholds": f"{self.folder}/thresholds.yaml",
            "audit_key": f"{self.folder}/var/audit.key",
            "images": {"folder": f"{self.folder}/var/images"},
            "cameras": {"left": self.stream or self.source},
            "releases": [f"log://{self.folder}/var/{name}.jsonl"],
            "station": {"listen": f"127.0.0.1:{self._ports['station']}"},
            "metrics": ports,
        }

    def _listens(self, name: str) -> Mapping[str, str]:
        return {"worker": name if name in self.workers else self.workers[0], "exporter": "exporter", "camera": "camera"}

    @property
    def source(self) -> str:
        return f"folder://{self._inbox}?settle=100ms&done={self._done}"

    def start(self, name: str) -> None:
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(self._settings(name)))
        command = [sys.executable, "-m", "service.cli", name.split("-")[0], "--config", str(file)]
        environment = os.environ | self.environment | {"FAKETIME_TIMESTAMP_FILE": str(self.clock(name))}
        self._running[name] = subprocess.Popen(
            command, env=environment, stdout=self._log, stderr=self._log, cwd=self.folder
        )

    def clock(self, name: str) -> Path:
        """A file with what is added to this process's clock, where it runs under libfaketime."""
        return self.folder / f"{name}.clock"

    def kill(self, name: str) -> None:
        """kill -9, and gone."""
        assert self.runs(name), f"{name} ended by itself: {self._end_of_log()}"
        self._running[name].kill()
        self._running[name].wait()

    def runs(self, name: str) -> bool:
        return self._running[name].poll() is None

    def wait_for(self, *names: str) -> None:
        """Waits until these do their work (again): release a part, acknowledge a label, answer a scrape."""
        for name in names:
            until(self._works(name), partial(self._told, f"{name} at work"), PATIENCE)

    def _works(self, name: str) -> Callable[[], bool]:
        done = self._does(name)
        before = done()

        def works() -> bool:
            if self._running[name].poll() == BAD_INPUT:
                self.start(name)  # its ledger was away just when it began; whoever watches over it starts it again
            return done() > before

        return works

    def _does(self, name: str) -> Callable[[], int]:
        """A number that grows as long as this process does its work."""
        if name == "exporter":
            return self._scraped
        if name == "station":
            return lambda: len(self.acknowledged)
        return lambda: self._log_of(name).stat().st_size if self._log_of(name).exists() else 0

    def _scraped(self) -> int:
        try:
            page = httpx.get(f"http://127.0.0.1:{self._ports['exporter']}/metrics", timeout=10).text
        except httpx.HTTPError:
            return 0
        return int("redrabbit_parts_total{" in page) * time.monotonic_ns()

    def _log_of(self, worker: str) -> Path:
        return self.folder / f"var/{worker}.jsonl"

    def _told(self, what: str) -> str:
        codes = {name: process.poll() for name, process in self._running.items()}
        return f"{what}; ended: {codes}; {self._end_of_log()}"

    def _end_of_log(self) -> str:
        return (self.folder / "log").read_text()[-2000:]

    def released(self) -> list[dict[str, Any]]:
        """What went out so far. A line that was cut off, by a kill or a full disk, went nowhere."""
        for name, found in self._released.items():
            if not self._log_of(name).exists():
                continue
            with self._log_of(name).open("rb") as log:
                log.seek(self._read[name])
                for line in log:
                    if not line.endswith(b"\n"):
                        break
                    self._read[name] += len(line)
                    with suppress(json.JSONDecodeError):
                        found.append(json.loads(line))
        return [one for found in self._released.values() for one in found]

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The station, as an engineer."""
        url = f"http://127.0.0.1:{self._ports['station']}{path}"
        return httpx.request(method, url, headers=self._headers, timeout=20, **more)

    def drain(self) -> None:
        """No more parts; waits until each one that was fed has been taken and labelled; then all processes end as they should."""
        self._feeding.set()
        self._threads[0].join()
        self._worked_off(self._left, "parts")
        self._worked_off(lambda: len(self._to_label()), "labels")
        self._labelling.set()
        self._threads[1].join()

    def end(self) -> None:
        """All processes, in order."""
        for process in self._running.values():
            process.terminate()
        codes = {name: process.wait(60) for name, process in self._running.items()}
        assert codes == dict.fromkeys(codes, 0), f"{codes}: {self._end_of_log()}"

    def _left(self) -> int:
        """Parts that nobody has taken yet."""
        return len([*self._inbox.glob("*.png")])

    def _worked_off(self, left: Callable[[], int], what: str) -> None:
        """Waits until none is left, however many they are; a plant that makes no headway fails."""
        fewest, since = left(), time.monotonic()
        while (now := left()) > 0:
            if now < fewest:
                fewest, since = now, time.monotonic()
            assert time.monotonic() - since < PATIENCE, f"{now} {what} left for {PATIENCE:g} s; {self._end_of_log()}"
            time.sleep(0.1)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`redrabbit …` with the settings of the first worker."""
        command = [
            sys.executable,
            "-m",
            "service.cli",
            *words,
            "--config",
            str(self.folder / f"{self.workers[0]}.yaml"),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)

    def _made_token(self) -> str:
        until(self.ready, partial(self._told, "a ledger to put a token in"), PATIENCE)
        return self.command("token", "add", "vera", "--role", "engineer").stdout.strip()

    def ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self._ports['station']}/readyz", timeout=10).is_success
        return False

    def _feed(self) -> None:
        while not self._feeding.wait(1 / self.rate):
            if not self.pausing.is_set():
                grey = np.full((self.size, self.size), self.fed * 37 % 100 * 2.55, np.uint8)
                self.feed(f"p{self.fed}", cv2.imencode(".png", grey)[1].tobytes())
                self.fed += 1

    def feed(self, part_id: str, content: bytes) -> None:
        """A picture as a camera leaves it in the folder."""
        file = self._inbox / f"{part_id}.tmp"
        file.write_bytes(content)
        file.rename(file.with_suffix(".png"))

    def truth(self, part_id: str) -> str:
        """What an inspector sees: every third part is defective, which the model cannot know; so there is a page."""
        return "good" if int(fed_as(part_id)[1:]) % 3 else "defective"

    def _to_label(self) -> list[str]:
        found = (one["part_id"] for one in self.released() if one["verdict"] != "pass")
        return [*dict.fromkeys(part for part in found if part not in self.acknowledged)]

    def _label(self) -> None:
        """Rejects and audits in the order of their release; each until it is acknowledged."""
        while not self._labelling.wait(0.1):
            if parts := self._to_label()[:AT_ONCE]:
                with suppress(httpx.HTTPError):
                    self.label(parts)

    def label(self, parts: list[str]) -> None:
        """One request, the station's clock; what is answered with 2xx, and not refused, counts as acknowledged."""
        body = [{"part_id": part, "label": self.truth(part), "inspector": "vera"} for part in parts]
        answer = self.call("POST", "/v1/labels", json=body)
        if answer.is_success:
            taken = (one for one, receipt in zip(body, answer.json(), strict=True) if receipt["status"] != "refused")
            self.acknowledged.update((one["part_id"], one["label"]) for one in taken)


class Shared(Plant):
    """Two workers, frames over JetStream, a ledger in PostgreSQL."""

    workers = ("worker-1", "worker-2")

    @property
    def processes(self) -> tuple[str, ...]:
        return ("camera", *super().processes)

    @property
    def ledger(self) -> str:
        return self._url

    def _servers(self, opened: ExitStack) -> None:
        self.nats: Nats = opened.enter_context(running_nats(self.folder / "nats"))
        self.postgres: Postgres = opened.enter_context(running_postgres())
        self._url = self.postgres.database()
        self.stream = f"nats://{self.nats.address}/parts"

    def _settings(self, name: str) -> dict[str, Any]:
        settings = super()._settings(name)
        if name == "camera":
            settings |= {"cameras": {"left": self.source}, "publish": self.stream}
        return settings

    def _does(self, name: str) -> Callable[[], int]:
        return (lambda: len([*self._done.iterdir()])) if name == "camera" else super()._does(name)

    def _left(self) -> int:
        """A nats-server that was killed may count, and keep, frames that it was told are done (docs/faults.md): only those that
        nobody has recorded are waited for."""
        waiting = super()._left()
        if self.nats.unacknowledged("parts", consumer("a", "left")):
            lying = self.nats.lying("parts", PART)
            with closing(open_ledger(self.ledger, time.time, read_only=True)) as ledger:
                waiting += len(set(lying) - ledger.known(lying).keys())
        return waiting
