"""What inspectors say at the station's page is what Today and the exporter say of the line, as two processes over one ledger."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from service.ledger.images import FolderImages
from service.ledger.store import SqlLedger, open_ledger
from service.records import Outcome, Verdict
from tests.line import INFO, LINE, MODEL, picture
from tests.servers import free_port, until

Person = Callable[..., BrowserContext]

REJECTS, AUDITS, WEIGHT = 24, 26, 4
MISSED, DOUBTED = 6, 1
"""Audited parts that are defective; of which the first inspector alone thinks so."""
PATIENCE = 60.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """A line whose one bucket has closed without a label: of the passed parts one in four was drawn."""
    images = FolderImages(tmp_path / "images", 10**6)
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", time.time)) as opened:
        opened.register(MODEL)
        opened.record([_verdict(number, images) for number in range(REJECTS + AUDITS * WEIGHT)])
        yield opened


def _verdict(number: int, images: FolderImages) -> Verdict:
    passed = number - REJECTS
    outcome = Outcome.REJECT if passed < 0 else Outcome.AUDIT if passed % WEIGHT == 0 else Outcome.PASS
    flagged = outcome is Outcome.REJECT
    return Verdict(
        part_id=f"p{number:03}",
        line=LINE,
        camera="left",
        captured_at=time.time() - 600 + number,
        model=INFO.digest,
        thresholds="t" * 64,
        scores=(0.1, 0.9) if flagged else (0.9, 0.1),
        exceedance=1.8 if flagged else 0.2,
        predicted="crack" if flagged else "good",
        outcome=outcome,
        band=None if flagged else 1,
        weight=1 if flagged else WEIGHT,
        policy=1,
        image=images.keep(picture(0.9 if flagged else 0.1)) if outcome is not Outcome.PASS else "",
    )


@contextmanager
def _running(home: Path, ledger: SqlLedger) -> Iterator[tuple[str, str]]:
    """`redrabbit station` and `redrabbit exporter`: their addresses."""
    station, exporter = (f"127.0.0.1:{free_port()}" for _ in range(2))
    parts = REJECTS + AUDITS * WEIGHT
    (home / "thresholds.yaml").write_text(
        f"defaults: {{bucket: {{parts: {parts}, closes_after: 1m}}, windows: [{{parts: {parts}}}], audit: {{budget: 0.25}}}}\n"
    )
    (home / "line.yaml").write_text(
        f"{{line: {LINE}, model: none.onnx, cameras: {{left: 'folder:///nowhere'}}, ledger: 'sqlite:///ledger.db', "
        f"images: {{folder: images}}, station: {{listen: '{station}', open_on_loopback: true}}, metrics: {{exporter: '{exporter}'}}}}"
    )
    both = [
        subprocess.Popen([sys.executable, "-m", "service.cli", name, "--config", str(home / "line.yaml")])
        for name in ("station", "exporter")
    ]
    try:
        until(lambda: _answers(f"http://{station}/readyz") and _answers(f"http://{exporter}/metrics"), "both answer")
        yield station, exporter
    finally:
        for process in both:
            process.terminate()
        assert [process.wait(20) for process in both] == [0, 0]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        time.sleep(0.1)
        return False


def _value(exporter: str, series: str) -> float | None:
    """A figure of defect crack as /metrics has it; None where it is not there."""
    wanted = f'redrabbit_{series}{{defect="crack",'
    lines = httpx.get(f"http://{exporter}/metrics", timeout=10).text.splitlines()
    found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(wanted)]
    return found[0] if found else None


def _label(page: Page, ledger: SqlLedger, parts: int, says: Callable[[int], bool]) -> None:
    """Presses the key of what this inspector sees in each of so many pictures, and waits until nothing is due."""
    shown = ""
    for _ in range(parts):
        page.wait_for_function(
            "old => (document.querySelector('#stage img')?.getAttribute('src') ?? old) !== old", arg=shown
        )
        shown = page.locator("#stage img").get_attribute("src") or ""
        lease = ledger.lease(shown.split("/v1/review/")[1].split("/")[0])
        assert lease is not None
        page.keyboard.press("1" if says(int(lease.part_id[1:])) else "g")
    page.get_by_text("Nothing is due").wait_for()


def _defective(number: int) -> bool:
    """All rejects are, and of the audited parts the first ones."""
    return number < REJECTS + MISSED * WEIGHT


def _sure(number: int) -> bool:
    return number < REJECTS + (MISSED - DOUBTED) * WEIGHT


def test_recall_follows_from_what_three_inspectors_say(tmp_path: Path, ledger: SqlLedger, person: Person) -> None:
    """Unknown, then known: T = 24 hits and five misses of weight 4, that two inspectors have seen. The sixth, which the second and
    the third call good, is none."""
    with _running(tmp_path, ledger) as (station, exporter):
        assert _value(exporter, "recall_ratio") is None and _value(exporter, "recall_estimable") == 0
        today = person(base_url=f"http://{station}").new_page()
        today.goto("/")
        expect(today.locator(f"#line-{LINE} .state").first).to_have_text("UNKNOWN")
        for name, parts, sees in (
            ("ines", REJECTS + AUDITS, _defective),
            ("otto", MISSED, _sure),
            ("uwe", DOUBTED, _sure),
        ):
            page = person(base_url=f"http://{station}").new_page()
            page.goto(f"/review?inspector={name}")
            _label(page, ledger, parts, sees)
            page.close()
        misses = (MISSED - DOUBTED) * WEIGHT
        until(
            lambda: _value(exporter, "recall_ratio") == pytest.approx(REJECTS / (REJECTS + misses)), "the exporter", 30
        )
        counts = ledger.labels([f"p{number:03}" for number in range(REJECTS + AUDITS * WEIGHT)])
        assert sum(map(len, counts.values())) == REJECTS + AUDITS + MISSED + DOUBTED
        figures = today.locator(f"#line-{LINE} .figures").first
        for end in ("lower", "upper"):
            shown = str(_value(exporter, f"recall_{end}_ratio"))
            expect(figures).to_have_attribute(f"data-{end}", shown, timeout=PATIENCE * 1000)
        assert f"{REJECTS / (REJECTS + misses):.3f}" in today.locator(f"#line-{LINE} .recall").first.inner_text()
        assert _value(exporter, "precision_ratio") == 1
