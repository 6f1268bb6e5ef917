"""`redrabbit up`: keeps worker, station and exporter running as processes of their own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import IO

import structlog

log = structlog.get_logger()

BAD_INPUT = 2
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY_AFTER = 30.0
PATIENCE = 15.0


@dataclass(slots=True)
class _Child:
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    started: float
    pause: float = FIRST_PAUSE
    restart_at: float | None = None
    restarts: int = 0
    finished: bool = False


class Supervisor:
    """commands: {name: argv}. output: where they write, our own when not given. A process that dies is started again, after a pause that doubles while it keeps dying.

    One that ends with status 0 has finished; one whose first run ends with status 2 was given bad input, which no restart
    mends. Later on status 2 is a fault like any other: a disk that is full now may not be in a minute.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], output: IO[bytes] | None = None) -> None:
        self._commands = commands
        self._output = output
        self._children: dict[str, _Child] = {}

    def start(self) -> None:
        """Starts all of them."""
        for name, command in self._commands.items():
            self._children[name] = _Child(command, self._spawn(name, command), time.monotonic())

    def run(self, stopping: Event) -> int:
        """Watches until `stopping` is set, bad input ends one, or all have finished. Returns the exit status."""
        while not stopping.wait(0.1):
            status = self.check()
            if status is not None:
                self.stop()
                return status
        self.stop()
        return 0

    def check(self) -> int | None:
        """Restarts what died. An exit status once there is nothing left to watch over."""
        for name, child in self._children.items():
            code = child.process.poll()
            if code is None or child.finished:
                continue
            if code == BAD_INPUT and not child.restarts:
                return BAD_INPUT
            if code == 0:
                child.finished = True
                log.info("finished", process=name)
                continue
            self._restart(name, child, code)
        return 0 if all(child.finished for child in self._children.values()) else None

    def _restart(self, name: str, child: _Child, code: int) -> None:
        now = time.monotonic()
        if child.restart_at is None:
            child.pause = FIRST_PAUSE if now - child.started > STEADY_AFTER else min(child.pause * 2, LONGEST_PAUSE)
            child.restart_at = now + child.pause
            log.error("died", process=name, status=code, restart_in_seconds=child.pause)
        elif now >= child.restart_at:
            child.process = self._spawn(name, child.command)
            child.started, child.restart_at = now, None
            child.restarts += 1

    def _spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdout=self._output, stderr=self._output)  # noqa: S603 - our own command line
        log.info("started", process=name, pid=process.pid)
        return process

    def pids(self) -> dict[str, int]:
        """{name: process id} of those that run."""
        return {name: child.process.pid for name, child in self._children.items() if child.process.poll() is None}

    def stop(self) -> None:
        """Asks all to drain; whoever does not in time is killed: every promise holds all the same."""
        running = [child.process for child in self._children.values() if child.process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + PATIENCE
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
