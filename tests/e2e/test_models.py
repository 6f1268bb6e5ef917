"""Models on a line of real processes: ordered, swapped, shadowed, refused, rolled back, and killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import httpx
import pytest

from service.ledger.store import SqlLedger, open_ledger
from service.records import Label, ModelOrder, Role, Taken
from tests.model.graphs import passed
from tests.model.test_model import SAYS, _toy
from tests.servers import free_port, until

FITS = SAYS | {"classes": ["good", "defective"], "thresholds": {"defective": 0.5}}
ONE, TWO, THREE = (_toy(FITS | {"name": name}) for name in ("one", "two", "three"))
DIGESTS = {sha256(content).hexdigest(): name for content, name in ((ONE, "one"), (TWO, "two"), (THREE, "three"))}
DIGEST = {name: digest for digest, name in DIGESTS.items()}


@dataclass
class Home:
    """A line with its settings; `one` stands in its line.yaml. metrics: HOST:PORT of its worker."""

    folder: Path
    ledger: SqlLedger
    metrics: str

    def models(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`redrabbit models …`, as a user types it."""
        command = [sys.executable, "-m", "service.cli", "models", *words, "--config", str(self.folder / "line.yaml")]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)

    def check(self) -> str:
        """What `redrabbit check` says of the model."""
        command = [sys.executable, "-m", "service.cli", "check", "--config", str(self.folder / "line.yaml")]
        output = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
        return next(line for line in output.splitlines() if line.startswith("model "))

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[str]]:
        """Ends with SIGTERM, unless it is gone by then."""
        command = [sys.executable, "-m", "service.cli", "worker", "--config", str(self.folder / "line.yaml")]
        process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE)
        before = self.parts()
        try:
            until(lambda: process.poll() is not None or self.parts() > before, "the line going on")
            assert process.poll() is None, process.communicate()[1]
            yield process
        finally:
            process.terminate()
            output = process.communicate(timeout=40)[1]
        assert process.returncode in (0, -signal.SIGKILL) and "Traceback" not in output, output

    def file(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)

    def parts(self) -> int:
        return len(self.ledger.parts_after(0, 100_000))

    def label_all(self) -> None:
        """Somebody calls every part good."""
        self.ledger.add_labels(
            [Label(row.verdict.part_id, "good", "ines", time.time()) for row in self.ledger.parts_after(0, 100_000)]
        )

    def last(self) -> str:
        """Who judged the newest part."""
        return DIGESTS[self.ledger.parts_after(0, 100_000)[-1].verdict.model]

    def must_be_whole(self) -> list[str]:
        """Every part recorded once, in order; what was released is what is recorded. Returns who judged, without repeats."""
        rows = self.ledger.parts_after(0, 100_000)
        assert [row.verdict.part_id for row in rows] == [f"el-3-{number:06d}" for number in range(len(rows))]
        recorded = {row.verdict.part_id: row.verdict.outcome for row in rows}
        released = [json.loads(line) for line in (self.folder / "released.jsonl").read_text().splitlines()]
        assert released and all(recorded[said["part_id"]] == said["verdict"] for said in released)
        return [DIGESTS[digest] for digest, _ in groupby(row.verdict.model for row in rows)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "one.onnx").write_bytes(passed(ONE))
    (tmp_path / "thresholds.yaml").write_text("lines: {el: {defects: {defective: {}}}}\n")
    metrics = f"127.0.0.1:{free_port()}"
    settings = {
        "line": "el",
        "model": "one.onnx",
        "cameras": {"cell": "dataset://elpv?seed=3&rate=60"},
        "releases": [f"log://{tmp_path}/released.jsonl"],
        "metrics": {"worker": metrics},
    }
    (tmp_path / "line.yaml").write_text(json.dumps(settings))
    with closing(open_ledger(f"sqlite:///{tmp_path}/var/redrabbit.db", time.time)) as ledger:
        yield Home(tmp_path, ledger, metrics)


def _must(done: subprocess.CompletedProcess[str], status: int, says: str) -> None:
    assert done.returncode == status and says in done.stdout + done.stderr, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr


