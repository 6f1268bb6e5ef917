"""`backtest`: recorded parts and labels under other rules, and what would have been paged."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import backtest_picture, pictures
from service.cli.model_orders import utc
from service.errors import InvalidInput
from service.records import ALL, Estimate, ModelInForce, Page, Role
from service.thresholds import load, seconds

if TYPE_CHECKING:
    from service.backtest.retold import Judge
    from service.backtest.run import Found, Result
    from service.ledger.store import SqlLedger
    from service.quality.tradeoff import Outlook

WHAT_IFS = "threshold=DEFECT:VALUE, budget=SHARE, model=DIGEST"
SHOWN = (0.1, 0.1995, 0.3548, 0.5012, 0.7079, 0.8913, 1.0, 1.122, 1.4125, 1.9953, 3.9811)
"""Of the factors that JSON and picture have."""


def register(app: typer.Typer) -> None:
    app.command()(backtest)


def backtest(
    ledger: Annotated[str, typer.Option(help="Its URL, as in line.yaml.")],
    thresholds: Annotated[Path, typer.Option(help="The thresholds.yaml to try.")],
    line: Annotated[str | None, typer.Option(help="Which line.", show_default="the only one")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Parts captured from this time on, ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="As known at this time, ISO 8601.")] = None,
    what_if: Annotated[list[str] | None, typer.Option(help=f"{WHAT_IFS}. May be given again.")] = None,
    fell: Annotated[
        int | None,
        typer.Option(help="Recall is known to have fallen with this part of the line, the first is 1.", min=1),
    ] = None,
    review_seconds: Annotated[float, typer.Option(help="Time a person needs for one part.", min=0.1)] = 6.0,
    shift: Annotated[str, typer.Option(help="How long a shift is.")] = "8h",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything there.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw it, as PNG (extra plan).")] = None,
) -> None:
    """Replay recorded parts and labels under other rules: what would have paged, when, and at what price.

    The code is that of the running line. Times without a zone are UTC.
    """
    from service.backtest.period import Period
    from service.backtest.retold import Retold
    from service.backtest.run import run
    from service.ledger.store import open_ledger

    rules, wished, effort = load(thresholds), _what_ifs(what_if or []), Effort(review_seconds, _shift(shift))
    begin, end = _moment("--from", since, -inf), _moment("--to", until, inf)
    if picture is not None:
        pictures.check(picture)
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise InvalidInput(f"--json {json_file}: the folder {json_file.absolute().parent} does not exist")
    with closing(open_ledger(ledger, time.time, read_only=True)) as opened:
        name = _line(opened, line)
        last, recorded_at = opened.newest()
        as_of = min(recorded_at, end)
        judge, model = _judge(opened, name, wished)
        with _bar(last) as seen:
            period = Period(opened, name, begin, as_of, seen)
            retold = Retold(period, judge, wished.budget or rules.line(name).audit.budget, model)
            result = run(period, retold, name, rules, as_of, None if fell is None else fell - 1)
    if json_file is not None:
        _write(json_file, _report(result, effort))
    if picture is not None:
        backtest_picture.draw(picture, result, effort)
    typer.echo("\n".join(_lines(result, effort, fell is not None)))


@dataclass(frozen=True, slots=True)
class Effort:
    """What looking costs. seconds: a person's, per part. shift: seconds."""

    seconds: float
    shift: float

    def minutes(self, result: Result, outlook: Outlook) -> float:
        """Of review in a shift, rejects and audits."""
        audited = result.audited * (1 - outlook.flagged)
        return self.per_shift(result, outlook.flagged + audited) * self.seconds / 60

    def per_shift(self, result: Result, share: float) -> float:
        """So many parts a shift are this share of all."""
        span = result.last - result.first
        return share * result.parts * self.shift / span if span > 0 else share * result.parts


@dataclass(slots=True)
class _Wished:
    thresholds: dict[str, float] = field(default_factory=dict)
    budget: float | None = None
    model: str = ""


