"""Recall over lines, machines and plants is made of counts that are added, and is what one machine would say that saw everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Thread

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pytest import approx
from typer.testing import CliRunner

from exporters.serving import MetricsServer, serve_metrics, snapshot_metrics
from exporters.totals import PrometheusUnavailable, registry, totals
from service.cli import app
from service.drawing import DrawPolicies
from service.inspection import Inspection, in_force
from service.judges import Judges
from service.ledger.images import FolderImages
from service.ledger.store import open_ledger
from service.monitor import Monitor
from service.records import ALL, Label, WindowQuality
from service.thresholds import WatchedThresholds
from service.worker import Line, Worker
from tests.line import INFO, Brightness, Counts, Playlist, picture
from tests.servers import Stack, stack, until

RECORDED = 2000.0
MUCH_LATER = RECORDED + 3600
THRESHOLDS = """
defaults:
  recall: {page: 0.5, warn: 0.6}
  windows: [{hours: 24}]
  bucket: {parts: 50, closes_after: 10m}
  labels: {second_look: false}
  audit: {budget: 0.3}
"""
LINES = {"a": range(100), "b": range(100, 250), "c": range(250, 500)}
"""Three machines, one line each, and the numbers of its parts."""

WHOLE = "whole"


def _brightness(number: int) -> float:
    """Every fifth part is flagged; of the others some score nearly so, and are drawn more often."""
    return 0.9 if number % 5 == 0 else 0.45 if number % 5 == 1 else 0.1


def _defective(number: int) -> bool:
    """Line a lets more of them pass than the others do."""
    return {0: number % 3 != 0, 1: number < 100 or number % 2 == 0}.get(number % 5, number % 40 == 2)


class Machine:
    """Workers that have inspected these parts, their ledger with every label that is due, and its exporter."""

    def __init__(self, folder: Path, line: str, numbers: Sequence[int], opened: ExitStack, workers: int = 1) -> None:
        folder.mkdir()
        (folder / "thresholds.yaml").write_text(THRESHOLDS)
        self._thresholds = WatchedThresholds(folder / "thresholds.yaml")
        self._line = line
        self._ledger = opened.enter_context(closing(open_ledger(f"sqlite:///{folder}/ledger.db", lambda: RECORDED)))
        self._ledger.register(in_force(line, INFO, 0.0))
        running = [Thread(target=self._worker(numbers[first::workers], folder).run) for first in range(workers)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        self._label()
        self._monitor = Monitor(self._ledger, self._thresholds, lambda: MUCH_LATER)

    def _worker(self, numbers: Sequence[int], folder: Path) -> Worker:
        camera = Playlist([(f"p{n}", picture(_brightness(n))) for n in numbers], line=self._line)
        line = Line(
            name=self._line,
            cameras=[camera],
            judges=Judges(Inspection(Brightness(), b"k" * 32)),
            policies=DrawPolicies(self._line, self._ledger, self._thresholds, lambda: RECORDED, INFO),
            thresholds=self._thresholds,
            ledger=self._ledger,
            images=FolderImages(folder / "images", 10**6),
            releases=[],
            meter=Counts(),
            clock=lambda: RECORDED,
        )
        return Worker(line, "w")

    def _label(self) -> None:
        due = [part.verdict.part_id for part in self._ledger.unlabelled(self._line, 1000)]
        said = [Label(one, "crack" if _defective(int(one[1:])) else "good", "eva", RECORDED) for one in due]
        self._ledger.add_labels(said)

    def serve(self) -> MetricsServer:
        return serve_metrics("127.0.0.1:0", snapshot_metrics(self._monitor.snapshot, self._thresholds))

    def quality(self, defect: str) -> WindowQuality:
        rows = self._monitor.snapshot().lines[self._line].quality
        return next(row for row in rows if row.defect == defect)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    """Those of the three lines, and one that saw every part."""
    folder = tmp_path_factory.mktemp("machines")
    numbers = {**LINES, WHOLE: range(500)}
    with ExitStack() as opened:
        yield {line: Machine(folder / line, line, numbers[line], opened) for line in numbers}


@pytest.fixture(scope="module")
def over_all(machines: dict[str, Machine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Prometheus that watches line c in the plant south, and asks that of the plant north, which watches a and b."""
    folder = tmp_path_factory.mktemp("plants")
    with ExitStack() as opened:
        at = {line: f"127.0.0.1:{opened.enter_context(closing(machines[line].serve())).port}" for line in LINES}
        north = opened.enter_context(stack(folder / "north", {"redrabbit-exporter": [at["a"], at["b"]]}, plant="north"))
        south = opened.enter_context(
            stack(
                folder / "south",
                {"redrabbit-exporter": [at["c"]]},
                plants={at["c"]: "south"},
                federated=[north.prometheus.removeprefix("http://")],
            )
        )
        until(lambda: _known(south) == _there(machines), "the sums of both plants stand in one Prometheus")
        yield south


def _known(over: Stack) -> set[tuple[str, float, float]]:
    """(plant, audited misses, largest weight): the sums that are recorded last, so that all others are there too."""
    misses, largest = (
        {
            row["metric"].get("plant", ""): float(row["value"][1])
            for row in over.query(f'defect_window:redrabbit_{name}{{defect="{ALL}"}}')
        }
        for name in ("audited_misses:sum", "largest_weight:max")
    )
    return {(plant, misses[plant], weight) for plant, weight in largest.items() if plant in misses}


