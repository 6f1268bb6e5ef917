"""Starts `redrabbit demo` as a user would, on ports of its own, and finds its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers import free_port, until


@dataclass
class Demo:
    """A running demo. Addresses are HOST:PORT."""

    process: subprocess.Popen[str]
    home: Path
    station: str
    exporter: str
    worker: str
    released: Path

    @property
    def ledger(self) -> str:
        return f"sqlite:///{self.home}/var/redrabbit.db"

    def pid(self, name: str) -> int | None:
        """The process id of worker, station or exporter."""
        wanted = f"{name}\0--config\0{self.home}/line.yaml\0".encode()
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    if (folder / "cmdline").read_bytes().endswith(wanted):
                        return int(folder.name)
                except OSError:
                    continue
        return None

    def kill(self, name: str) -> None:
        """kill -9, then waits until the supervisor has started another."""
        before = self.pid(name)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        until(lambda: self.pid(name) not in (None, before), f"a new {name}")

    def metrics(self) -> str:
        return httpx.get(f"http://{self.exporter}/metrics", timeout=10).text

    def value(self, series: str) -> float:
        """The sum of the exporter's samples that begin so; 0 while it does not answer."""
        try:
            lines = self.metrics().splitlines()
        except httpx.HTTPError:
            return 0.0
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series))

    def parts(self) -> int:
        """Parts inspected so far."""
        return int(self.value("redrabbit_parts_total{"))


@contextmanager
def running(home: Path, *options: str, killed: bool = False) -> Iterator[Demo]:
    """A demo in real time; ended by Ctrl-C, which must be a clean end unless the test has killed it."""
    station, exporter, worker = (f"127.0.0.1:{free_port()}" for _ in range(3))
    released = home.parent / f"{home.name}-released.jsonl"
    environment = os.environ | {
        "REDRABBIT_STATION__LISTEN": station,
        "REDRABBIT_METRICS__EXPORTER": exporter,
        "REDRABBIT_METRICS__WORKER": worker,
        "REDRABBIT_RELEASES": f"['log://{released}']",
    }
    command = [sys.executable, "-m", "service.cli", "demo", "--home", str(home), *options]
    process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    demo = Demo(process, home.resolve(), station, exporter, worker, released)
    try:
        until(lambda: process.poll() is not None or demo.parts() > 0, "the first part")
        assert process.poll() is None, process.communicate()[0]
        yield demo
    finally:
        process.send_signal(signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
    assert killed or process.returncode == 0, output
    assert "Traceback" not in output, output
