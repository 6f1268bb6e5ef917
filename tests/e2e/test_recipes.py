"""A line with two recipes as a user runs it: changed over between two parts, back again, and refused where the other is unusable."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import yaml

from service.ledger.store import SqlLedger, open_ledger
from tests.line import picture
from tests.model.test_model import SAYS, _toy
from tests.releases.plc import plc
from tests.servers import free_port, until

ROOT = Path(__file__).parents[2]
RED = _toy(SAYS | {"name": "red", "classes": ["good", "defective"], "thresholds": {"defective": 0.5}})


class Plant:
    """One line: blue is the shipped model, red another one, and broken is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = free_port()
        for name in ("in", "done"):
            (folder / name).mkdir()
        (folder / "red.onnx").write_bytes(RED)
        (folder / "broken.onnx").write_bytes(RED[:200])
        (folder / "thresholds.yaml").write_text(
            "lines: {cells: {recall: {page: 0.7}}, 'cells:red': {recall: {page: 0.6}}}"
        )
        settings = {
            "line": "cells",
            "model": f"{ROOT}/deploy/models/el-cells.onnx",
            "allow_ungated": True,
            "cameras": {"top": f"folder://{folder}/in?settle=100ms&done={folder}/done"},
            "recipes": {
                "blue": {"product": "blue cells", "number": 1},
                "red": {"product": "red cells", "number": 2, "model": "red.onnx"},
                "broken": {"model": "broken.onnx"},
                "blind": {"cameras": {"top": f"folder://{folder}/nowhere"}},
            },
            "recipe": "blue",
            "metrics": {"worker": f"127.0.0.1:{self._port}"},
        }
        self.config = folder / "line.yaml"
        self.config.write_text(yaml.safe_dump(settings, sort_keys=False))
        self._parts = 0

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "service.cli", *words, "--config", str(self.config)]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=90)

    def photograph(self, count: int) -> None:
        for _ in range(count):
            file = self.folder / "in" / f"p{self._parts}.tmp"
            file.write_bytes(picture(self._parts % 10 / 10))
            file.rename(file.with_suffix(".png"))
            self._parts += 1

    def metrics(self) -> str:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/metrics", timeout=10).text
        except httpx.HTTPError:
            return ""


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


@pytest.fixture
def worker(plant: Plant) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(plant.command("worker"), env=os.environ | {"NOTIFY_SOCKET": ""})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def ledger(plant: Plant) -> Iterator[SqlLedger]:
    with closing(open_ledger(f"sqlite:///{plant.folder}/var/redrabbit.db", time.time)) as opened:
        yield opened


def _lines(ledger: SqlLedger) -> list[str]:
    return [row.verdict.line for row in ledger.parts_after(0, 1000)]


def test_a_line_changes_over_and_back_between_two_parts(
    plant: Plant, worker: subprocess.Popen[bytes], ledger: SqlLedger
) -> None:
    """Parts before are blue's, parts after are red's, judged by its model, none is lost; blue's own count goes on when it is back, and after a restart."""
    plant.photograph(6)
    until(lambda: _lines(ledger) == ["cells:blue"] * 6, "six blue ones")
    done = plant.run("recipes", "use", "red", "--by", "eva", "--note", "shift 2")
    assert done.returncode == 0 and "eva: recipe red (shift 2)  taken" in done.stdout, done.stdout + done.stderr
    plant.photograph(5)
    until(lambda: _lines(ledger)[6:] == ["cells:red"] * 5, "five red ones")
    assert {row.verdict.model for row in ledger.parts_after(6, 100)} == {sha256(RED).hexdigest()}
    beats = {beat.line: beat.stopped for beat in ledger.line_state()[2]}
    assert beats == {"cells:blue": True, "cells:red": False}, "nobody is to miss a worker of the recipe before"
    until(lambda: 'line="cells:red"' in plant.metrics(), "its metrics")
    assert 'line="cells:blue"' not in plant.metrics()
    assert plant.run("recipes", "use", "blue").returncode == 0
    plant.photograph(2)
    until(lambda: len(_lines(ledger)) == 13, "two more")
    blue = [row.ordinal for row in ledger.parts_after(0, 100) if row.verdict.line == "cells:blue"]
    assert blue == list(range(8))
    listed = plant.run("recipes", "list").stdout.splitlines()
    assert listed[0].startswith("* blue") and listed[0].endswith("1  cells:blue  blue cells")
    assert [line.split("  ")[2] for line in listed[4:]] == ["taken", "taken"]
    worker.terminate()
    assert worker.wait(60) == 0


