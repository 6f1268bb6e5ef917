"""What tests of releases to the floor share: a meter that counts, a release that runs, waiting for things to become so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from service.ports import Release
from service.records import Frame, Outcome, Verdict
from service.releases import open_release
from service.releases.floor import Surroundings
from tests.cameras.stage import NOW, verdict_of


class Counting:
    """Fulfils ports.ReleaseMeter. sent, missed: by release; up: as last told."""

    def __init__(self) -> None:
        self.sent = 0
        self.missed: Counter[str] = Counter()
        self.up: bool | None = None

    def release_up(self, release: str, up: bool) -> None:
        self.up = up

    def released(self, release: str, seconds: float) -> None:
        self.sent += 1

    def failsafe(self, release: str, parts: int) -> None:
        self.missed[release] += parts

    @property
    def failsafes(self) -> int:
        return sum(self.missed.values())


class Recipes:
    """Fulfils floor.RecipeControls: number is in force; asked: what stood in the controls, each once in a row."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked: list[int] = []

    def wanted(self, release: str, number: int) -> None:
        if [number] != self.asked[-1:]:
            self.asked.append(number)


class Running:
    """A release as a worker has it. behind: what the worker's loop is said to be."""

    def __init__(self, url: str, recipes: Recipes | None = None) -> None:
        self.meter = Counting()
        self.behind = 0.0
        self.release: Release = open_release(url, Surroundings(self.meter, lambda: self.behind, recipes))


@contextmanager
def running(url: str, recipes: Recipes | None = None) -> Iterator[Running]:
    started = Running(url, recipes)
    try:
        yield started
    finally:
        started.release.close()


def part(name: str, outcome: Outcome = Outcome.REJECT) -> Verdict:
    return replace(verdict_of(Frame(name, "cells", "cam", NOW, b"")), outcome=outcome)
