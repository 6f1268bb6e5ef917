"""A plant on one machine: many lines on one ledger, each a worker's process, with a station, ten inspectors, an exporter and a scrape a second.

`python -m tests.bench.load`: the table of docs/scale.md. `--lines 1,10,40` at `--rate 40` parts a second each; `--model stub`, which
looks at brightness, or `el`, the shipped one; `--wait 0.02` seconds that a batch is waited for; `--ledger URL` of an empty
PostgreSQL database in place of a file. The bare baseline is what the disk syncs in the same seconds (`fsync` of 4 KiB).
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread
from typing import Any

import structlog

from service.inspection import Inspection, in_force
from service.judges import Judges
from service.ledger.store import open_ledger
from service.records import Outcome
from tests.bench.latency import Times, fsync_seconds
from tests.bench.line import KEY, THRESHOLDS, Paced, detector, pictures
from tests.line import Brightness, picture
from tests.servers import free_port, until

INSPECTORS = 10
LABELLED = 0.05
WARMING = 5
"""Seconds at the start whose parts' times are left out: all lines begin at one moment, which no plant does."""

COLUMNS = (
    "lines",
    "asked for",
    "recorded a second",
    "frame to release, p50",
    "p99",
    "parts a commit",
    "labels a second",
    "label, p99",
    "scrape, p99",
    "CPU: workers",
    "station",
    "exporter",
    "memory: a worker",
    "exporter",
    "one bare fsync",
)