def test_it_begins_with_the_recipe_that_was_in_force(plant: Plant, ledger: SqlLedger) -> None:
    """Not with that of line.yaml; a kill loses no order."""
    first = subprocess.Popen(plant.command("worker"))
    try:
        until(lambda: "redrabbit_" in plant.metrics(), "it runs")
        assert plant.run("recipes", "use", "red").returncode == 0
    finally:
        first.kill()
        first.wait()
    plant.photograph(1)
    second = subprocess.Popen(plant.command("worker"))
    try:
        until(lambda: _lines(ledger) == ["cells:red"], "a red one")
    finally:
        second.kill()
        second.wait()


@pytest.mark.parametrize(("recipe", "why"), [("broken", "broken.onnx"), ("blind", "camera top")])
def test_a_recipe_that_cannot_be_used_leaves_the_line_as_it_is(
    plant: Plant, worker: subprocess.Popen[bytes], ledger: SqlLedger, recipe: str, why: str
) -> None:
    """One line says why: a model that does not load, before anything is stopped; a camera that is not there, with the way back."""
    plant.photograph(1)
    until(lambda: _lines(ledger) == ["cells:blue"], "a blue one")
    done = plant.run("recipes", "use", recipe)
    assert done.returncode == 2 and f"recipe {recipe}  refused" in done.stderr and why in done.stderr, done.stderr
    plant.photograph(1)
    until(lambda: _lines(ledger) == ["cells:blue"] * 2, "another blue one")
    assert worker.poll() is None


def test_the_plc_asks_for_a_recipe_and_sees_when_it_is_in_force(plant: Plant, ledger: SqlLedger) -> None:
    """By a register; the order is recorded in the PLC's name, and verdicts go on to it from the other recipe."""
    with plc() as controls:
        (map_file := plant.folder / "plc.yaml").write_text(
            "Sequence: holding 0\nResultEvaluationCode: holding 1\nRecipe: holding 30\nRecipeInForce: holding 31\n"
        )
        settings = yaml.safe_load(plant.config.read_text())
        url = f"modbus://127.0.0.1:{controls.port}?map_file={map_file}&heartbeat=200ms&deadline=10s"
        plant.config.write_text(yaml.safe_dump(settings | {"releases": [url]}, sort_keys=False))
        worker = subprocess.Popen(plant.command("worker"), env=os.environ | {"NOTIFY_SOCKET": ""})
        try:
            until(lambda: controls.holding[31] == 1, "blue is in force")
            controls.holding[30] = 2
            until(lambda: controls.holding[31] == 2, "red is in force")
            before = controls.holding[0]
            plant.photograph(3)
            until(lambda: _lines(ledger) == ["cells:red"] * 3 and controls.holding[0] == before + 3, "three red ones")
        finally:
            worker.kill()
            worker.wait()
    (order,) = ledger.model_orders("cells")
    assert (order.order.name, order.order.by) == ("red", f"modbus://127.0.0.1:{controls.port}")


def test_check_looks_at_every_recipe(plant: Plant) -> None:
    done = plant.run("check")
    assert done.returncode == 2 and "broken.onnx" in done.stderr and done.stderr.count("\n") == 1
    assert "recipe      red, of line cells" in done.stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": "green"}, "recipe: expected the one to begin with, of blue, red, broken, blind; found green"),
        ({"recipes": {}}, "recipe: blue: expected recipes"),
        ({"recipes": {"blue": {"cameras": {"side": "push://"}}}}, "no camera side; expected one of top"),
        ({"recipes": {"blue": {"number": 1}, "red": {"number": 1}}}, "two have the same number"),
        ({"cameras": {"top": "nats://127.0.0.1/parts"}}, "frames over NATS carry no recipe"),
    ],
)
def test_what_does_not_fit_in_line_yaml_is_one_line(plant: Plant, changes: dict[str, object], said: str) -> None:
    plant.config.write_text(yaml.safe_dump(yaml.safe_load(plant.config.read_text()) | changes, sort_keys=False))
    done = plant.run("recipes", "list")
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
