"""The sign of life: over a real socket as systemd has it, and gone where a stage of the worker or the exporter hangs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
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
from tests.servers import until
from tests.systemd import Systemd

THRESHOLDS = parse("defaults: {}")


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


class Stalling(Brightness):
    """A model and a ledger that do not come back from a call until they may, or that refuse to record."""

    def __init__(self, ledger: SqlLedger, judging: bool = False, recording: bool = False, full: bool = False) -> None:
        self._ledger = ledger
        self._judging, self._recording, self._full = judging, recording, full
        self.reached, self.go = Event(), Event()
        self.beat, self.draw_policy, self.set_draw_policy = ledger.beat, ledger.draw_policy, ledger.set_draw_policy
        self.camera_references, self.keep_camera_reference = ledger.camera_references, ledger.keep_camera_reference

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
