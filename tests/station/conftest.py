"""A station on a real socket over a real ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.demo.replay import SimulatedClock
from service.ledger.groups import GroupCommit
from service.ledger.images import FolderImages
from service.ledger.store import SqlLedger, open_ledger
from service.monitor import Monitor
from service.records import Outcome, Verdict
from service.station.access import hash_secret, new_secret
from service.station.app import create_app
from service.station.connections import Bounded
from service.station.deps import Deps
from service.station.meter import Unmetered
from service.station.samples import Studies
from service.station.serving import serve
from service.thresholds import parse
from tests.line import LINE, MODEL, picture
from tests.servers import free_port, until

THRESHOLDS = parse("defaults: {bucket: {parts: 10, closes_after: 1m}, windows: [{parts: 100}], audit: {budget: 0.5}}")
OTHER = "b"


@dataclass
class Station:
    """base: http://HOST:PORT. The clock stands still until a test moves it."""

    base: str
    ledger: SqlLedger
    images: FolderImages
    clock: SimulatedClock
    app: FastAPI = field(default_factory=FastAPI)

    def client(self, secret: str | None = None, **headers: str) -> httpx.Client:
        given = headers | ({"Authorization": f"Bearer {secret}"} if secret else {})
        return httpx.Client(base_url=self.base, headers=given, timeout=30)

    def token(self, name: str, role: str, *lines: str) -> str:
        secret = new_secret()
        self.ledger.add_token(name, role, hash_secret(secret), lines)
        return secret

    def part(
        self, part_id: str, outcome: Outcome = Outcome.REJECT, line: str = LINE, model: str = MODEL.digest
    ) -> Verdict:
        """Records one part with its picture."""
        flagged = outcome is Outcome.REJECT
        verdict = Verdict(
            part_id=part_id,
            line=line,
            camera="left",
            captured_at=self.clock.now,
            model=model,
            thresholds="t",
            scores=(0.1, 0.9) if flagged else (0.9, 0.1),
            exceedance=1.8 if flagged else 0.2,
            predicted="crack" if flagged else "good",
            outcome=outcome,
            band=None if flagged else 1,
            weight=1 if flagged else 2,
            policy=1,
            image=self.images.keep(picture(0.5)),
        )
        (recorded,) = self.ledger.record([verdict])
        return recorded


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Station]]:
    """Starts a station; keys replace single parts of it, `patience` the time that a body may take."""
    with ExitStack() as opened:

        def starting(patience: float = 20.0, connections: type[Bounded] = Bounded, **parts: Any) -> Station:
            clock = SimulatedClock()
            ledger = opened.enter_context(closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock)))
            ledger.register(MODEL)
            ledger.register(replace(MODEL, line=OTHER, classes=("good", "dent"), decision_thresholds={"dent": 0.5}))
            images = FolderImages(tmp_path / "images", 10**6)
            deps = Deps(
                ledger=ledger,
                labels=opened.enter_context(closing(GroupCommit(ledger))),
                people=ledger,
                leases=ledger,
                challenges=ledger,
                images=images,
                samples=Studies(ledger, clock),
                monitor=Monitor(ledger, lambda: THRESHOLDS, clock),
                threshold=lambda line, defect, kinds: THRESHOLDS.line(line).row(defect, kinds).recall.page,
                heatmap=lambda content, model: content if model == MODEL.digest else None,
                metrics=lambda: b"redrabbit_test 1\n",
                clock=clock,
                meter=Unmetered(),
                open_on_loopback=True,
            )
            address, stopping = f"127.0.0.1:{free_port()}", Event()
            app = create_app(replace(deps, **parts), patience)
            thread = Thread(target=serve, args=(app, address, stopping), kwargs={"connections": connections})
            thread.start()
            opened.callback(thread.join)
            opened.callback(stopping.set)
            station = Station(f"http://{address}", ledger, images, clock, app)
            until(lambda: _answers(station.base), "the station answers")
            return station

        yield starting


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/healthz", timeout=2).is_success
    except httpx.HTTPError:
        time.sleep(0.05)
        return False


@pytest.fixture
def station(start: Callable[..., Station]) -> Station:
    """Open on loopback."""
    return start()


@pytest.fixture
def closed(start: Callable[..., Station]) -> Station:
    return start(open_on_loopback=False)
