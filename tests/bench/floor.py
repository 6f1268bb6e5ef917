"""From the trigger to the verdict at the PLC, over loopback: the table of docs/floor.md.

`python -m tests.bench.floor`: `--parts 100000` at `--rate 250` a second; `--peer modbus` or `opcua`, a PLC in a process of its own; `--model
stub`, which looks at brightness, or `el`, the shipped one; `--wait 0.02` seconds that a batch is waited for. The trigger is the moment at which a
camera in this process hands a picture over, the end is the PLC's acknowledgement. Then the same for a tenth of the parts with the record after the
release, which no line does: the difference is what the promise costs that nothing is released before its record is on disk.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from math import inf
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from threading import Event

import structlog

from service.inspection import Inspection
from service.judges import Judges
from service.records import Frame
from service.releases import open_release
from service.releases.floor import Surroundings
from service.worker import Worker
from tests.bench.latency import Times, fsync_seconds
from tests.bench.line import KEY, Paced, detector, pictures, worker
from tests.line import Brightness, picture

STAGES = ("decode", "infer", "record", "release", "peer")
"""What one part waits for, one after the other, beside the rest of its batch."""
WHAT = {
    "decode": "picture decoded and fitted",
    "infer": "model, of the whole batch",
    "record": "record on disk, of the whole batch",
    "release": "handed to the release",
    "peer": "PLC has acknowledged",
    "rest": "waiting: for the batch, and for those before it",
    "total": "trigger to verdict at the PLC",
}


class _Watched(Paced):
    """Remembers when each picture was taken."""

    def __init__(self, parts: Sequence[tuple[str, bytes]], rate: float) -> None:
        super().__init__(parts, rate)
        self.taken: list[float] = []

    def frames(self, stopping: Event) -> Iterator[Frame]:
        for frame in super().frames(stopping):
            self.taken.append(time.monotonic())
            yield frame


class _Floor(Times):
    """Fulfils ReleaseMeter too. A part waits for its whole batch, so it counts with the time of that."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float] = []
        self.late = 0

    def observe(self, stage: str, seconds: float, parts: int = 1) -> None:
        super().observe(stage, seconds * parts, parts)

    def release_up(self, release: str, up: bool) -> None: ...

    def released(self, release: str, seconds: float) -> None:
        self.told.append(time.monotonic())
        self.seconds.setdefault("peer", []).append(seconds)

    def failsafe(self, release: str, parts: int) -> None:
        self.late += parts


class _Rash(Worker):
    """Releases first, and records then."""

    def _record(self) -> None:
        for batch in self._together():
            for release in self._line.releases:
                release.release([verdict for _, verdict in batch])
            self._until_recorded(batch)


@contextmanager
def _plc(kind: str) -> Iterator[str]:
    """A PLC in a process of its own; yields its URL."""
    with TemporaryDirectory() as folder:
        (map_file := Path(folder) / "plc.yaml").write_text(
            "".join(f"{name}: ns=2;s={name}\n" for name in ("Sequence", "ResultEvaluationCode", "Missed"))
        )
        command = [sys.executable, "-m", "tests.bench.floor", "--serve", kind]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            path = f"/plc?map_file={map_file}&" if kind == "opcua" else "?"
            yield f"{kind}://127.0.0.1:{port}{path}deadline=10s&heartbeat=20s"
            process.kill()


def _serve(kind: str) -> None:
    from tests.releases.opcua import opcua_plc
    from tests.releases.plc import plc

    with plc() if kind == "modbus" else opcua_plc() as server:
        print(server.port, flush=True)
        sys.stdin.read()


def measured(options: argparse.Namespace, url: str, parts: int, rash: bool = False) -> dict[str, list[float]]:
    """Seconds of each part by stage, `rest` and `total`, in the order of the parts."""
    real = options.model == "el"
    contents = pictures(200) if real else [picture(number % 100 / 100) for number in range(100)]
    camera = _Watched([(f"p{number}", contents[number % len(contents)]) for number in range(parts)], options.rate)
    judges = Judges(Inspection(detector() if real else Brightness(), KEY))
    meter = _Floor()
    with ExitStack() as opened:
        release = opened.enter_context(closing(open_release(url, Surroundings(meter, lambda: 0.0))))
        line, _ = opened.enter_context(worker(judges, camera, meter, releases=[release], batch_wait=options.wait))
        (_Rash(line._line, "bench") if rash else line).run()
    assert meter.late == 0 and len(meter.told) == len(camera.taken) == parts, "a verdict was late"
    found = {stage: meter.seconds.get(stage, [0.0] * parts) for stage in STAGES}
    found["total"] = [told - taken for told, taken in zip(meter.told, camera.taken, strict=True)]
    known = (sum(each) for each in zip(*(found[stage] for stage in STAGES), strict=True))
    found["rest"] = [max(0.0, total - other) for total, other in zip(found["total"], known, strict=True)]
    return found


def _row(what: str, seconds: Sequence[float]) -> str:
    cuts = quantiles(seconds, n=100) if len(seconds) > 1 else [*seconds] * 99
    return f"| {what} | {cuts[49] * 1e3:.1f} ms | {cuts[98] * 1e3:.1f} ms | {max(seconds, default=inf) * 1e3:.1f} ms |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.floor", description=__doc__)
    parser.add_argument("--parts", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=250.0)
    parser.add_argument("--peer", choices=("modbus", "opcua"), default="modbus")
    parser.add_argument("--model", choices=("stub", "el"), default="stub")
    parser.add_argument("--wait", type=float, default=0.02)
    parser.add_argument("--serve", choices=("modbus", "opcua"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve(options.serve)
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with _plc(options.peer) as url, TemporaryDirectory() as folder:
        found = measured(options, url, options.parts)
        fewer = max(100, options.parts // 10)
        rash = measured(options, url, fewer, rash=True)
        fsync = fsync_seconds(Path(folder))
    print(f"| {options.parts} parts, {options.rate:g} a second | p50 | p99 | worst |", "|---|---|---|---|", sep="\n")
    for stage in ("rest", *STAGES, "total"):
        print(_row(WHAT[stage], found[stage]))
    print(_row(f"trigger to verdict, record after the release, {fewer} parts", rash["total"]))
    middle = {stage: median(seconds) for stage, seconds in found.items()}
    outside = sum(middle[stage] for stage in ("rest", "decode", "infer", "peer")) + fsync
    share = max(0.0, 1 - outside / middle["total"])
    print(
        f"\nOf the median, all but waiting, decoding, model, one bare fsync ({fsync * 1e3:.1f} ms) and PLC: {share:.0%}"
    )


if __name__ == "__main__":
    main()