def _what_ifs(words: Sequence[str]) -> _Wished:
    found = _Wished()
    for word in words:
        kind, _, value = word.partition("=")
        defect, _, number = value.rpartition(":")
        try:
            if kind == "threshold" and defect:
                found.thresholds[defect] = _ratio(number)
            elif kind == "budget":
                found.budget = _ratio(value)
            elif kind == "model" and len(value) >= 4:
                found.model = value
            else:
                raise ValueError(f"expected one of {WHAT_IFS}")
        except ValueError as error:
            raise InvalidInput(f"--what-if {word}: {error}") from error
    if found.thresholds and found.model:
        raise InvalidInput("--what-if: expected another model or other decision thresholds, not both")
    return found


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise ValueError(f"{text}: expected a ratio above 0 and up to 1")
    return value


def _shift(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise InvalidInput(f"--shift {text}: {error}") from error


def _moment(option: str, text: str | None, otherwise: float) -> float:
    if text is None:
        return otherwise
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{option} {text}: expected ISO 8601, such as 2026-11-23T06:00") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _line(ledger: SqlLedger, wanted: str | None) -> str:
    lines = ledger.lines()
    if not lines:
        raise InvalidInput("--ledger: there is no part in it")
    if wanted is None and len(lines) > 1:
        raise InvalidInput(f"--line: expected one of {', '.join(lines)}")
    if wanted is not None and wanted not in lines:
        raise InvalidInput(f"--line {wanted}: expected one of {', '.join(lines)}")
    return wanted or lines[0]


def _judge(ledger: SqlLedger, line: str, wished: _Wished) -> tuple[Judge | None, ModelInForce | None]:
    """Who judges in place of the model of record, and the model in force by that; None: nobody, nothing else."""
    from service.backtest.retold import by_shadow, by_thresholds

    history = ledger.model_history(line)
    if wished.thresholds:
        known = {defect for model in history for defect in model.decision_thresholds}
        if unknown := sorted(wished.thresholds.keys() - known):
            raise InvalidInput(f"--what-if threshold={unknown[0]}: expected one of {', '.join(sorted(known))}")
        return by_thresholds(history, wished.thresholds), None
    if wished.model:
        found = {model.digest: model for model in history if model.digest.startswith(wished.model)}
        if len(found) != 1:
            names = sorted({f"{model.digest[:12]} ({model.name})" for model in history if model.digest})
            raise InvalidInput(f"--what-if model={wished.model}: expected one of {', '.join(names)}")
        digest, model = found.popitem()
        return by_shadow(ledger.shadow_verdicts, digest), replace(model, role=Role.ACTIVE)
    return None, None


def _lines(result: Result, effort: Effort, known: bool) -> Iterator[str]:
    line = result.line
    yield (
        f"{line.line}: {result.parts:,} parts, {utc(result.first)} to {utc(result.last)}, {sum(line.labels.values()):,} labels"
    )
    changes = {name: count for name, count in asdict(result.changes).items() if count}
    if changes:
        yield "played otherwise: " + ", ".join(f"{count:,} {SAYS[name]}" for name, count in changes.items())
    yield ""
    yield from _pages(result, known)
    yield ""
    for row in line.quality:
        yield f"{row.defect:12} {row.window:14} recall {_estimate(row.recall):24} {row.state.value}{f': {row.reason}' if row.reason else ''}"
    yield ""
    yield from _table(result, effort)


SAYS = {
    "unseen": "parts left out, which the other model has not judged",
    "now_rejected": "rejected that had passed",
    "now_passed": "passed that had been rejected",
    "borrowed": "of them with the labels of an audited part of their score band, as nobody had looked at them",
    "not_drawn": "audits not drawn",
}


def _pages(result: Result, known: bool) -> Iterator[str]:
    if not result.pages:
        yield "no page"
        return
    since = "after the fall" if known else "after where its evidence begins"
    yield f"{'page at part':>12}  {'raised':20}  {'defect':12} {'by':10} {since:32} {'recall between':22} {'':6} ended"
    for found in result.pages:
        page = found.page
        delay = f"{found.delay:,} parts, {_time(found.delay_seconds)}"
        true = {True: "true", False: "FALSE", None: "open"}[found.true]
        yield (
            f"{page.ordinal:>12,}  {utc(page.raised_at):20}  {page.defect:12} {page.detector:10} {delay:32} "
            f"{_estimate(found.recall.recall):22} {true:6} {_ended(page)}"
        )
    false = sum(found.true is False for found in result.pages)
    yield f"{len(result.pages)} pages, {false} of them false"


def _table(result: Result, effort: Effort) -> Iterator[str]:
    yield (
        f"{'thresholds x':>12}{'rejected':>10}{'recall':>9}  {'limits':16}{'escapes/shift':>14}{'overkill/shift':>15}"
        f"{'review min/shift':>18}"
    )
    for one in result.outlooks[ALL]:
        if one.factor not in SHOWN:
            continue
        point = "-" if one.recall.point is None else f"{one.recall.point:.3f}"
        limits = f"[{one.recall.lower:.3f}, {one.recall.upper:.3f}]"
        yield (
            f"{one.factor:>12.2g}{one.flagged:>10.2%}{point:>9}  {limits:16}{_count(effort, result, one.escapes):>14}"
            f"{_count(effort, result, one.overkill):>15}{effort.minutes(result, one):>18,.0f}{'  as played' if one.factor == 1 else ''}"
        )


def _count(effort: Effort, result: Result, share: float | None) -> str:
    return "-" if share is None else f"{effort.per_shift(result, share):,.1f}"


def _estimate(recall: Estimate) -> str:
    point = "" if recall.point is None else f"{recall.point:.3f} "
    return f"{point}[{recall.lower:.3f}, {recall.upper:.3f}]"


def _time(seconds: float) -> str:
    hours = seconds / 3600
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if hours < 2 else f"{hours:.1f} h"


def _ended(page: Page) -> str:
    for word, at in (("taken back", page.taken_back_at), ("cleared", page.cleared_at)):
        if at is not None:
            return f"{word} {utc(at)}"
    return f"acknowledged {utc(page.acknowledged_at)}" if page.acknowledged_at is not None else "stands"


def _report(result: Result, effort: Effort) -> dict[str, Any]:
    """Ratios are shares of 1, times seconds UTC, parts count from 1."""
    return {
        "line": result.line.line,
        "parts": result.parts,
        "from": result.first,
        "to": result.last,
        "labels": sum(result.line.labels.values()),
        "changes": asdict(result.changes),
        "pages": [_page(found) for found in result.pages],
        "quality": [
            {"defect": row.defect, "window": row.window, "state": row.state, **_limits(row.recall)}
            for row in result.line.quality
        ],
        "decision_thresholds": {
            row: [
                {
                    "factor": one.factor,
                    "rejected": one.flagged,
                    "recall": _limits(one.recall),
                    "escapes_per_shift": one.escapes and effort.per_shift(result, one.escapes),
                    "overkill_per_shift": one.overkill and effort.per_shift(result, one.overkill),
                    "review_minutes_per_shift": effort.minutes(result, one),
                }
                for one in outlooks
            ]
            for row, outlooks in result.outlooks.items()
        },
    }


def _page(found: Found) -> dict[str, Any]:
    page = found.page
    return {
        "defect": page.defect,
        "detector": page.detector,
        "part": page.ordinal,
        "raised_at": page.raised_at,
        "began_with_part": page.began_ordinal + 1,
        "delay_parts": found.delay,
        "delay_seconds": found.delay_seconds,
        "recall_between": _limits(found.recall.recall),
        "true": found.true,
        "taken_back_at": page.taken_back_at,
        "cleared_at": page.cleared_at,
        "acknowledged_at": page.acknowledged_at,
    }


def _limits(recall: Estimate) -> dict[str, float | None]:
    return {"point": recall.point, "lower": recall.lower, "upper": recall.upper}


def _write(file: Path, report: Mapping[str, Any]) -> None:
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        unfinished.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise InvalidInput(f"--json {file}: cannot be written: {error.strerror}") from error


@contextmanager
def _bar(last: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("parts", total=last)
        yield lambda sequence: progress.update(task, completed=sequence)