def line(name: str, options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """One line for so many seconds, in a process of its own: what it recorded, how long each part took, what it cost."""
    from service.drawing import DrawPolicies
    from service.ledger.images import FolderImages
    from service.worker import Line, Worker

    real = options.model == "el"
    contents = pictures(200) if real else [picture(number % 100 / 100) for number in range(100)]
    count = int(options.rate * options.seconds)
    camera = _Now(
        [(f"{name}-{number}", contents[number % len(contents)]) for number in range(count)], options.rate, line=name
    )
    judges = Judges(Inspection(detector() if real else Brightness(), KEY))
    meter = Times()
    with closing(open_ledger(options.ledger, time.time)) as ledger:
        ledger.register(in_force(name, judges.active.info, time.time()))
        running = Worker(
            Line(
                name=name,
                cameras=[camera],
                judges=judges,
                policies=DrawPolicies(name, ledger, lambda: THRESHOLDS, time.time, judges.active.info),
                thresholds=lambda: THRESHOLDS,
                ledger=ledger,
                images=FolderImages(home / f"images-{name}", 10**8),
                releases=[],
                meter=meter,
                clock=time.time,
                batch_wait=options.wait,
            ),
            name,
        )
        print("ready", flush=True)
        sys.stdin.readline()
        began, cpu = time.monotonic(), time.process_time()
        Thread(target=_stop, args=(running, options.seconds), daemon=True).start()
        running.run()
    return {
        "parts": len(camera.answered),
        "took": time.monotonic() - began,
        "total": meter.seconds.get("total", [])[int(options.rate * WARMING) :],
        "commits": meter.commits,
        "cpu": time.process_time() - cpu,
        "memory": _resident("self"),
    }


def _stop(running: Any, seconds: float) -> None:
    time.sleep(seconds)
    running.stop()


class _Now(Paced):
    """Parts of a line, photographed now."""

    def __init__(self, parts: Sequence[tuple[str, bytes]], rate: float, line: str) -> None:
        super().__init__(parts, rate)
        self._line = line

    def frames(self, stopping: Event) -> Iterator[Any]:
        for frame in super().frames(stopping):
            yield replace(frame, captured_at=time.time())


def _resident(process: int | str) -> int:
    """MB."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) // 1024


def _cpu(process: int) -> float:
    """Seconds, of all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def measured(count: int, options: argparse.Namespace) -> tuple[str, ...]:
    """One row: so many lines for so many seconds."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, ExitStack() as opened:
        home = Path(folder)
        url = options.ledger or f"sqlite:///{home}/ledger.db"
        ports = {"station": free_port(), "exporter": free_port()}
        (home / "thresholds.yaml").write_text("defaults: {audit: {budget: 0.02}}")
        (home / "line.yaml").write_text(
            f"{{line: l0, model: none.onnx, cameras: {{left: 'folder:///nowhere'}}, ledger: '{url}', images: {{folder: images}}, "
            f"station: {{listen: '127.0.0.1:{ports['station']}', open_on_loopback: true}}, "
            f"metrics: {{exporter: '127.0.0.1:{ports['exporter']}'}}}}"
        )
        with closing(open_ledger(url, time.time)):
            pass
        servers = {}
        for name, port in ports.items():
            command = [sys.executable, "-m", "service.cli", name, "--config", str(home / "line.yaml")]
            servers[name] = opened.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            opened.callback(servers[name].kill)
            until(lambda: _get(port, "/metrics") is not None, f"the {name} answers", 120)  # noqa: B023
        lines = []
        same = [f"--{key}={getattr(options, key)}" for key in ("rate", "seconds", "model", "wait")]
        for number in range(count):
            own = [f"--ledger={url}", f"--line=l{number}", f"--home={folder}"]
            command = [sys.executable, "-m", "tests.bench.load", *same, *own]
            lines.append(
                opened.enter_context(
                    subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                )
            )
            opened.callback(lines[-1].kill)
        for process in lines:
            assert process.stdout is not None and process.stdout.readline() == "ready\n", "a line did not come up"
        ended, labels, scrapes = Event(), _Labels(url, ports["station"]), []
        threads = [
            Thread(target=labels.follow, args=(ended, count * options.rate * LABELLED)),
            Thread(target=_scrape, args=(ended, ports["exporter"], scrapes)),
        ]
        threads += [Thread(target=labels.inspector, args=(ended,)) for _ in range(INSPECTORS)]
        before = {name: _cpu(process.pid) for name, process in servers.items()}
        for process in lines:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for thread in threads:
            thread.start()
        bare = fsync_seconds(home)
        said = [json.loads(process.communicate()[0].splitlines()[-1]) for process in lines]
        ended.set()
        for thread in threads:
            thread.join()
        seconds = max(one["took"] for one in said)
        total = sorted(one for each in said for one in each["total"])
        parts = sum(one["parts"] for one in said)
        servers_cpu = [(_cpu(process.pid) - before[name]) / seconds for name, process in servers.items()]
        return (
            str(count),
            f"{count * options.rate:g}",
            f"{parts / seconds:.0f}",
            f"{median(total) * 1e3:.0f} ms",
            _p99(total),
            f"{parts / max(1, sum(one['commits'] for one in said)):.1f}",
            f"{len(labels.seconds) * labels.AT_ONCE / seconds:.0f}",
            _p99(labels.seconds),
            _p99(scrapes),
            f"{sum(one['cpu'] for one in said) / seconds:.2f}",
            *(f"{one:.2f}" for one in servers_cpu),
            f"{median(one['memory'] for one in said):.0f} MB",
            f"{_resident(servers['exporter'].pid)} MB",
            f"{bare * 1e3:.1f} ms",
        )


def _p99(seconds: Sequence[float]) -> str:
    return f"{quantiles(seconds, n=100)[98] * 1e3:.0f} ms" if len(seconds) > 1 else "–"


def _get(port: int, path: str) -> bytes | None:
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read()
    except OSError:
        return None


def _scrape(ended: Event, port: int, seconds: list[float]) -> None:
    while not ended.wait(1):
        began = time.perf_counter()
        if _get(port, "/metrics") is not None:
            seconds.append(time.perf_counter() - began)


class _Labels:
    """Inspectors at one station, who label what was just recorded. seconds: how long each request took."""

    AT_ONCE = 4

    def __init__(self, url: str, port: int) -> None:
        self._url = url
        self._port = port
        self._lock = Lock()
        self._due: list[str] = []
        self.seconds: list[float] = []

    def follow(self, ended: Event, rate: float) -> None:
        """Puts parts out to be labelled, so many a second; rejects and audits first come."""
        after = 0
        with closing(open_ledger(self._url, time.time, read_only=True)) as ledger:
            while not ended.wait(0.5):
                rows = ledger.parts_after(after, 5000)
                after = rows[-1].sequence if rows else after
                wanted = sorted(rows, key=lambda row: row.verdict.outcome is Outcome.PASS)[: int(rate / 2)]
                with self._lock:
                    self._due += [row.verdict.part_id for row in wanted]

    def inspector(self, ended: Event) -> None:
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            while not ended.is_set():
                with self._lock:
                    there = len(self._due) >= self.AT_ONCE
                    parts = [self._due.pop(0) for _ in range(self.AT_ONCE if there else 0)]
                if not parts:
                    connection.close()  # the station ends one that nobody uses
                    ended.wait(0.05)
                    continue
                body = [
                    {"part_id": part, "label": "good", "inspector": "ines", "labelled_at": time.time()}
                    for part in parts
                ]
                began = time.perf_counter()
                connection.request("POST", "/v1/labels", json.dumps(body), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                assert answer.status < 300, answer.status
                self.seconds.append(time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--lines", default="1,10,20,40")
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", choices=("stub", "el"), default="stub")
    parser.add_argument("--wait", type=float, default=0.02)
    parser.add_argument("--ledger", default="")
    parser.add_argument("--line", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.line:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        print(json.dumps(line(options.line, options, options.home)))
        return
    print("| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS), sep="\n")
    for count in options.lines.split(","):
        print("| " + " | ".join(measured(int(count), options)) + " |", flush=True)


if __name__ == "__main__":
    main()
