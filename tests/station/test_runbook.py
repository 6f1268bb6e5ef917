"""The runbook, as whoever is called at night opens it from the alert."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from service.station.runbook import as_html
from tests.station.conftest import Station

RULES = Path(__file__).parents[2] / "deploy/prometheus/rules"


def test_every_alert_leads_to_its_section(station: Station) -> None:
    """Without a token; the anchor of each link is on the page."""
    page = httpx.get(f"{station.base}/runbook")
    assert page.status_code == 200
    anchors = set(re.findall(r"/runbook#(\w+)", "".join(file.read_text() for file in RULES.glob("*.yml"))))
    assert len(anchors) > 12
    assert anchors <= set(re.findall(r'<h2 id="(\w+)">', page.text))


def test_what_stands_in_it_is_text() -> None:
    """Angle brackets of an alert's text are no markup."""
    assert "<script>" not in as_html("a `<script>` and <script>alert(1)</script>")
