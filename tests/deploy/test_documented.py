"""docs/deployment.md: its commands, run one after another in a folder that stands for the machine."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from service.ledger.migrating import VERSION_TABLE, versions
from tests.deploy.tools import ROOT, installed, run, wheels

TEXT = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
NOT_HERE = ("systemctl", "systemd-")


def _commands(section: str) -> list[str]:
    """The lines of the section's shell blocks that can be run here."""
    body = re.split(r"^## ", TEXT.partition(f"\n## {section}\n")[2], flags=re.MULTILINE)[0]
    lines = "".join(re.findall(r"```sh\n(.*?)```", body, re.DOTALL)).splitlines()
    return [line for line in lines if not line.startswith(NOT_HERE)]


class Machine:
    """A folder with an /opt, an /etc and a /var; we are root and redrabbit on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        path = f"{Path(installed('uv')).parent}:{os.environ['PATH']}"
        kept = {name: text for name, text in wheels().items() if not name.startswith("REDRABBIT_")}
        self._environment = {**kept, "PATH": path}
        self.data = root / "var/lib/redrabbit"

    def run(self, command: str) -> str:
        for known in ("/opt/", "/etc/", "/var/"):
            command = command.replace(known, f"{self.root}{known}")
        command = command.replace("/usr/bin/python3", sys.executable)
        command = command.replace("runuser -u redrabbit -- ", "").replace("--owner=redrabbit --group=redrabbit ", "")
        return run("sh", "-c", command, environment=self._environment)

    def follow(self, section: str) -> str:
        commands = _commands(section)
        assert commands
        return "".join(self.run(command) for command in commands)

    def schema(self, file: str = "redrabbit.db") -> str:
        with closing(sqlite3.connect(self.data / file)) as ledger:
            return str(ledger.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()[0])  # noqa: S608


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """As it is after the section on systemd, with the paths of line.yaml turned to it."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    *before, check = _commands("systemd")
    for command in before:
        machine.run(command)
    line = machine.root / "etc/redrabbit/line.yaml"
    line.write_text(line.read_text().replace("/var/lib/redrabbit", str(machine.data)))
    assert "to be made at the first start" in machine.run(check)
    return machine


def test_what_is_installed_is_what_the_units_start(machine: Machine) -> None:
    """The program, the configuration and the units are where each looks for the others."""
    unit = (machine.root / "etc/systemd/system/redrabbit@.service").read_text()
    program, config = re.findall(r"^ExecStart=(\S+) .* (\S+)$", unit, re.MULTILINE)[0]
    assert (machine.root / program[1:]).is_file() and (machine.root / config[1:]).is_file()
    assert (machine.root / "etc/sysusers.d/redrabbit.conf").is_file()


def test_an_upgrade_and_the_way_back(machine: Machine) -> None:
    """The copy is whole, the ledger of this version; a newer one is refused in one line and left alone, until the copy is back."""
    machine.run("/opt/redrabbit/bin/redrabbit ledger migrate --config /etc/redrabbit/line.yaml")
    machine.follow("Upgrade")
    (copy,) = machine.data.glob("night-*.db")
    assert machine.schema() == machine.schema(copy.name) == versions()[-1]
    with closing(sqlite3.connect(machine.data / "redrabbit.db")) as ledger:
        ledger.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")  # noqa: S608
        ledger.commit()
    for words in (["ledger", "migrate"], ["worker"], ["station"]):
        command = [
            f"{machine.root}/opt/redrabbit/bin/redrabbit",
            *words,
            "--config",
            f"{machine.root}/etc/redrabbit/line.yaml",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        said = f"the ledger has schema 9999, newer than {versions()[-1]} of this redrabbit; install the newer one"
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and said in done.stderr, done.stderr
    assert machine.schema() == "9999"
    machine.follow("Going back")
    assert machine.schema() == versions()[-1]
    assert "version" in machine.run("/opt/redrabbit/bin/redrabbit check --config /etc/redrabbit/line.yaml")
