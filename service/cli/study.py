"""`study`: how well do inspectors agree with themselves, with each other and with what the parts are?"""

from __future__ import annotations

import json
import time
from contextlib import closing
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import building
from service.cli.running import DEFAULT, Config
from service.errors import InvalidInput
from service.records import Estimate, Kappa, Kind
from service.thresholds import seconds

if TYPE_CHECKING:
    from service.ledger.store import SqlLedger
    from service.settings import Settings
    from service.station.planning import Planner
    from service.station.studies import Report

commands = typer.Typer(
    help="Studies of the inspectors, after the attribute agreement study of the AIAG MSA manual.", no_args_is_help=True
)

OWN_LINE = "that of line.yaml"
Name = Annotated[str, typer.Argument(help="Which study.")]
Line = Annotated[str | None, typer.Option(help="Whose parts.", show_default=OWN_LINE)]
Mix = Annotated[str, typer.Option(help="Defects : good parts : parts near the decision threshold.")]


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="study")


@commands.command("new")
def new(
    name: Annotated[str, typer.Option(help="What it is called; of its report's address too.")],
    inspectors: Annotated[str, typer.Option(help="Who takes part, such as eva,max,li.")],
    parts: Annotated[int, typer.Option(help="How many parts.")] = 30,
    trials: Annotated[int, typer.Option(help="How often everybody sees every part.")] = 3,
    mix: Mix = "1:1:1",
    share: Annotated[float, typer.Option(help="Share of what an inspector gets until he is through.")] = 0.5,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="CSV with part_id,label: the parts, and what they are.", show_default="labels and challenges"
        ),
    ] = None,
    line: Line = None,
    config: Config = DEFAULT,
) -> None:
    """Set up a study: its parts come to the inspectors by the ordinary review queue."""
    from service.station.csvfile import references
    from service.station.planning import Asked

    settings = building.settings(config)
    names = tuple(stripped for each in inspectors.split(",") if (stripped := each.strip()))
    asked = Asked(line or settings.line, name, parts, trials, names, share, "command line", _mix(mix))
    known = None if reference is None else references(reference)
    with closing(_ledger(settings)) as ledger:
        study, chosen = _planner(settings, ledger).study(asked, known)
    defects = sum(part.reference != study.good for part in chosen)
    typer.echo(
        f"{name}: {len(chosen)} parts, {defects} of them defective; {trials} trials of {', '.join(names)}, "
        f"{len(chosen) * trials * len(names)} answers in all; report at /studies/{name}"
    )


@commands.command("samples")
def samples(
    share: Annotated[float, typer.Option(help="Share of what an inspector gets.")] = 0.02,
    parts: Annotated[int, typer.Option(help="How many different parts at most.")] = 60,
    older_than: Annotated[str, typer.Option(help="Parts that nobody labelled for so long.")] = "30d",
    mix: Mix = "1:1:1",
    name: Annotated[str | None, typer.Option(help="What it is called.", show_default="samples-LINE-DATE")] = None,
    line: Line = None,
    config: Config = DEFAULT,
) -> None:
    """Hide known parts among the others, until the study is closed. Their answers never count as labels."""
    from service.station.planning import Asked

    settings = building.settings(config)
    where = line or settings.line
    called = name or f"samples-{where}-{time.strftime('%Y-%m-%d', time.gmtime())}"
    try:
        age = seconds(older_than)
    except ValueError as error:
        raise InvalidInput(f"--older-than {older_than}: {error}") from error
    asked = Asked(where, called, parts, 0, (), share, "command line", _mix(mix))
    with closing(_ledger(settings)) as ledger:
        study, chosen = _planner(settings, ledger).samples(asked, age)
    defects = sum(part.reference != study.good for part in chosen)
    typer.echo(
        f"{called}: {len(chosen)} known parts, {defects} of them defective; {100 * share:g} % of what is shown; report at /studies/{called}"
    )


@commands.command("list")
def list_studies(config: Config = DEFAULT) -> None:
    """Every study: its line, and how far it is."""
    from service.station.studies import report

    with closing(_ledger(building.settings(config), read_only=True)) as ledger:
        for study in ledger.studies():
            found = report(ledger, study)
            of = f" of {found.result.due}" if found.result.due else ""
            typer.echo(f"{study.name:32} {study.line:16} {found.state:10} {found.result.answered}{of} answers")