def _there(machines: dict[str, Machine]) -> set[tuple[str, float, float]]:
    """The same, as the machines of each plant have it."""
    plants = {"north": ("a", "b"), "south": ("c",)}
    found = {plant: [machines[line].quality(ALL).escapes for line in lines] for plant, lines in plants.items()}
    return {
        (plant, sum(one.audited for one in escapes if one), max(one.largest_weight for one in escapes if one))
        for plant, escapes in found.items()
    }


@pytest.mark.parametrize("defect", [ALL, "crack"])
def test_three_workers_of_one_line_are_one_worker(machines: dict[str, Machine], tmp_path: Path, defect: str) -> None:
    """Who judges a part, and in which order, changes neither the draw nor any figure of the window."""
    with ExitStack() as opened:
        three = Machine(tmp_path / "three", WHOLE, range(500), opened, workers=3)
        assert three.quality(defect) == machines[WHOLE].quality(defect)


@pytest.mark.parametrize("defect", [ALL, "crack"])
def test_three_workers_under_two_prometheus_are_one_machine(
    machines: dict[str, Machine], over_all: Stack, defect: str
) -> None:
    """Point and limits, to the last digit that Prometheus keeps."""
    whole = machines[WHOLE].quality(defect)
    assert whole.recall.point is not None and 0 < whole.recall.lower < whole.recall.point < whole.recall.upper < 1
    assert whole.escapes is not None and whole.escapes.squares > whole.escapes.weighted, "several weights"
    found = {total.labels: total.recall for total in totals(over_all.prometheus)}[defect, whole.window]
    assert (found.point, found.lower, found.upper) == approx(
        (whole.recall.point, whole.recall.lower, whole.recall.upper)
    )
    assert found.events == whole.recall.events


def test_a_ratio_of_the_whole_is_not_the_mean_of_the_ratios(machines: dict[str, Machine], over_all: Stack) -> None:
    """PromQL alone gives the point: sums first, then the ratio."""
    caught, escaped = (f"sum by (defect) (defect_window:redrabbit_{name}_parts:sum)" for name in ("caught", "escaped"))
    (row,) = [one for one in over_all.query(f"{caught} / ({caught} + {escaped})") if one["metric"]["defect"] == ALL]
    whole = machines[WHOLE].quality(ALL).recall.point
    each = [machines[line].quality(ALL).recall for line in LINES]
    assert float(row["value"][1]) == approx(whole)
    assert whole != approx(sum(one.numerator / one.denominator for one in each) / len(each), abs=0.005)


def test_plants_can_be_kept_apart(machines: dict[str, Machine], over_all: Stack) -> None:
    """South has one line, so that its total is that line."""
    found = {total.labels: total.recall for total in totals(over_all.prometheus, ["plant"])}
    south = machines["c"].quality(ALL).recall
    assert (found[ALL, "24h", "south"].lower, found[ALL, "24h", "south"].upper) == approx((south.lower, south.upper))
    assert {labels[2] for labels in found} == {"north", "south"}


def test_totals_are_served_as_metrics(over_all: Stack, machines: dict[str, Machine]) -> None:
    """For Grafana, beside the plants' own."""
    with closing(serve_metrics("127.0.0.1:0", registry(over_all.prometheus))) as server:
        text = httpx.get(f"http://127.0.0.1:{server.port}/metrics").text
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    (lower,) = [one for one in families["redrabbit_total_recall_lower_ratio"] if one.labels["defect"] == ALL]
    assert lower.value == approx(machines[WHOLE].quality(ALL).recall.lower)
    assert lower.labels == {"defect": ALL, "window": "24h"}


def test_the_command_prints_them(over_all: Stack, machines: dict[str, Machine]) -> None:
    """One row for each defect and window."""
    done = CliRunner().invoke(app, ["totals", over_all.prometheus, "--by", "plant"])
    recall = machines["c"].quality(ALL).recall
    (row,) = [line for line in done.output.splitlines() if line.split()[:3] == [ALL, "24h", "south"]]
    assert row.split()[3:] == [f"{recall.point:.4f}", f"{recall.lower:.4f}", "to", f"{recall.upper:.4f}"]


def test_a_prometheus_that_cannot_be_asked_is_named() -> None:
    """And takes no other series down: the scrape says that the collector failed."""
    nobody = "http://127.0.0.1:9"
    with pytest.raises(PrometheusUnavailable, match=nobody):
        totals(nobody)
    with closing(serve_metrics("127.0.0.1:0", registry(nobody))) as server:
        text = httpx.get(f"http://127.0.0.1:{server.port}/metrics").text
    assert 'redrabbit_collector_success{collector="snapshot"} 0.0' in text
    assert "redrabbit_total_recall" not in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["prometheus:9090"], "http://"),
        (["http://127.0.0.1:9", "--by", "plant)"], "--by plant)"),
        (["http://127.0.0.1:9", "--listen", "9110"], "HOST:PORT"),
        (["http://["], "http://["),
    ],
)
def test_bad_input_is_named(arguments: list[str], named: str) -> None:
    done = CliRunner().invoke(app, ["totals", *arguments])
    assert done.exit_code != 0
    assert named in str(done.exception)


def test_a_prometheus_without_the_rules_is_told_what_it_lacks(tmp_path: Path) -> None:
    """Rather than an empty table."""
    with stack(tmp_path, {}) as bare, pytest.raises(PrometheusUnavailable, match=r"recording\.yml"):
        totals(bare.prometheus)
