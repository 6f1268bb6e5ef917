"""`gate`: whether a model may judge parts, with a reason for every answer."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.training import DATA, GOOD
from service.errors import InvalidInput

if TYPE_CHECKING:
    from service.model.passport import Check

STATUS = {"pass": 0, "refuse": 1, "undecided": 3}


def register(app: typer.Typer) -> None:
    app.command()(gate)


def gate(
    model: Annotated[Path, typer.Argument(help="The ONNX file.")],
    data: Annotated[str, DATA],
    good: Annotated[str | None, GOOD] = None,
    training: Annotated[
        str | None, typer.Option(help="What the model was trained on, where DATA is something else.")
    ] = None,
    vouched: Annotated[
        str,
        typer.Option(help="Who vouches that the model has never seen DATA, where nobody knows what it was trained on."),
    ] = "",
    thresholds: Annotated[Path | None, typer.Option(help="thresholds.yaml with the limits, under gate.")] = None,
    line: Annotated[str, typer.Option(help="The line whose limits hold.")] = "",
    provider: Annotated[list[str] | None, typer.Option(help="What runs the model, as in line.yaml.")] = None,
    out: Annotated[Path | None, typer.Option("--json", help="Write the verdict for machines there.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report with pictures there, HTML.")] = None,
) -> None:
    """Judge a model on pictures it has not seen, and write the verdict into it. Status: 0 pass, 1 refuse, 3 undecided."""
    from service.gate import gate as judging
    from service.gate.case import Case
    from service.gate.report import html
    from service.model.data import load
    from service.model.detector import CPU, OnnxDetector
    from service.model.passport import overall
    from service.thresholds import load as load_thresholds
    from service.thresholds import parse

    if not model.is_file():
        raise InvalidInput(f"{model}: there is no such file; expected a model")
    rule = (load_thresholds(thresholds) if thresholds else parse("{}")).line(line).gate
    loaded = load(data, good)
    found: list[Check] = []
    try:
        detector = OnnxDetector(model, tuple(provider or (CPU,)))
    except InvalidInput as error:
        found.append(judging.unusable(model, error))
        _say(found[-1])
    else:
        case = Case(detector, loaded, rule, load(training, good) if training else None, vouched)
        for check in judging.checks(case):
            found.append(check)
            _say(check)
        passport = judging.stamp(model, loaded.digest, time.time(), found)
        if report is not None:
            _write(report, html(model, case, passport))
    verdict = overall(found)
    if out is not None:
        _write(
            out, json.dumps({"verdict": verdict, "checks": [check.model_dump() for check in found]}, indent=1) + "\n"
        )
    words = {"pass": "may judge parts", "refuse": "must not judge parts", "undecided": "not decided"}
    typer.echo(f"{verdict}: {model} {words[verdict]}")
    raise typer.Exit(STATUS[verdict])


def _say(check: Check) -> None:
    typer.echo(f"{check.verdict:<9}  {check.name:<22}  {check.why}")


def _write(file: Path, text: str) -> None:
    unfinished = file.with_name(f".{file.name}.new")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be written: {error.strerror}") from error
