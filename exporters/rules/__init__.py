"""The alert rules, from definitions in code to deploy/prometheus/rules.

Static: every rule compares series with series, so a new threshold, line or defect changes no rule. Where data is missing a
page stands: see `parts.held`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from exporters.rules.cameras import CAMERAS
from exporters.rules.challenge import CHALLENGE
from exporters.rules.health import HEALTH
from exporters.rules.parts import Alert, Links, Recording
from exporters.rules.quality import QUALITY
from exporters.rules.recording import RECORDING
from exporters.rules.releases import RELEASES

__all__ = ["FILES", "RECORDING", "Alert", "Links", "rendered", "write"]

HEAD = "# Written by `redrabbit rules` from exporters/rules. Change it there.\n"

FILES: Mapping[str, Sequence[Alert | Recording]] = {
    "quality": QUALITY,
    "challenge": CHALLENGE,
    "health": (*CAMERAS, *RELEASES, *HEALTH),
    "recording": RECORDING,
}


def rendered(name: str, links: Links) -> str:
    """The text of one file of rules."""
    groups = {"groups": [{"name": f"redrabbit-{name}", "rules": [rule.rule(links) for rule in FILES[name]]}]}
    return HEAD + yaml.safe_dump(groups, sort_keys=False, width=10_000)


def write(folder: Path, links: Links | None = None) -> list[Path]:
    """Writes every file of rules into the folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name in FILES:
        found.append(folder / f"{name}.yml")
        found[-1].write_text(rendered(name, links or Links()), encoding="utf-8")
    return found
