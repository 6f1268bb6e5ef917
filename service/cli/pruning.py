"""`ledger prune`: what is too old goes, when nothing in force changes by that."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from service.cli import building
from service.cli.people import by
from service.cli.running import DEFAULT, Config
from service.errors import InvalidInput
from service.ports import LedgerReader
from service.records import Deed, LineSnapshot
from service.thresholds import DUE_FOR, load, seconds

if TYPE_CHECKING:
    from service.ledger.pruning import Plan

YEAR = 365.0
"""Days."""

TRIES, STEP = 13, 30 * 86400.0
"""Where evidence of what would go still counts, in a page since then for instance, so many times so many seconds more are kept."""

COUNTED = (
    "parts",
    "labels",
    "corrections",
    "label_lag",
    "closed_buckets",
    "late_changes",
    "agreement",
    "comparisons",
    "terms",
    "models",
    "heartbeats",
)
"""Of a line's figures: what only grows by counting, and counts what is kept from then on."""


def prune(
    keep: Annotated[str, typer.Option(help="How long: such as 2y or 400d.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without, say what would be done.")] = False,
    config: Config = DEFAULT,
) -> None:
    """Remove parts, labels and pictures that are older, where no figure, page or study in force needs them.

    What would change a figure in force is not done; status 2 says which. Nothing brings it back: back up first.
    """
    from service.ledger import pruning
    from service.ledger.images import FolderImages
    from service.ledger.store import open_ledger
    from service.monitor import Monitor

    settings, now = building.settings(config), time.time()
    until, rules = now - _kept(keep), load(settings.thresholds)
    images = FolderImages(settings.images.folder, settings.images.ring)
    with closing(open_ledger(settings.ledger, time.time, read_only=not yes)) as ledger:
        with ledger.still() as (unmoved, connection):
            monitor = Monitor(unmoved, lambda: rules, _standing(now))
            before = monitor.snapshot().lines
            for back in range(TRIES):
                plan = pruning.plan(connection, until - back * STEP, monitor.needed, monitor.carry)
                left = cast(LedgerReader, pruning.Pruned(unmoved, plan))
                after = {} if plan.oldest is None else Monitor(left, lambda: rules, _standing(now)).snapshot().lines
                changed = [line for name in after for line in differences(before[name], after[name], name, plan)]
                if not changed:
                    break
            if plan.oldest is None:
                typer.echo(f"nothing to prune: no part from before {_date(until)} can go")
                raise typer.Exit
            if changed:
                raise InvalidInput(
                    f"prune --keep {keep}: this would change {changed[0]}{f' and {len(changed) - 1} more' * (len(changed) > 1)}; "
                    "expected a longer time"
                )
            pictures = {digest: size for digest in pruning.pictures(connection, plan) if (size := images.size(digest))}
            _say(plan, pictures)
        if not yes:
            typer.echo("nothing is done without --yes")
            return
        ledger.prune(plan, Deed(by(), "command line", "pruned the ledger", _about(plan, keep)))
        for digest in pictures:
            images.remove(digest)
    typer.echo("pruned")


def _standing(now: float) -> Callable[[], float]:
    return lambda: now


def _kept(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)y", text)
    try:
        wanted = float(match[1]) * YEAR * 86400 if match else seconds(text)
    except ValueError as error:
        raise InvalidInput(f"--keep {text}: {error}, or 2y") from error
    if wanted < DUE_FOR:
        raise InvalidInput(
            f"--keep {text}: expected {DUE_FOR / 86400:g}d at least: so long a part is due to be labelled"
        )
    return wanted


def differences(was: LineSnapshot, then: LineSnapshot, name: str, plan: Plan) -> Iterator[str]:
    """In what the figures in force, and the pages since, would not be the same."""
    from service.recount import differences as found

    one, other = (_in_force(line, plan.begins.lines[name].ordinal) for line in (was, then))
    yield from found(one, other, name, "now", "then")
    for before, after in zip(was.evidence, then.evidence, strict=False):
        if abs(before.evidence - after.evidence) > 1e-6 * before.limit or before.paged != after.paged:
            yield f"{name}.evidence of {before.defect} ({before.detector}): {before.evidence:g} now, {after.evidence:g} then"
        if abs(before.limit - after.limit) > 1e-6 * before.limit:
            yield f"{name}.limit of {before.defect} ({before.detector}): {before.limit:g} now, {after.limit:g} then"


def _in_force(line: LineSnapshot, first: int) -> dict[str, Any]:
    """Without what counts since the beginning; a page is told by its part, not by the number of its bucket."""
    figures = {field.name: getattr(line, field.name) for field in fields(line) if field.name not in COUNTED}
    pages = [
        replace(page, step=0, at_risk_from=max(first, page.at_risk_from), began_ordinal=max(first, page.began_ordinal))
        for page in line.pages
        if page.standing or page.ordinal > first
    ]
    evidence = [(one.defect, one.detector) for one in line.evidence]
    challenges = replace(line.challenges, caught=0, missed=0)
    return {**figures, "pages": pages, "evidence": evidence, "challenges": challenges}


def _say(plan: Plan, pictures: Mapping[str, int]) -> None:
    for table, count in plan.rows.items():
        typer.echo(f"{table:18} {count:>12,} rows, up to {plan.last[table]}")
    typer.echo(f"{'pictures':18} {len(pictures):>12,}, {sum(pictures.values()) / 1e6:,.1f} MB")
    typer.echo(f"the oldest part that stays was captured {_date(plan.oldest or 0.0)}")
    for line, ordinal in sorted(plan.ordinals.items()):
        typer.echo(
            f"line {line}: parts from ordinal {ordinal} on stay, figures begin with {plan.begins.lines[line].ordinal}"
        )
    typer.echo("every window, open page and evidence in force stays what it is")


def _about(plan: Plan, keep: str) -> str:
    rows = ", ".join(f"{count} {table}" for table, count in plan.rows.items() if count)
    return f"{rows} of more than {keep}; parts up to row {plan.last['parts']}"


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
