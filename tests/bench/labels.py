"""(c) Labels a second over HTTP, each durable when answered, over a bare loop of write and fsync on the same disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import chain, islice
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from service.ledger.store import open_ledger
from service.records import Outcome, Verdict
from tests.bench.table import Row
from tests.line import INFO, LINE, MODEL
from tests.servers import free_port, until

LOADS = {"one a request, 32 clients": (32, 3200, 1), "1000 a request, one client": (1, 20, 1000)}
"""Clients, requests in all, labels a request."""
SYNCS = 500
ROUNDS = 3


def _yaml(port: int) -> str:
    """Model and camera are named and never opened by a station that is not asked for a heatmap."""
    return (
        f"{{line: {LINE}, model: none.onnx, cameras: {{left: 'folder:///nowhere'}}, ledger: 'sqlite:///ledger.db', "
        f"images: {{folder: images}}, station: {{listen: '127.0.0.1:{port}', open_on_loopback: true}}}}"
    )


def _record(home: Path, count: int) -> Sequence[str]:
    """The ids of so many parts, of which each has been flagged and waits for a label."""
    part_ids = [f"p{number}" for number in range(count)]
    verdicts = [
        Verdict(part_id, LINE, "left", 1e9, INFO.digest, "t" * 64, (0.1, 0.9), 1.8, "crack", Outcome.REJECT, None, 1, 0)
        for part_id in part_ids
    ]
    with closing(open_ledger(f"sqlite:///{home}/ledger.db", time.time)) as ledger:
        ledger.register(MODEL)
        ledger.record(verdicts)
    return part_ids


@contextmanager
def station(home: Path) -> Iterator[int]:
    """`redrabbit station` as a process of its own, ready; its port."""
    port = free_port()
    (home / "line.yaml").write_text(_yaml(port))
    (home / "thresholds.yaml").write_text("defaults: {audit: {budget: 0.02}}")
    command = [sys.executable, "-m", "service.cli", "station", "--config", str(home / "line.yaml")]
    with subprocess.Popen(command) as process:
        try:
            until(lambda: _ready(port), "the station answers")
            yield port
        finally:
            process.terminate()


def _ready(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request("GET", "/readyz")
        except ConnectionRefusedError:
            return False
        return connection.getresponse().status == 200


def _client(port: int, bodies: Sequence[bytes]) -> Sequence[float]:
    """Posts one after the other on one connection; the seconds that each answer took."""
    seconds = []
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for body in bodies:
            started = time.perf_counter()
            connection.request("POST", "/v1/labels", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            seconds.append(time.perf_counter() - started)
            assert answer.status == 200, content
            assert content.count(b'"recorded"') == body.count(b'"part_id"'), content
    return seconds


def _post(port: int, clients: int, bodies: Sequence[bytes]) -> tuple[float, list[float]]:
    """Seconds in all, and of each answer."""
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda first: _client(port, bodies[first::clients]), range(clients)))
    return time.perf_counter() - started, list(chain.from_iterable(answers))


def _syncs(home: Path) -> float:
    """Write and fsync of one page, a second."""
    with (home / "bare").open("wb", buffering=0) as file:
        started = time.perf_counter()
        for _ in range(SYNCS):
            file.write(bytes(4096))
            os.fsync(file.fileno())
        return SYNCS / (time.perf_counter() - started)


def _bodies(part_ids: Iterator[str], requests: int, size: int) -> list[bytes]:
    """size 1: a single label; more: lists of so many. Each part is labelled once."""
    labels = [
        {"part_id": part_id, "label": "crack", "inspector": "bench"} for part_id in islice(part_ids, requests * size)
    ]
    if size == 1:
        return [json.dumps(label).encode() for label in labels]
    return [json.dumps(labels[first : first + size]).encode() for first in range(0, len(labels), size)]


def measure() -> Iterator[Row]:
    """Medians of rounds that alternate with the bare loop. Clients and station share the cores of this machine."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        part_ids = iter(_record(home, ROUNDS * sum(requests * size for _, requests, size in LOADS.values())))
        with station(home) as port:
            for what, (clients, requests, size) in LOADS.items():
                rounds = []
                for _ in range(ROUNDS):
                    bare = _syncs(home)
                    seconds, answers = _post(port, clients, _bodies(part_ids, requests, size))
                    rounds.append((requests * size / seconds, quantiles(answers, n=100)[98], bare))
                rate, slowest, bare = (median(column) for column in zip(*rounds, strict=True))
                yield Row(
                    f"(c) labels a second over HTTP, {what}",
                    f"{rate:.0f}; 99 % answered within {slowest * 1e3:.0f} ms",
                    f"{bare:.0f} write and fsync a second",
                    rate / bare,
                )
