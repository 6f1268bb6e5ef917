"""`redrabbit demo --camera gige --release opcua`: from a camera's packets to a PLC's nodes, over both protocols, by one command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from service.ledger.store import open_ledger
from tests.servers import free_port

PARTS = 40


def _demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    ports = ("STATION__LISTEN", "METRICS__EXPORTER", "METRICS__WORKER")
    environment = os.environ | {f"REDRABBIT_{key}": f"127.0.0.1:{free_port()}" for key in ports}
    command = [sys.executable, "-m", "service.cli", "demo", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=180)


@pytest.mark.parametrize("camera", ["gige", "dataset"])
def test_every_verdict_of_the_camera_is_told_the_plc(camera: str, tmp_path: Path) -> None:
    """As many as the ledger has, with its codes, audits as a third one."""
    done = _demo(f"--camera={camera}", "--release=opcua", f"--parts={PARTS}", "--rate=20", f"--home={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.search(
        r"PLC was told (\d+) verdicts: (\d+) pass, (\d+) reject, (\d+) audit, 0 too late$", done.stdout, re.M
    )
    assert said is not None, done.stdout
    with closing(open_ledger(f"sqlite:///{tmp_path}/var/redrabbit.db", time.time, read_only=True)) as ledger:
        outcomes = [row.verdict.outcome.value for row in ledger.parts_after(0, 10_000)]
    assert len(outcomes) >= PARTS
    assert [int(number) for number in said.groups()] == [
        len(outcomes),
        *(outcomes.count(one) for one in ("pass", "reject", "audit")),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--camera", "usb"], "--camera usb: expected dataset or gige"),
        (["--release", "modbus"], "--release modbus: expected none or opcua"),
        (["--camera", "gige", "--parts", "9", "--exit"], "--exit runs on a simulated clock; expected neither"),
        (["--camera", "gige", "--fault", "dim@5"], "--fault: the camera sends its test pattern"),
    ],
)
def test_what_does_not_go_together_is_one_line(arguments: list[str], said: str) -> None:
    done = _demo(*arguments)
    assert done.returncode == 2 and done.stderr.startswith(f"redrabbit: {said}") and done.stderr.count("\n") == 1
