"""What `redrabbit up` does when its processes die."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from service.supervisor import Supervisor

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def supervise() -> Iterator[Callable[..., Supervisor]]:
    """Starts a supervisor over command lines and stops it when the test is over."""
    started: list[Supervisor] = []

    def start(**commands: list[str]) -> Supervisor:
        supervisor = Supervisor(commands)
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()


def _until(condition: Callable[[], bool], supervisor: Supervisor) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 30 s"
        assert supervisor.check() is None
        time.sleep(0.02)


def test_a_killed_process_is_started_again_and_the_others_are_left_alone(supervise: Callable[..., Supervisor]) -> None:
    """kill -9 of one of two."""
    supervisor = supervise(a=SLEEP, b=SLEEP)
    before = supervisor.pids()
    os.kill(before["a"], signal.SIGKILL)
    _until(lambda: supervisor.pids().get("a") not in (None, before["a"]), supervisor)
    assert supervisor.pids()["b"] == before["b"]


def test_bad_input_ends_everything_with_its_status(supervise: Callable[..., Supervisor]) -> None:
    """No restart mends a bad line.yaml."""
    supervisor = supervise(a=SLEEP, b=[sys.executable, "-c", "raise SystemExit(2)"])
    assert supervisor.run(Event()) == 2
    assert supervisor.pids() == {}


def test_status_2_after_a_restart_is_tried_again(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    """A disk that is full when the process comes back may have room a moment later."""
    count = tmp_path / "count"
    code = (
        f"import pathlib, time; p = pathlib.Path({str(count)!r}); n = len(p.read_text()) if p.exists() else 0\n"
        "p.write_text('x' * (n + 1))\n"
        "raise SystemExit((1, 2)[n]) if n < 2 else time.sleep(600)"
    )
    supervisor = supervise(a=[sys.executable, "-c", code])
    _until(lambda: count.exists() and count.read_text() == "xxx", supervisor)


def test_it_ends_when_all_have_finished(supervise: Callable[..., Supervisor]) -> None:
    """A line of files that were all inspected."""
    assert supervise(a=[sys.executable, "-c", "pass"]).run(Event()) == 0


def test_stopping_asks_first(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    """Every process gets its SIGTERM and the time to drain."""
    ready, drained = tmp_path / "ready", tmp_path / "drained"
    code = (
        "import pathlib, signal, time\n"
        f"def end(*_): pathlib.Path({str(drained)!r}).touch(); raise SystemExit(0)\n"
        f"signal.signal(signal.SIGTERM, end); pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    )
    supervisor = supervise(a=[sys.executable, "-c", code])
    _until(ready.exists, supervisor)
    stopping = Event()
    thread = Thread(target=supervisor.run, args=(stopping,))
    thread.start()
    stopping.set()
    thread.join(30)
    assert drained.exists()
    assert supervisor.pids() == {}
