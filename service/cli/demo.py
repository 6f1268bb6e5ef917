"""`redrabbit demo`: the shipped model on held-out pictures of solar cells, with simulated inspectors.

In real time it runs the same three processes as a factory would, in a folder of its own; with --exit everything happens in
this process on a simulated clock.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Annotated, Any, Protocol

import typer
import yaml

from service.cli import building
from service.cli.datasets import GOOD, Options
from service.demo import floor
from service.demo.inspectors import SimulatedInspectors
from service.demo.live import Live
from service.demo.parts import Production
from service.demo.replay import STARTS_AT, Replay, SimulatedClock
from service.demo.report import summary
from service.drawing import DrawPolicies, Steward
from service.errors import InvalidInput, LedgerUnavailable
from service.inspection import Inspection, in_force
from service.monitor import Monitor
from service.ports import LedgerReader
from service.quality.windows import parts_to_prove
from service.records import ALL, Label, LineSnapshot, State
from service.settings import Settings
from service.supervisor import Supervisor
from service.thresholds import WatchedThresholds

LINE = "el-cells"
DEPLOY = Path(__file__).parents[2] / "deploy"
MODEL = DEPLOY / "models" / "el-cells.onnx"
THRESHOLDS = DEPLOY / "demo" / "thresholds.yaml"
LABEL_DELAY = 8.0  # seconds between capture and label, on the mean: hours in a factory
LOOK_EVERY = 0.5
DATASET, GIGE = "dataset", "gige"
NONE, OPCUA = "none", "opcua"
LOG = "demo.log"


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    parts: Annotated[
        int | None, typer.Option(help="End after so many parts.", show_default="without end", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same parts.")] = 1,
    prevalence: Annotated[float, typer.Option(help="Share of parts that are truly defective.")] = 0.05,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="KIND@PART: defocus, dim or shift from that part on. May be given again.", metavar="KIND@PART"
        ),
    ] = None,
    rate: Annotated[float, typer.Option(help="Parts a second on the clock of the line.")] = 20.0,
    report: Annotated[Path | None, typer.Option(help="Write a JSON report there.")] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="On a simulated clock, as fast as the machine can, then end. Needs --parts.")
    ] = False,
    home: Annotated[
        Path | None,
        typer.Option(help="Keep ledger and pictures there, and go on from there.", show_default="a temporary folder"),
    ] = None,
    camera: Annotated[
        str,
        typer.Option(
            help="dataset: pictures of solar cells. gige: the test pattern of a fake GigE Vision camera, over the real protocol.",
            metavar="dataset|gige",
        ),
    ] = DATASET,
    release: Annotated[
        str,
        typer.Option(help="opcua: verdicts go to a simulated PLC, over the real protocol.", metavar="none|opcua"),
    ] = NONE,
) -> None:
    """Show a line at work: real pictures, a real model, simulated inspectors, real alerts."""
    options = Options(prevalence, seed, rate, parts, tuple(fault or ()))
    _check_floor(camera, release, leave, options)
    for file in (MODEL, THRESHOLDS):
        if not file.is_file():
            raise InvalidInput(f"{file} is not there; the demo runs from a checkout of the repository")
    if report is not None and not report.absolute().parent.is_dir():
        raise InvalidInput(f"--report {report}: the folder {report.absolute().parent} does not exist")
    if not leave:
        found = _in_real_time(options, home, camera, release)
    elif parts is None:
        raise InvalidInput("--exit needs --parts: after how many parts to end")
    else:
        found = _replayed(options, parts, home)
    if found is not None:
        typer.echo("\n".join(summary(found)))
    if report is not None and found is not None:
        report.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _replayed(options: Options, parts: int, home: Path | None) -> dict[str, Any]:
    from service.ledger.store import open_ledger
    from service.model.detector import OnnxDetector

    thresholds = WatchedThresholds(THRESHOLDS)
    production = options.production()
    detector = OnnxDetector(MODEL, ("CPUExecutionProvider",), None)
    clock = SimulatedClock()
    with _home(home) as folder, closing(open_ledger(_new_ledger(folder), clock)) as ledger:
        ledger.register(in_force(LINE, detector.info, STARTS_AT))
        key = sha256(f"demo/{options.seed}".encode()).digest()  # from the seed: the same report every time
        replay = Replay(
            line=LINE,
            production=production,
            inspection=Inspection(detector, key),
            policies=DrawPolicies(LINE, ledger, thresholds, clock, detector.info),
            steward=Steward(ledger, clock),
            thresholds=thresholds,
            parts=ledger,
            lots=ledger,
            labels=ledger,
            monitor=Monitor(ledger, thresholds, clock),
            inspectors=SimulatedInspectors(production.actual, GOOD, options.seed, LABEL_DELAY),
            clock=clock,
            good=GOOD,
            rate=options.rate,
        )
        with _progress_line() as show:
            return replay.run(parts, lambda count, line, rate: show(_sentence(count, rate, line)))


def _new_ledger(home: Path) -> str:
    file = home / "var/redrabbit.db"
    if file.exists():
        raise InvalidInput(f"--home {home}: a demo lives there; expected an empty folder")
    file.parent.mkdir(exist_ok=True)
    return f"sqlite:///{file}"


def _check_floor(camera: str, release: str, leave: bool, options: Options) -> None:
    """Raises InvalidInput."""
    for name, given, there in (("camera", camera, (DATASET, GIGE)), ("release", release, (NONE, OPCUA))):
        if given not in there:
            raise InvalidInput(f"--{name} {given}: expected {' or '.join(there)}")
    if leave and (camera, release) != (DATASET, NONE):
        raise InvalidInput("--exit runs on a simulated clock; expected neither --camera nor --release")
    if camera == GIGE and options.faults:
        raise InvalidInput("--fault: the camera sends its test pattern; expected --camera dataset")


def _in_real_time(options: Options, home: Path | None, camera: str, release: str) -> dict[str, Any] | None:
    with ExitStack() as opened:
        folder = opened.enter_context(_home(home))
        url = opened.enter_context(floor.gige_camera(options.rate)) if camera == GIGE else options.url
        plc = floor.Plc() if release == OPCUA else None
        if plc is not None:
            opened.callback(plc.close)
            plc.start()
        config = _write_settings(folder, url, [] if plc is None else [plc.release(folder)])
        settings = building.settings(config)
        building.check_addresses(settings)
        follow = _unlabelled if camera == GIGE else partial(_labelled, options, options.production())
        log = folder / LOG
        with log.open("wb") as output, building.until_signalled() as stopping:
            supervisor = Supervisor(building.processes(config), output)
            supervisor.start()
            try:
                _say_where(settings, log, plc)
                found = _watch(settings, follow, options, supervisor, stopping, plc)
            finally:
                supervisor.stop()
        if plc is not None:
            typer.echo(f"the PLC was told {plc.told.total()} verdicts: {plc}")
        if isinstance(found, int):
            raise InvalidInput(_last_line(log))
        return found


class Follower(Protocol):
    """Follows the ledger of the running demo."""

    def step(self) -> LineSnapshot | None:
        """Takes in what is new; the line as it stands, None before its first part. Raises LedgerUnavailable, ConnectionError: later."""
        ...

    @property
    def parts(self) -> int: ...

    @property
    def rate(self) -> float: ...

    @property
    def done(self) -> bool: ...

    def report(self, line: LineSnapshot) -> dict[str, Any] | None: ...


Follow = Callable[["_Station", Settings, LedgerReader, Monitor], Follower]


def _labelled(
    options: Options,
    production: Production,
    station: _Station,
    settings: Settings,
    reader: LedgerReader,
    monitor: Monitor,
) -> Live:
    """With simulated inspectors, who know the truth."""
    inspectors = SimulatedInspectors(production.actual, GOOD, options.seed, LABEL_DELAY)
    return Live(settings.line, production, reader, monitor, inspectors, station.send, time.time, GOOD)


def _unlabelled(_: _Station, settings: Settings, reader: LedgerReader, monitor: Monitor) -> floor.Unlabelled:
    return floor.Unlabelled(settings.line, reader, monitor, time.time)


def _watch(
    settings: Settings,
    follow: Follow,
    options: Options,
    supervisor: Supervisor,
    stopping: Event,
    plc: floor.Plc | None,
) -> dict[str, Any] | int | None:
    """Until the demo is ended, or until its parts are through and labelled when a number was asked for.

    Returns the report, None when there is nothing to report, or the status of a process that could not start.
    """
    reader = building.late_ledger(settings.ledger)
    with closing(_Station(settings.station.listen)) as station:
        live = follow(station, settings, reader, Monitor(reader, WatchedThresholds(settings.thresholds), time.time))
        line = None
        with _progress_line() as show:
            while not stopping.wait(LOOK_EVERY):
                status = supervisor.check()
                if status:
                    return status
                try:
                    line = live.step() or line
                except (LedgerUnavailable, ConnectionError):
                    continue
                if line is not None:
                    controls = "" if plc is None else f"; PLC: {plc}"
                    show(f"{_sentence(live.parts, live.rate, line)}{controls}")
                if options.parts is not None and live.parts >= options.parts and live.done:
                    break
        return live.report(line) if line is not None and live.parts else None


class _Station:
    """The station's API as the simulated inspectors use it."""

    def __init__(self, address: str) -> None:
        import httpx

        self._client = httpx.Client(base_url=f"http://{address}", timeout=10.0)
        self._fault = httpx.HTTPError

    def send(self, labels: Sequence[Label]) -> None:
        """Returns once they are durable; raises ConnectionError while the station is not there."""
        rows = [
            {"part_id": row.part_id, "label": row.label, "inspector": row.inspector, "labelled_at": row.labelled_at}
            for row in labels
        ]
        try:
            self._client.post("/v1/labels", json=rows).raise_for_status()
        except self._fault as error:
            raise ConnectionError(str(error)) from error

    def close(self) -> None:
        self._client.close()


