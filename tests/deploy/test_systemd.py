"""The units, as systemd itself reads and judges them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest

from service import pulse
from service.cli import building
from service.ledger.sqlite import LOCK_SECONDS
from service.worker import BEAT_EVERY
from tests.deploy.tools import DEPLOY, run

UNIT = DEPLOY / "systemd/redrabbit@.service"
PROCESSES = sorted(building.processes(Path("line.yaml")))


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install --no-install-recommends systemd")
    return found


@pytest.fixture
def units(tmp_path: Path) -> Iterator[list[str]]:
    """The target and one instance for each process, with a program that is here."""
    text = UNIT.read_text().replace("/opt/redrabbit/bin/redrabbit", "/bin/true")
    files = [tmp_path / f"redrabbit@{name}.service" for name in PROCESSES]
    for file in files:
        file.write_text(text)
    shutil.copy(DEPLOY / "systemd/redrabbit.target", tmp_path)
    yield [*map(str, files), str(tmp_path / "redrabbit.target")]


def test_systemd_understands_every_line(units: list[str]) -> None:
    """What it does not know it only warns of; here that is a failure too."""
    assert run("sh", "-c", '"$0" verify --man=no "$@" 2>&1', _program("systemd-analyze"), *units) == ""


def test_little_is_left_to_an_intruder(units: list[str]) -> None:
    """systemd's own measure of exposure, of 10, stays under 2."""
    offline = ("security", "--offline=true", "--no-pager", "--threshold=20")
    assert "OK" in run(_program("systemd-analyze"), *offline, units[0]).splitlines()[-1]


def test_the_user_is_made_as_written() -> None:
    """sysusers.d makes the user that the units name."""
    said = run(
        "sh", "-c", '"$0" --dry-run "$1" 2>&1', _program("systemd-sysusers"), str(DEPLOY / "systemd/sysusers.conf")
    )
    assert "user 'redrabbit'" in said or "redrabbit:" in Path("/etc/passwd").read_text()
    assert (_service()["User"], _service()["Group"]) == ("redrabbit", "redrabbit")


def _service() -> dict[str, str]:
    unit = RawConfigParser(strict=False, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    return dict(unit["Service"])


def test_the_target_has_all_three() -> None:
    """worker, station and exporter, each of them a command of redrabbit."""
    wanted = re.findall(r"redrabbit@(\w+)\.service", (DEPLOY / "systemd/redrabbit.target").read_text())
    assert sorted(wanted) == PROCESSES == ["exporter", "station", "worker"]
    assert _service()["ExecStart"] == "/opt/redrabbit/bin/redrabbit %i --config /etc/redrabbit/line.yaml"


def test_a_process_that_hangs_is_noticed_and_one_that_waits_for_a_lock_is_not() -> None:
    """The watchdog is as patient as /healthz, and SQLite may wait for its lock between two beats."""
    service = _service()
    assert service["Type"] == "notify" and service["Restart"] == "on-failure"
    assert float(service["WatchdogSec"]) == pulse.LATE > LOCK_SECONDS + 2 * BEAT_EVERY
