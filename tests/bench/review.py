"""(i) What an inspector waits for: from the key to the next picture in a Chromium, and over HTTP with ten inspectors at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from threading import Event
from typing import TypeVar

import cv2
import httpx
import numpy as np
from playwright.sync_api import sync_playwright

from service.ledger.images import FolderImages
from service.ledger.store import open_ledger
from service.records import ModelInForce, Outcome, Verdict
from tests.bench.labels import station
from tests.bench.line import BATCH, detector, pictures
from tests.bench.table import Row
from tests.bench.throughput import PARTS, ROUNDS, ours
from tests.line import LINE, MODEL
from tests.servers import program

DUE, KEYS, INSPECTORS, EACH = 10_000, 150, 10, 40
PAUSE, LOOK = 0.25, 1.0
"""Seconds between two keys, faster than anybody looks; in which the others look at a part."""
WARM = 3.0
"""Seconds until all of them are at work."""

WATCH = """() => {
    window.waits = [];
    let pressed = 0;
    addEventListener("keydown", () => { pressed = performance.now(); }, true);
    new MutationObserver(() => {
        const image = document.querySelector("#stage img");
        if (image?.complete && pressed) requestAnimationFrame(() => { waits.push(performance.now() - pressed); pressed = 0; });
    }).observe(document.getElementById("stage"), { childList: true });
}"""
FRAME = """() => new Promise(done => { const began = performance.now(); requestAnimationFrame(() => done(performance.now() - began)); })"""


def measure() -> Iterator[Row]:
    """The keys alone, then with the others at work, who take a second for a part."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        _record(home)
        with station(home) as port:
            base = f"http://127.0.0.1:{port}"
            alone, frames = _keys(base)
            bare = _percentile(_all(base, _asks_nothing, lambda: None)[0])[1] * 1000
            found, (busy, _) = _all(base, _labels, lambda: _keys(base))
            turn = _percentile(found)[1] * 1000
    for what, waits in (("", alone), (f", {INSPECTORS - 1} others at work", busy)):
        ours, frame = _percentile(waits)[1], _percentile(frames)[1]
        what = f"(i) key to next picture, {DUE:,} due{what}, p95"
        yield Row(what, f"{ours:.0f} ms", f"{frame:.0f} ms for any frame", ours / frame)
    without, beside = _worker()
    what = f"(i) worker, parts a second, {INSPECTORS} inspectors at work"
    yield Row(what, f"{beside:.0f}", f"{without:.0f} beside a station that nobody asks", beside / without)
    what = f"(i) answer, next lease and its picture over HTTP, {INSPECTORS} at work, p95"
    yield Row(what, f"{turn:.0f} ms", f"{bare:.0f} ms for /healthz", turn / bare)


def _record(home: Path, model: ModelInForce = MODEL) -> None:
    """So many flagged parts, whose picture is of a solar cell's size and of noise, which no coder makes small."""
    noise = np.random.default_rng(1).integers(0, 255, (300, 300), np.uint8)
    image = FolderImages(home / "images", 10**9).keep(cv2.imencode(".png", noise)[1].tobytes())
    row = (
        LINE,
        "left",
        time.time(),
        model.digest,
        "t" * 64,
        (0.1, 0.9),
        1.8,
        next(label for label in model.classes if label != model.good),
        Outcome.REJECT,
        None,
        1,
        0,
        image,
    )
    with closing(open_ledger(f"sqlite:///{home}/ledger.db", time.time)) as ledger:
        ledger.register(model)
        ledger.record([Verdict(f"p{number}", *row) for number in range(DUE)])


def _keys(base: str) -> tuple[list[float], list[float]]:
    """Milliseconds from each key to the frame that shows the next picture, and those that any frame takes."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{base}/review?inspector=key")
        page.locator("#stage img").wait_for()
        frames = [page.evaluate(FRAME) for _ in range(KEYS)]
        page.evaluate(WATCH)
        for _ in range(KEYS):
            page.keyboard.press("1")
            time.sleep(PAUSE)
        waits: list[float] = page.evaluate("waits")
        browser.close()
    assert len(waits) > 0.9 * KEYS, f"{len(waits)} of {KEYS} keys were followed by a picture"
    return waits, frames


T = TypeVar("T")
Turns = Callable[[httpx.Client, str], Iterator[float]]


def _all(base: str, turns: Turns, meanwhile: Callable[[], T]) -> tuple[list[float], T]:
    """Seconds of each turn of all inspectors but one, who come at once, and what that one does meanwhile."""

    def one(number: int) -> list[float]:
        with httpx.Client(base_url=base, timeout=60) as client:
            return list(islice(turns(client, f"i{number}"), EACH))

    with ThreadPoolExecutor(INSPECTORS) as pool:
        others = [pool.submit(one, number) for number in range(INSPECTORS - 1)]
        found = meanwhile()
        return [seconds for other in others for seconds in other.result()], found


def _labels(client: httpx.Client, name: str) -> Iterator[float]:
    asked = {"inspector": name, "want": 1}
    (part,) = client.post("/v1/review/next", json=asked).json()["parts"]
    while True:
        began = time.perf_counter()
        answer = {"inspector": name, "lease": part["lease"], "label": part["good"], "labelled_at": time.time()}
        client.post("/v1/review/answers", json=answer).raise_for_status()
        (part,) = client.post("/v1/review/next", json=asked).json()["parts"]
        client.get(part["image"]).raise_for_status()
        yield time.perf_counter() - began
        time.sleep(LOOK)


def _asks_nothing(client: httpx.Client, _: str) -> Iterator[float]:
    while True:
        began = time.perf_counter()
        client.get("/healthz").raise_for_status()
        yield time.perf_counter() - began


def _worker() -> tuple[float, float]:
    """Parts a second of a worker beside the station, medians of rounds: while nobody asks, and while all label."""
    model, contents, rounds = detector(), pictures(PARTS), []
    info = model.info
    in_force = replace(
        MODEL, digest=info.digest, classes=info.classes, good=info.good, decision_thresholds=info.decision_thresholds
    )
    with TemporaryDirectory() as folder:
        home = Path(folder)
        _record(home, in_force)
        with station(home) as port:
            ours(model, contents[: BATCH * 4], home, "warm")
            for number in range(ROUNDS):
                alone = ours(model, contents, home, f"alone{number}-")
                with _at_work(f"http://127.0.0.1:{port}"):
                    rounds.append((alone, ours(model, contents, home, f"beside{number}-")))
    without, beside = (median(column) for column in zip(*rounds, strict=True))
    return without, beside


@contextmanager
def _at_work(base: str) -> Iterator[None]:
    """All inspectors label, in a process of their own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, get_context("spawn").Manager() as manager:
        done = manager.Event()
        labelling = pool.submit(_until, base, done)
        time.sleep(WARM)
        yield
        done.set()
        labelling.result()


def _until(base: str, done: Event) -> None:
    """Everybody labels a part after the other until it is done."""

    def one(number: int) -> None:
        with httpx.Client(base_url=base, timeout=60) as client:
            for _ in _labels(client, f"i{number}"):
                if done.is_set():
                    return

    with ThreadPoolExecutor(INSPECTORS) as pool:
        list(pool.map(one, range(INSPECTORS)))


def _percentile(values: Sequence[float]) -> tuple[float, float]:
    return median(values), quantiles(values, n=20)[-1]