@commands.command("report")
def report(
    name: Name,
    out: Annotated[Path | None, typer.Option(help="Write it there: .html or .json.", show_default="the screen")] = None,
    config: Config = DEFAULT,
) -> None:
    """What a study says so far."""
    from service.station.studies import as_file, as_json, find, report

    if out is not None and out.suffix not in (".html", ".json"):
        raise InvalidInput(f"--out {out}: expected a name that ends in .html or .json")
    settings = building.settings(config)
    with closing(_ledger(settings, read_only=True)) as ledger:
        found = report(ledger, find(ledger, name))
        if out is None:
            _print(found)
            return
        text = (
            as_file(found, ledger, building.images(settings))
            if out.suffix == ".html"
            else json.dumps(as_json(found), indent=2) + "\n"
        )
    unfinished = out.with_suffix(f"{out.suffix}.unfinished")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(out)
    except OSError as error:
        raise InvalidInput(f"{out}: cannot be written: {error.strerror}") from error
    typer.echo(f"{out}: study {name}, {found.result.answered} answers")


@commands.command("close")
def close(name: Name, config: Config = DEFAULT) -> None:
    """End a study: nobody is shown its parts any more. What was answered stays."""
    with closing(_ledger(building.settings(config))) as ledger:
        ledger.close_study(name, "command line")
    typer.echo(f"{name}: closed")


def _ledger(settings: Settings, read_only: bool = False) -> SqlLedger:
    from service.ledger.store import open_ledger

    return open_ledger(settings.ledger, time.time, read_only=read_only)


def _planner(settings: Settings, ledger: SqlLedger) -> Planner:
    from service.station.planning import Planner

    return Planner(ledger, building.images(settings), time.time)


def _mix(text: str) -> dict[Kind, float]:
    try:
        defects, good, borderline = (float(share) for share in text.split(":"))
    except ValueError as error:
        raise InvalidInput(f"--mix {text}: expected DEFECTS:GOOD:BORDERLINE, such as 1:1:1") from error
    mix = {Kind.DEFECT: defects, Kind.GOOD: good, Kind.BORDERLINE: borderline}
    if not all(isfinite(share) for share in mix.values()):
        raise InvalidInput(f"--mix {text}: expected DEFECTS:GOOD:BORDERLINE, such as 1:1:1")
    return mix


def _print(found: Report) -> None:
    from service.quality.verdict import graded, kappa_in_words, summary

    said = found.result
    for sentence in summary(said):
        typer.echo(sentence)
    for one in said.appraisers:
        typer.echo(f"\n{one.inspector}: {one.answered}{f' of {one.due}' if one.due else ''} answers")
        typer.echo(f"  right every time    {_share(one.effectiveness)}  {graded('effectiveness', one.effectiveness)}")
        typer.echo(f"  misses              {_share(one.missed)}  {graded('missed', one.missed)}")
        typer.echo(f"  false alarms        {_share(one.false_alarm)}  {graded('false_alarm', one.false_alarm)}")
        typer.echo(f"  the same every time {_share(one.within)}")
        typer.echo(f"  kappa, reference    {_kappa(one.reference_kappa)}  {kappa_in_words(one.reference_kappa)}")
    typer.echo(f"\nall the same every time  {_share(said.between)}")
    typer.echo(f"all right every time     {_share(said.all_right)}")
    typer.echo(f"kappa of all             {_kappa(said.overall)}  {kappa_in_words(said.overall)}")
    for pair, kappa in said.pairs.items():
        typer.echo(f"kappa of {' and '.join(pair):15} {_kappa(kappa)}  {kappa_in_words(kappa)}")


def _share(found: Estimate) -> str:
    if found.point is None:
        return "-"
    return f"{found.point:.3f} [{found.lower:.3f}, {found.upper:.3f}]"


def _kappa(found: Kappa) -> str:
    return "-" if found.point is None else f"{found.point:.2f} [{found.lower:.2f}, {found.upper:.2f}]"
