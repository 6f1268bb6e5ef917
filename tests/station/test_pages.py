"""The pages, as chromium shows them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import BrowserContext

from service.records import Outcome, ShadowVerdict
from service.station.access import new_secret
from tests.line import LINE, MODEL
from tests.servers import program
from tests.station.conftest import Station


def _shown(url: str, profile: Path) -> str:
    """The page's document after its scripts have run."""
    command = [
        program("chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=4000",
        "--dump-dom",
        url,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"HOME": str(profile)}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_today_says_in_words_how_the_line_does(station: Station, tmp_path: Path) -> None:
    """One sentence on what to do, the band against its threshold, the state, the axes of the matrix."""
    client = station.client()
    for number in range(40):
        outcome = Outcome.REJECT if number % 2 else Outcome.AUDIT
        station.clock.now += 1
        station.part(f"p{number}", outcome)
        word = "crack" if outcome is Outcome.REJECT else "good"
        client.post("/v1/labels", json={"part_id": f"p{number}", "label": word, "inspector": "ines"})
    station.clock.now += 61
    page = _shown(f"{station.base}/", tmp_path / "profile")
    assert '<rect class="limits' in page and '<line class="threshold"' in page
    assert any(state in page for state in ("PROVEN", "UNDECIDED"))
    assert "defective × passed" in page and "Nothing is due" in page


def test_today_says_where_the_windows_begin_and_how_a_shadow_does(station: Station, tmp_path: Path) -> None:
    """After another model took over: its name, the old one's figures, and the shadow against it in words."""
    client = station.client()
    for number in range(20):
        station.clock.now += 1
        station.part(f"p{number}", Outcome.REJECT)
        client.post("/v1/labels", json={"part_id": f"p{number}", "label": "crack", "inspector": "ines"})
    new = replace(MODEL, digest="e" * 64, name="new", since=station.clock.now)
    station.ledger.register(new)
    station.ledger.register(replace(new, digest="f" * 64, name="rival", role="shadow"))
    for number in range(20, 40):
        station.clock.now += 1
        station.part(f"p{number}", Outcome.REJECT, model=new.digest)
        caught = number < 30
        said = ShadowVerdict(f"p{number}", LINE, "f" * 64, (0.5, 0.5), 1.0, "crack" if caught else "good", caught)
        station.ledger.record_shadow([said])
        client.post("/v1/labels", json={"part_id": f"p{number}", "label": "crack", "inspector": "ines"})
    station.clock.now += 200
    page = _shown(f"{station.base}/", tmp_path / "profile")
    assert "new eeeeeeeeeeee, part 20" in page and "before, bright dddddddddddd" in page and "20 parts until" in page
    assert "Shadow rival ffffffffffff against new eeeeeeeeeeee: 20 parts judged by both, 20 of them labelled" in page
    assert "the shadow misses defects that the active model catches (p = 0.002)" in page
    said_there = client.get("/v1/quality").json()["lines"][0]
    assert [term["parts"] for term in said_there["terms"]] == [20, 20]
    assert said_there["shadows"][0]["recall"] == {"active": 1.0, "shadow": 0.5}


def test_review_shows_a_picture_and_a_button_for_each_answer(station: Station, tmp_path: Path) -> None:
    """And nothing of the line's own opinion."""
    station.part("p1")
    page = _shown(f"{station.base}/review?inspector=ines", tmp_path / "profile")
    assert 'src="/v1/review/' in page
    assert [f'data-key="{key}"' in page for key in ("g", "1", "u")] == [True] * 3
    assert "1 left" in page and "reject" not in page.partition("<main")[2]


def test_review_asks_for_a_name_first(station: Station, tmp_path: Path) -> None:
    """A label without a name is worth nothing."""
    page = _shown(f"{station.base}/review", tmp_path / "profile")
    assert "Your name stands beside your labels" in page


def test_somebody_signs_in_with_a_browser(start: Callable[..., Station], person: Callable[..., BrowserContext]) -> None:
    """The form is sent as a browser sends it, with the origin that our own headers let it tell; a wrong token is said to be one."""
    station = start(open_on_loopback=False)
    page = person(base_url=station.base).new_page()
    page.goto("/")
    assert page.url.endswith("/sign-in")
    page.get_by_text("With a token instead").click()
    page.get_by_label("Token").fill(new_secret())
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    page.get_by_text("With a token instead").click()
    page.get_by_label("Token").fill(station.token("eva", "engineer"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/")
