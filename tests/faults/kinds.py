"""The faults. Another one is a function here and a line in FAULTS."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import cv2
import httpx
import numpy as np

from tests.faults.check import Found, check_ended, check_running
from tests.faults.plant import Plant, Shared

MOMENT = 0.5
"""Seconds: a fault comes at a random moment within so many after the plant was at work again."""
ROUND = 50
"""Tries on one plant; then it is drained, checked from scratch, and another one is built."""
DISK = "24m"
STORM = 4
FAKETIME = "/usr/$LIB/faketime/libfaketime.so.1"


class SmallDisk(Plant):
    """One machine whose ledger, pictures and release log have a small disk."""

    @property
    def disk(self) -> Path:
        return self.folder / "var"

    def _servers(self, opened: ExitStack) -> None:
        _mount("-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(self.disk))
        opened.callback(subprocess.run, ["umount", "--lazy", str(self.disk)], check=True)

    def remount(self, how: str) -> None:
        _mount("-o", f"remount,{how}", str(self.disk))


class Clocks(Plant):
    """One machine on which each process has a clock that can be set."""

    def _servers(self, opened: ExitStack) -> None:
        self.environment = {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        for name in self.processes:
            self.set(name, 0)

    def set(self, name: str, seconds: int) -> None:
        whole = self.clock(name).with_suffix(".new")
        whole.write_text(f"{seconds:+d}")
        whole.replace(self.clock(name))


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"a small disk needs mount, as root has it: {done.stderr}"


def _all_killed(plant: Plant, random: Random) -> Sequence[str]:
    """Each at a moment of its own; the next is killed whether or not the last one has come to itself."""
    for name in random.sample(plant.processes, len(plant.processes)):
        time.sleep(random.uniform(0, MOMENT))
        plant.kill(name)
        plant.start(name)
    return plant.processes


def _some_killed(plant: Shared, random: Random) -> Sequence[str]:
    """Both servers, the camera's process and one of the two workers."""
    for name in random.sample(("postgres", "nats", "camera", "worker-2"), 4):
        time.sleep(random.uniform(0, MOMENT))
        victim: Any = getattr(plant, name, None)
        if victim is None:
            plant.kill(name)
            plant.start(name)
        else:
            victim.kill()
            victim.start()
    return plant.processes


def _full(plant: SmallDisk, random: Random) -> Sequence[str]:
    ballast = plant.disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    time.sleep(random.uniform(0.5, 2))
    ballast.unlink()
    return ["worker", "station", "exporter"]


def _read_only(plant: SmallDisk, random: Random) -> Sequence[str]:
    for name in plant.processes:
        plant.kill(name)
    plant.remount("ro")
    for name in plant.processes:
        plant.start(name)
    time.sleep(random.uniform(1, 3))
    plant.remount("rw")
    for name in plant.processes:  # whoever has given up is started again, as systemd would
        if not plant.runs(name):
            plant.start(name)
    return plant.processes


def _clock(plant: Clocks, random: Random) -> Sequence[str]:
    plant.set(random.choice(plant.processes), random.choice((-3600, -30, -1, 0, 1, 30, 3600)))
    return ["worker", "station", "exporter"]


def _camera(plant: Plant, random: Random) -> Sequence[str]:
    """It stalls, sends what is no picture, or pictures of another size."""
    kind = random.randrange(3)
    if kind == 0:
        plant.pausing.set()
        time.sleep(random.uniform(0.5, 3))
        plant.pausing.clear()
    elif kind == 1:
        whole = cv2.imencode(".png", np.full((16, 16), 90, np.uint8))[1].tobytes()
        for number, content in enumerate((b"", b"no picture", whole[:-20], whole[:8], random.randbytes(3000))):
            plant.feed(f"rubbish-{random.randrange(10**9)}-{number}", content)
    else:
        plant.size = random.choice((1, 7, 16, 333))
    return ["worker"]


def _storm(plant: Plant, _: Random) -> Sequence[str]:
    """Everything that was labelled, again, from several clients at once."""
    known = [*plant.acknowledged]

    def send(first: int) -> None:
        for at in range(first * 10, len(known), 500):
            with suppress(httpx.HTTPError):
                plant.label(known[at : at + 500])

    with ThreadPoolExecutor(STORM) as clients:
        list(clients.map(send, range(STORM)))
    return ["worker", "station"]


def _gone(server: str) -> Callable[[Plant, Random], Sequence[str]]:
    """For so long that every timeout of ours runs out, in the long run."""

    def gone(plant: Shared, _: Random) -> Sequence[str]:
        getattr(plant, server).stop()
        time.sleep(plant.outage)
        getattr(plant, server).start()
        return plant.processes

    return gone  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Kind:
    """do(plant, random): does it and undoes it; returns the processes that have to be at work again. most: tries in the long run."""

    name: str
    plant: type[Plant]
    do: Callable[..., Sequence[str]]
    most: int = 200


FAULTS = (
    Kind("kill -9 of worker, station and exporter", Plant, _all_killed),
    Kind("the camera stalls, sends rubbish, or other sizes", Plant, _camera, 50),
    Kind("label storm", Plant, _storm, 50),
    Kind("kill -9 of postgres, nats-server, camera and a worker", Shared, _some_killed),
    Kind("postgres gone", Shared, _gone("postgres"), 5),
    Kind("nats-server gone", Shared, _gone("nats"), 5),
    Kind("full disk", SmallDisk, _full, 50),
    Kind("read-only disk", SmallDisk, _read_only, 20),
    Kind("a process's clock set back or forth", Clocks, _clock, 100),
)


@dataclass(slots=True)
class Result:
    """seconds: how long each try took until all was at work again."""

    kind: Kind
    seconds: list[float] = field(default_factory=list)


def tried(
    kinds: Sequence[Kind], tries: int, random: Random, folder: Path, outage: float = 60.0
) -> Iterator[tuple[Plant, list[Result], Found]]:
    """So many tries of each of the faults, which are all of one plant, in random order; a round's plant, tries and findings as it ends."""
    deck = [kind for kind in kinds for _ in range(min(tries, kind.most))]
    random.shuffle(deck)
    for number, first in enumerate(range(0, len(deck), ROUND)):
        results = {kind.name: Result(kind) for kind in kinds}
        found = Found()
        (inside := folder / str(number)).mkdir()
        with kinds[0].plant(inside) as plant:
            plant.outage = outage
            for kind in deck[first : first + ROUND]:
                time.sleep(random.uniform(0, MOMENT))
                began = time.monotonic()
                plant.wait_for(*kind.do(plant, random))
                results[kind.name].seconds.append(time.monotonic() - began)
                check_running(plant, found)
            plant.drain()
            check_ended(plant, found)
            plant.end()
        yield plant, [*results.values()], found