@contextmanager
def _home(home: Path | None) -> Iterator[Path]:
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
        yield home.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="redrabbit-demo-") as folder:
        yield Path(folder)


def _write_settings(folder: Path, camera: str, releases: Sequence[str]) -> Path:
    """line.yaml of the demo. Raises InvalidInput where a demo with other options has left its ledger."""
    config = folder / "line.yaml"
    text = yaml.safe_dump(
        {
            "line": LINE,
            "model": str(MODEL),
            "allow_ungated": True,
            "thresholds": str(THRESHOLDS),
            "cameras": {"demo": camera},
            **({"releases": [*releases]} if releases else {}),
            "station": {"open_on_loopback": True},
        },
        sort_keys=False,
    )
    if config.exists() and config.read_text(encoding="utf-8") != text:
        raise InvalidInput(f"--home {folder}: a demo with other options lives there; expected an empty folder")
    config.write_text(text, encoding="utf-8")
    return config


def _last_line(log: Path) -> str:
    """What the process that could not start had to say."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("redrabbit: ") if lines else f"{log}: a process ended without a word"


def _say_where(settings: Settings, log: Path, plc: floor.Plc | None) -> None:
    typer.echo(f"station   http://{settings.station.listen}/          label parts at /review")
    typer.echo(
        f"metrics   http://{settings.metrics.exporter}/metrics   the worker's at http://{settings.metrics.worker}/metrics"
    )
    if plc is not None:
        typer.echo(f"PLC       {plc.address}")
    typer.echo(f"log       {log}")
    typer.echo("Ctrl-C ends it.")


def _sentence(parts: int, rate: float, line: LineSnapshot) -> str:
    """One line on how the line does: what is known over the first window, or why nothing is."""
    row = next((row for row in line.quality if row.defect == ALL), None)
    start = f"{parts} parts, {rate:.0f}/s"
    if row is None:
        return start
    page = f", PAGE, {max(line.at_risk.values())} passed parts at risk" if line.at_risk else ""
    if not row.recall.estimable:
        return f"{start}, recall unknown: {row.reason}{page}"
    needed = parts_to_prove(row) if row.state is State.UNDECIDED else None
    more = f" (a window of {needed} parts would prove it)" if needed else ""
    point = "" if row.recall.point is None else f"{row.recall.point:.3f} "
    return f"{start}, recall {point}[{row.recall.lower:.3f}, {row.recall.upper:.3f}] {row.state.value}{more}{page}"


@contextmanager
def _progress_line() -> Iterator[Any]:
    """One line that is written over on a terminal; in a log, a line now and then."""
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("starting") as status:
            yield status.update
        return
    last = [0.0]

    def show(text: str) -> None:
        if time.monotonic() - last[0] > 10.0:
            last[0] = time.monotonic()
            typer.echo(text, err=True)

    yield show
