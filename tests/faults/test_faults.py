"""The short run: each fault once or a few times. `make faults` is the long one."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.faults.check import Found, check_ended, check_running
from tests.faults.kinds import FAULTS, Clocks, SmallDisk, tried
from tests.faults.plant import Plant, Shared
from tests.line import picture
from tests.servers import until


@pytest.mark.parametrize(("plant", "tries"), [(Plant, 2), (Shared, 1), (SmallDisk, 1), (Clocks, 4)])
def test_nothing_is_lost_or_double(plant: type[Plant], tries: int, tmp_path: Path) -> None:
    if plant is SmallDisk and os.geteuid():
        pytest.skip("a small disk has to be mounted: run the tests as root to have this one")
    kinds = [kind for kind in FAULTS if kind.plant is plant]
    for ended, results, found in tried(kinds, tries, Random(7), tmp_path, outage=3):
        assert sum(len(one.seconds) for one in results) == tries * len(kinds)
        assert ended.fed > 50 and ended.acknowledged
        assert found.bad == []
        assert found.unseen == 0 or plant is Shared, (
            "a nats-server that is killed may lose what it has just acknowledged"
        )


def _write(plant: Plant, statement: str, *values: str) -> None:
    """Past the ledger, and past what guards it."""
    with sqlite3.connect(plant.folder / "var/ledger.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute(statement, values)
    database.close()


def test_the_check_finds_what_is_wrong_and_a_cut_ledger_is_refused(tmp_path: Path) -> None:
    """The harness must be able to fail; and a ledger that ends in the middle of a page is told in one line, by everything that opens
    it, and its backup goes on."""
    with Plant(tmp_path) as plant:
        plant.drain()
        check_ended(plant, good := Found())
        assert good.bad == [] and good.unseen == 0
        shutil.copy(tmp_path / "var/audit.key", tmp_path)
        assert plant.command("ledger", "backup", str(tmp_path / "backup")).returncode == 0
        plant.end()
        log = tmp_path / "var/worker.jsonl"
        first = json.loads(log.read_text().splitlines()[0])
        log.write_text(log.read_text() + json.dumps(first | {"part_id": "never"}) + "\n")
        plant.acknowledged["never"] = "good"
        check_running(plant, lost := Found())
        assert len(lost.lost) == 2 and all("never" in one for one in lost.lost)
        _write(plant, "DELETE FROM parts WHERE part_id = ?", first["part_id"])
        check_running(plant, gone := Found())
        assert any(first["part_id"] in one for one in gone.lost) and "ordinals have a gap" in gone.wrong

        ledger = tmp_path / "var/ledger.db"
        whole = ledger.read_bytes()
        for file in ledger.parent.glob("ledger.db-*"):
            file.unlink()
        for cut in (len(whole) // 2 + 1000, len(whole) - 100):
            ledger.write_bytes(whole[:cut])
            for words in (("ledger", "verify"), ("worker",)):
                done = plant.command(*words)
                assert done.returncode and len(done.stderr.strip().splitlines()) == 1, (words, cut, done)
        shutil.rmtree(tmp_path / "var")
        restored = subprocess.run(
            [sys.executable, "-m", "service.cli", "ledger", "restore", str(tmp_path / "backup"), str(tmp_path / "var")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert restored.returncode == 0, restored.stderr
        (tmp_path / "var/redrabbit.db").rename(ledger)
        shutil.copy(tmp_path / "audit.key", tmp_path / "var/audit.key")
        for name in plant.processes:
            plant.start(name)
        plant.feed(f"p{plant.fed}", picture(0.5))
        until((tmp_path / "var/worker.jsonl").exists, "the worker at work over the restored ledger")
        plant.wait_for("exporter")
        until(plant.ready, "the station over the restored ledger")
        plant.end()
        assert plant.command("ledger", "verify").stdout.splitlines()[-1] == "good"