def test_the_life_of_models_on_a_line(home: Home) -> None:
    """Ordered before there is a worker, taken by it, shadowed, refused, and rolled back after every file was overwritten."""
    two, three = home.file("two.onnx", passed(TWO)), home.file("three.onnx", passed(THREE))
    _must(home.models("rollback"), 2, "no model before")
    _must(home.models("compare"), 2, "no shadow has judged parts of line el")
    _must(home.models("shadow"), 2, "expected either MODEL.onnx or --none")
    _must(home.models("activate", home.file("bad.onnx", TWO[:200])), 2, "no ONNX model")
    _must(home.models("activate", two, "--wait", "0.1"), 3, "The order stands")
    with home.worker():
        until(lambda: home.last() == "two", "the order that stood")
        _must(home.models("shadow", three, "--by", "eva", "--note", "try"), 0, "eva: shadow three")
        until(lambda: len(home.ledger.shadow_verdicts_after(0, 1000)) > 20, "the shadow's verdicts")
        home.label_all()
        _must(home.models("compare"), 0, "against two")
        listed = home.models("list").stdout
        assert "active   two" in listed and "shadow   three" in listed and "(try)  taken" in listed
        _must(home.models("shadow", "--none"), 0, "end the shadow")
        _must(
            home.models("activate", home.file("fixed.onnx", passed(_toy(FITS, batch=4)))), 2, "takes batches of 4 only"
        )
        _must(home.models("activate", home.file("dent.onnx", passed(_toy(SAYS)))), 2, "the model knows no such defect")
        _must(home.models("activate", three), 0, "active three")
        until(lambda: home.last() == "three", "the third")
        for name in ("one", "two", "three"):
            home.file(f"{name}.onnx", b"gone")
        _must(home.models("rollback"), 0, "active two")
        until(lambda: home.last() == "two", "the second again")
        text = httpx.get(f"http://{home.metrics}/metrics", timeout=10).text
        assert 'redrabbit_model_swaps_total{line="el",outcome="refused",role="active"} 2.0' in text
        assert 'redrabbit_model_swaps_total{line="el",outcome="taken",role="shadow"} 1.0' in text
        _must(home.models("rollback"), 0, "active one")
        until(lambda: home.last() == "one", "the first")
    assert home.must_be_whole()[-4:] == ["two", "three", "two", "one"]
    judged = home.ledger.shadow_verdicts_after(0, 100_000)
    ordinals = [home.ledger.parts([row.verdict.part_id])[row.verdict.part_id].ordinal for row in judged]
    assert len(ordinals) > 20 and ordinals == sorted(set(ordinals)), (
        "in the line's order, none twice; a busy machine drops some"
    )


def test_a_worker_that_is_killed_in_the_middle_of_a_swap(home: Home) -> None:
    """kill -9 between order and answer: the old model judges to the last part; the next worker carries the order out."""
    shelf = home.folder / "var/models"
    with home.worker() as process:
        file = shelf / f"{DIGEST['two']}.onnx"
        os.mkfifo(file)  # who reads it waits for ever: the worker is in the middle of loading
        home.ledger.order_model(ModelOrder("el", Role.ACTIVE, DIGEST["two"], "two", "eva"))
        until(lambda: home.ledger.model_orders("el")[0].outcome is Taken.TRYING, "the worker trying")
        before = home.parts()
        until(lambda: home.parts() > before + 30, "the line going on while the model is loading")
        process.kill()
        process.wait()
    assert home.must_be_whole() == ["one"]
    file.unlink()
    file.write_bytes(passed(TWO))
    with home.worker():
        until(lambda: home.ledger.model_orders("el")[0].outcome is Taken.TAKEN, "the order carried out")
        until(lambda: home.last() == "two", "the new model")
    assert home.must_be_whole() == ["one", "two"]
    before = home.parts()
    with home.worker() as process:
        pass
    rows = home.ledger.parts_after(0, 100_000)[before:]
    assert {DIGESTS[row.verdict.model] for row in rows} == {"two"}, "a taken order outlives the worker"


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(passed(TWO)[:-10])])
def test_a_model_whose_file_is_gone_after_a_restart(home: Home, damage: Callable[[Path], object]) -> None:
    """Missing or cut off: the model before it judges, and the history says why."""
    with home.worker():
        _must(home.models("activate", home.file("two.onnx", passed(TWO))), 0, "taken")
    assert "two" in (said := home.check()) and "by an order" in said
    damage(home.folder / f"var/models/{DIGEST['two']}.onnx")
    assert "one" in (said := home.check()) and "by an order" not in said
    with home.worker():
        until(lambda: home.last() == "one", "the model before")
        listed = home.models("list").stdout
    assert "active   one" in listed and " cannot: " in listed and DIGEST["two"] in listed


def test_a_model_that_has_not_passed_the_gate_does_not_judge(home: Home) -> None:
    """Not at the start, not by an order, not when a byte was changed since; --allow-ungated runs it, and the metric says so."""
    config = str(home.folder / "line.yaml")
    command = [sys.executable, "-m", "service.cli", "worker", "--config", config]
    for content, says in (
        (ONE, "one.onnx: has not passed the gate"),
        (passed(ONE, "refuse"), "one.onnx: the gate refused it: chance: Because."),
        (passed(ONE).replace(b"bright", b"Bright"), "one.onnx: was changed after the gate looked at it"),
    ):
        home.file("one.onnx", content)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        _must(done, 2, says)
        assert len(done.stderr.strip().splitlines()) == 1 and home.parts() == 0
    home.file("one.onnx", ONE)
    process = subprocess.Popen([*command, "--allow-ungated"], text=True, stderr=subprocess.PIPE)
    try:
        until(lambda: home.parts() > 5, "parts all the same")
        assert 'redrabbit_model_gated{line="el"} 0.0' in httpx.get(f"http://{home.metrics}/metrics").text
        _must(home.models("activate", home.file("two.onnx", passed(TWO))), 0, "taken")
        assert 'redrabbit_model_gated{line="el"} 1.0' in httpx.get(f"http://{home.metrics}/metrics").text
    finally:
        process.terminate()
        process.communicate(timeout=40)
