"""Photographs every page of the station over a running demo whose camera goes out of focus: `python -m docs.screens` writes
docs/screens/NAME-WIDTH.png, as a desk and as a tablet held upright show them. Takes some minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import closing
from io import BytesIO
from pathlib import Path
from random import Random
from socket import gethostname
from typing import Any
from urllib.parse import quote

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from service.ledger.store import open_ledger
from tests.e2e.demo import Demo, running
from tests.servers import program, until

FOLDER = Path(__file__).with_name("screens")
SIZES = ((1280, 800), (800, 1280))
RATE, SHARP, FAULT_AT = 20, 200, 600
STUDY = "october"
SLIPS = {"eva": 0.02, "li": 0.05, "max": 0.15}
"""Which share of their answers is wrong."""
PATIENCE = 240.0
COLOURS = 160
ANONYMOUS = """name => {
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) words.currentNode.data = words.currentNode.data.replaceAll(name, "line-pc");
}"""
"""A worker is called after its machine, which is nobody's business."""


def photograph(demo: Demo) -> None:
    """Every page at both sizes; the page that stands is taken on last."""
    base = f"http://{demo.station}"
    until(lambda: _answers(base), "the station answers", PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        tabs = [
            browser.new_context(base_url=base, viewport={"width": wide, "height": high}).new_page()
            for wide, high in SIZES
        ]
        until(lambda: demo.parts() > SHARP, "parts before the fault", PATIENCE)
        for tab in tabs:
            tab.goto("/review?inspector=eva")
            for _ in range(2):  # a part before this one
                tab.locator("#stage img").wait_for()
                tab.keyboard.press("g")
            _shot(tab, "review")
        until(lambda: _pages(base), "a page", PATIENCE)
        _study(demo, base)
        for name, path in _paths(base).items():
            for tab in tabs:
                _shot(tab, name, path)
        taken = {"line": _pages(base)[0]["line"], "note": "lens cleaned; lots held until they are looked at again"}
        httpx.post(f"{base}/v1/pages/acknowledge", json=taken).raise_for_status()
        time.sleep(2)
        for tab in tabs:
            _shot(tab, "pages", "/pages")
            _shot(tab, "trail", "/trail")
        browser.close()


def _study(demo: Demo, base: str) -> None:
    """Three inspectors, who slip now and then, over parts whose truth is the first label that was given."""
    dice = Random(1)
    with closing(open_ledger(demo.ledger, time.time, read_only=True)) as ledger:
        truth = {row.label.part_id: row.label.label for row in reversed(ledger.labels_after(0, 400))}
        reference = demo.home / "reference.csv"
        reference.write_text("part_id,label\n" + "".join(f"{part},{label}\n" for part, label in truth.items()))
        asked = f"--name {STUDY} --inspectors {','.join(SLIPS)} --parts 24 --trials 2 --share 1 --reference {reference}"
        command = [
            sys.executable,
            "-m",
            "service.cli",
            "study",
            "new",
            *asked.split(),
            "--config",
            f"{demo.home}/line.yaml",
        ]
        subprocess.run(command, check=True)  # noqa: S603
        for name, slips in SLIPS.items():
            for _ in range(24 * 2):
                (part,) = httpx.post(f"{base}/v1/review/next", json={"inspector": name}).json()["parts"]
                lease, slip = ledger.lease(part["lease"]), dice.random() < slips
                right = truth[lease.part_id] if lease else ""
                label = next(word for word in part["classes"] if (word != right) == slip)
                answer = {"inspector": name, "lease": part["lease"], "label": label}
                httpx.post(f"{base}/v1/review/answers", json=answer).raise_for_status()


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/readyz").is_success
    except httpx.TransportError:
        time.sleep(0.2)
        return False


def _pages(base: str) -> list[Any]:
    found: list[Any] = httpx.get(f"{base}/v1/pages").json()
    return [page for page in found if page["state"] == "standing"]


def _paths(base: str) -> dict[str, str]:
    """By name, every page that shows something in a demo. The part is the heaviest miss."""
    page = _pages(base)[0]
    gallery = httpx.get(f"{base}/misses").text
    miss = gallery.partition('class="gallery"')[2].partition('href="/parts/')[2].partition('"')[0]
    return {
        "today": "/",
        "misses": "/misses",
        "part": f"/parts/{miss}",
        "confusion": "/confusion",
        "parts": "/parts",
        "agreement": "/agreement",
        "study": f"/studies/{STUDY}",
        "refused": "/parts/no-such-part",
        "containment": f"/containment?line={quote(page['line'])}&defect={quote(page['defect'])}",
        "runbook": "/runbook",
        "sign-in": "/sign-in",
    }


def _shot(tab: Page, name: str, path: str = "") -> None:
    """As a PNG of few colours: these files live in a repository. path "": what the tab shows already."""
    if path:
        tab.goto(path, wait_until="load")
    tab.wait_for_timeout(500)
    tab.evaluate(ANONYMOUS, gethostname())
    width = tab.viewport_size["width"] if tab.viewport_size else 0
    with Image.open(BytesIO(tab.screenshot())) as picture:
        FOLDER.mkdir(exist_ok=True)
        picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(
            FOLDER / f"{name}-{width}.png", optimize=True
        )


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        running(
            Path(folder) / "demo", "--prevalence", "0.2", "--rate", str(RATE), "--fault", f"defocus@{FAULT_AT}"
        ) as demo,
    ):
        photograph(demo)
