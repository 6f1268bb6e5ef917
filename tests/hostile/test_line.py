"""While the station and the push camera are attacked, the line goes on: every good part is recorded, every bad one set aside."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread

import httpx

from service.cameras import open_camera
from service.cameras.push import Push
from service.drawing import DrawPolicies
from service.inspection import Inspection
from service.judges import Judges
from service.thresholds import parse
from service.worker import Line, Worker
from tests.hostile.bombs import bombs
from tests.hostile.memory import peak_growth
from tests.line import LINE, Brightness, Counts, picture
from tests.servers import until
from tests.station.conftest import Station

THRESHOLDS = parse("defaults: {audit: {budget: 0.3}}")
PARTS = 60


def put(folder: Path, name: str, content: bytes) -> None:
    """A whole file, as a camera writes it."""
    beside = folder / f".{name}.tmp"
    beside.write_bytes(content)
    beside.rename(folder / name)


def attacks(station: str, push: str) -> list[Callable[[random.Random], object]]:
    """Each one goes once; they come again and again until the parts are through."""
    client = httpx.Client(timeout=20)

    def raw(url: str, piece: bytes, times: int) -> None:
        host, port = url.removeprefix("http://").split("/")[0].split(":")
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1) as connection:
            for _ in range(times):
                connection.sendall(piece)

    pictures = list(bombs().values())
    return [
        lambda dice: client.post(push, params={"part_id": f"bomb-{dice.random()}"}, content=dice.choice(pictures)),
        lambda dice: client.post(push, params={"part_id": dice.choice(["..", "\u202e", "p" * 1000])}, content=b"x"),
        lambda dice: client.post(push, content=dice.randbytes(dice.randrange(100_000))),
        lambda dice: client.post(
            push, content=b"--b\r\n" * 100_000, headers={"Content-Type": "multipart/x; boundary=b"}
        ),
        lambda dice: raw(push, b"POST /v1/parts HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 1),
        lambda dice: raw(push, b"X: " + dice.randbytes(1000) + b"\r\n", 200),
        lambda dice: raw(station, b"X: " + b"y" * 1000 + b"\r\n", 200),
        lambda dice: raw(station, dice.randbytes(2000), 3),
        lambda dice: client.post(f"{station}/v1/labels", json=[{"part_id": "' OR 1=1", "label": "\0"}] * 2000),
        lambda dice: client.post(
            f"{station}/v1/labels", content=b"[[]," * 2_000_000, headers={"Content-Type": "application/json"}
        ),
        lambda dice: client.get(f"{station}/v1/parts/{'x' * 5000}"),
        lambda dice: client.get(
            f"{station}/parts", params={"line": LINE, "lot": "'; DROP TABLE parts; --", "before": "nan~1"}
        ),
    ]


def test_the_line_goes_on(station: Station, tmp_path: Path) -> None:
    """A worker with a folder and a push camera beside a station, over one ledger, under everything at once."""
    folder, meter = tmp_path / "in", Counts()
    folder.mkdir()
    opened = partial(open_camera, line=LINE, meter=meter, clock=time.time, known=station.ledger.known)
    push = opened("push://127.0.0.1:0?limit=4MB", name="push")
    assert isinstance(push, Push)
    line = Line(
        name=LINE,
        cameras=[opened(f"folder://{folder}?settle=100ms", name="left"), push],
        judges=Judges(Inspection(Brightness(), b"k" * 32)),
        policies=DrawPolicies(LINE, station.ledger, lambda: THRESHOLDS, time.time, Brightness.info),
        thresholds=lambda: THRESHOLDS,
        ledger=station.ledger,
        images=station.images,
        releases=[],
        meter=meter,
        clock=time.time,
        batch_size=4,
    )
    worker, over = Worker(line, "w1"), Event()
    working = Thread(target=worker.run)
    working.start()
    target = f"http://127.0.0.1:{push.port}/v1/parts"
    until(
        lambda: httpx.post(target, params={"part_id": "first"}, content=picture(0.1)).is_success, "the line takes parts"
    )

    def attack(number: int) -> int:
        """Until it is over, and each of them at least once."""
        dice, done = random.Random(number), 0
        every = attacks(station.base, target)
        while done < len(every) or not over.is_set():
            with suppress(httpx.HTTPError):
                every[(number + done) % len(every)](dice)
            done += 1
        return done

    def inspect() -> list[int]:
        with ThreadPoolExecutor(4) as pool:
            attackers = [pool.submit(attack, number) for number in range(4)]
            try:
                for number, (name, bomb) in enumerate(bombs().items()):
                    put(folder, f"bomb-{number}.png", bomb)
                    put(folder, f"{name}..\u202egnp.png", bomb)
                os.mkfifo(folder / "pipe.png")
                (folder / "link.png").symlink_to("/etc/passwd")
                for number in range(PARTS):
                    put(folder, f"good-{number}.png", picture(number / PARTS))
                wanted = [f"good-{number}" for number in range(PARTS)]
                until(lambda: len(station.ledger.known(wanted)) == PARTS, "all good parts are recorded", 120)
            finally:
                over.set()
            return [one.result() for one in attackers]

    grown, done = peak_growth(inspect)
    answer = httpx.post(target, params={"part_id": "last"}, content=picture(0.9), timeout=30)
    assert (answer.status_code, answer.json()["verdict"]) == (200, "reject")
    assert station.client().get("/healthz").status_code == 200
    worker.stop()
    working.join(60)
    assert not working.is_alive()
    assert min(done) > 10
    assert grown < 2_000_000_000
    assert sum(meter.drops.values()) > 10
    assert set(meter.drops) <= {"empty", "not_an_image", "broken", "too_large", "unreadable", "line_full"}
