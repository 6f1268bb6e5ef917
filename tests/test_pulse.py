"""The sign of life: over a real socket as systemd has it, from real processes, and gone where one hangs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from exporters.serving import SIMULTANEOUS, serve_metrics
from service.drawing import DrawPolicies
from service.errors import LedgerUnavailable
from service.inspection import Inspection
from service.judges import Judges
from service.ledger.images import FolderImages
from service.ledger.store import SqlLedger, open_ledger
from service.pulse import Pulse
from service.records import Verdict
from service.thresholds import parse
from service.worker import Line, Worker
from tests.line import LINE, Brightness, Counts, Playlist, picture
from tests.servers import free_port, until

ROOT = Path(__file__).parents[1]
THRESHOLDS = parse("defaults: {}")


class Systemd:
    """The receiving end of $NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(60.0)

    def next(self) -> str:
        return self._socket.recv(4096).decode()

    def quiet_for(self, seconds: float) -> bool:
        """Whether nothing comes for so long, once what has been sent already is read."""
        self._socket.settimeout(seconds)
        began = time.monotonic()
        try:
            while time.monotonic() - began < 10.0:
                self.next()
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(60.0)
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with closing(Systemd(str(tmp_path / "notify"))) as receiver:
        yield receiver


def test_the_first_beat_says_ready_and_many_are_told_as_one(systemd: Systemd) -> None:
    """systemd is not flooded, however quick the loop is; the end is said too."""
    pulse = Pulse(systemd.address)
    assert pulse.alive and not pulse.ready
    for _ in range(1000):
        pulse.beat()
    assert (systemd.next(), systemd.next()) == ("READY=1", "WATCHDOG=1")
    assert pulse.alive and pulse.ready
    pulse.stopping()
    assert systemd.next() == "STOPPING=1"


def test_an_abstract_address_and_one_where_nobody_listens() -> None:
    """A leading @ is a socket without a file; a systemd that has gone ends nothing."""
    name = f"redrabbit-test-{os.getpid()}"
    with closing(Systemd(f"\0{name}")) as receiver:
        Pulse(f"@{name}").beat()
        assert receiver.next() == "READY=1"
    Pulse(f"@{name}").beat()
    Pulse().beat()


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


class Stalling(Brightness):
    """A model and a ledger that do not come back from a call until they may, or that refuse to record."""

    def __init__(self, ledger: SqlLedger, judging: bool = False, recording: bool = False, full: bool = False) -> None:
        self._ledger = ledger
        self._judging, self._recording, self._full = judging, recording, full
        self.reached, self.go = Event(), Event()
        self.beat, self.draw_policy, self.set_draw_policy = ledger.beat, ledger.draw_policy, ledger.set_draw_policy

    def _stall(self, here: bool) -> None:
        if here:
            self.reached.set()
            self.go.wait(60)

    def judge(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._stall(self._judging)
        return super().judge(batch)

    def record(self, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
        self._stall(self._recording)
        if self._full and not self.go.is_set():
            self.reached.set()
            raise LedgerUnavailable("disk full")
        return self._ledger.record(verdicts)


@contextmanager
def running(folder: Path, **how: bool) -> Iterator[tuple[Stalling, list[float]]]:
    """A worker with one part to judge and a quick heart, and the moments of its signs of life."""
    lives: list[float] = []
    with closing(open_ledger(f"sqlite:///{folder}/ledger.db", lambda: 2000.0)) as ledger:
        stalling = Stalling(ledger, **how)
        worker = Worker(
            Line(
                name=LINE,
                cameras=[Playlist([("p1", picture(0.1))], stays=True)],
                judges=Judges(Inspection(stalling, b"k" * 32)),
                policies=DrawPolicies(LINE, ledger, lambda: THRESHOLDS, lambda: 2000.0, stalling.info),
                thresholds=lambda: THRESHOLDS,
                ledger=stalling,
                images=FolderImages(folder / "images", 10**6),
                releases=[],
                meter=Counts(),
                clock=lambda: 2000.0,
                beat_every=0.3,
                alive=lambda: lives.append(time.monotonic()),
            ),
            "w1",
        )
        thread = Thread(target=worker.run)
        thread.start()
        try:
            yield stalling, lives
        finally:
            stalling.go.set()
            worker.stop()
            thread.join(30)


def _more(lives: list[float]) -> None:
    before = len(lives)
    until(lambda: len(lives) > before + 2, "more signs of life")


@pytest.mark.parametrize("where", ["judging", "recording"])
def test_a_stage_that_hangs_ends_the_signs_of_life(tmp_path: Path, where: str) -> None:
    """The other threads go on, and that counts for nothing; once the model or the ledger comes back it lives again."""
    with running(tmp_path, **{where: True}) as (stalling, lives):
        assert stalling.reached.wait(30)
        time.sleep(1.0)
        before = len(lives)
        time.sleep(2.0)
        assert len(lives) == before > 0
        stalling.go.set()
        _more(lives)


def test_a_held_line_lives(tmp_path: Path) -> None:
    """A full disk holds the line, and an alert says so: to start the worker again would mend nothing. An idle one lives too."""
    with running(tmp_path, full=True) as (stalling, lives):
        assert stalling.reached.wait(30)
        _more(lives)
        stalling.go.set()
        _more(lives)


class Hanging(Collector):
    """A scrape that does not end."""

    def __init__(self) -> None:
        self.go = Event()

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        self.go.wait(60)
        return iter(())


def test_an_exporter_whose_scrapes_all_hang_does_not_beat() -> None:
    """While one place is free it does; the loop that takes connections in is not what matters alone."""
    registry, hanging, pulse, rounds = CollectorRegistry(), Hanging(), Pulse(), []
    registry.register(hanging)
    with closing(serve_metrics("127.0.0.1:0", registry, pulse, lambda: rounds.append(1))) as server:
        until(lambda: rounds, "the first round")
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(SIMULTANEOUS)]
        for client in clients:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        time.sleep(1.0)
        before = len(rounds)
        time.sleep(1.0)
        assert len(rounds) == before
        hanging.go.set()
        until(lambda: len(rounds) > before, "the next round")
        for client in clients:
            client.close()


class Late(Pulse):
    """Has beaten, long ago."""

    alive = False
    ready = False


@pytest.mark.parametrize(("pulse", "healthy", "ready"), [(Pulse(), 200, 503), (Late(), 503, 503)])
def test_health_follows_the_pulse(pulse: Pulse, healthy: int, ready: int) -> None:
    """Before the first beat a process is alive and not ready; where the beat stays away, neither."""
    with closing(serve_metrics("127.0.0.1:0", CollectorRegistry(), pulse)) as server:
        base = f"http://127.0.0.1:{server.port}"
        assert httpx.get(f"{base}/healthz").status_code == healthy
        assert httpx.get(f"{base}/readyz").status_code == ready
