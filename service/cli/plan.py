"""`plan`: before a line is set up, what its audit will be able to say and how soon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import building, pictures, plan_picture
from service.errors import InvalidInput
from service.thresholds import LineThresholds, load, parse, seconds

if TYPE_CHECKING:
    from service.quality.plan import Delay, Need, Plant, Proof

BUDGETS = (0.005, 0.01, 0.02, 0.05, 0.10, 0.20)
"""The table's and the picture's; the line's own comes in addition."""

WEEK = 7.0
FROM_FILE = "what thresholds.yaml says"


def register(app: typer.Typer) -> None:
    app.command()(plan)


def plan(
    prevalence: Annotated[float, typer.Option(help="Share of parts that are truly defective.")],
    parts_per_day: Annotated[float, typer.Option(help="Parts inspected a day.")],
    recall: Annotated[float, typer.Option(help="What the line is believed to catch.")] = 0.95,
    fallen: Annotated[float, typer.Option(help="Recall after the fall that somebody is to be paged for.")] = 0.60,
    threshold: Annotated[
        float | None, typer.Option(help="The recall to prove, and to page below.", show_default=FROM_FILE)
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Share of passed parts to audit.", show_default=FROM_FILE)
    ] = None,
    false_page_every: Annotated[
        str | None, typer.Option(help="The wished time between false pages: 90d.", show_default=FROM_FILE)
    ] = None,
    bucket_parts: Annotated[
        int | None, typer.Option(help="Parts that are taken together.", show_default=FROM_FILE)
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="line.yaml: its line, its thresholds.", show_default="none")
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="thresholds.yaml.", show_default="the built-in defaults")
    ] = None,
    line: Annotated[str | None, typer.Option(help="A line of thresholds.yaml.", show_default="its defaults")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw it to this PNG file. Needs the extra `plan`.", show_default="none")
    ] = None,
) -> None:
    """Say how long until recall is proven and how soon a fall is paged, for a range of audit budgets."""
    from service.quality.plan import Plant, budget_for

    rules = _rules(config, thresholds, line)
    only = next(iter(rules.defects.values())) if len(rules.defects) == 1 else rules
    page = only.recall.page if threshold is None else threshold
    if page is None:
        raise InvalidInput("thresholds.yaml sets no recall.page for this line: give --threshold")
    own = rules.audit.budget if budget is None else budget
    plant = Plant(
        prevalence=prevalence,
        recall=recall,
        parts_per_day=parts_per_day,
        bucket_parts=rules.bucket.parts if bucket_parts is None else bucket_parts,
        threshold=page,
        false_page_every=rules.false_page_every if false_page_every is None else _seconds(false_page_every),
        defects=max(1, len(rules.defects)),
    )
    if picture is not None:
        pictures.check(picture)
    rows = [_row(plant, share, fallen) for share in sorted({*BUDGETS, own})]
    mine = next(row for row in rows if row.budget == own)
    text = [*_paragraph(plant, mine, fallen, budget_for(plant, WEEK), rules), "", *_table(rows, own, fallen)]
    if picture is not None:
        plan_picture.draw(picture, plant, rows, own, fallen)
    typer.echo("\n".join(text))


@dataclass(frozen=True, slots=True)
class Row:
    """What one budget gives. proof: the careful one, as if all misses scored like good parts."""

    budget: float
    audits_per_day: float
    proof: Proof
    paged_unseen: Delay
    paged_near: Delay


def _row(plant: Plant, budget: float, fallen: float) -> Row:
    from service.quality.plan import NEAR, UNSEEN, audits_per_part, to_page, to_prove

    return Row(
        budget,
        audits_per_part(plant, budget) * plant.parts_per_day,
        to_prove(plant, budget, UNSEEN),
        to_page(plant, budget, fallen, UNSEEN),
        to_page(plant, budget, fallen, NEAR),
    )


def _rules(config: Path | None, thresholds: Path | None, line: str | None) -> LineThresholds:
    name = line
    if config is not None:
        settings = building.settings(config)
        thresholds, name = thresholds or settings.thresholds, line or settings.line
    found = parse("{}") if thresholds is None else load(thresholds)
    if line is not None and line not in found.lines:
        raise InvalidInput(f"--line {line}: expected one of {thresholds or '--thresholds'}: {', '.join(found.lines)}")
    return found.line(name or "")


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise InvalidInput(f"--false-page-every {text}: {error}") from error


def _paragraph(plant: Plant, row: Row, fallen: float, week: float | None, rules: LineThresholds) -> Iterator[str]:
    """Sentences for whoever decides about the budget."""
    yield (
        f"Of {plant.parts_per_day:,.0f} parts a day, {_percent(plant.prevalence)} of them defective, an audit of "
        f"{_percent(row.budget)} of the passed ones looks at {_number(row.audits_per_day)}."
    )
    median, late = row.proof.median, row.proof.p90
    if median is None:
        yield f"Recall of at least {_percent(plant.threshold)} is not proven: {row.proof.reason}."
    else:
        nine = f"within {_days(late.days)} days" if late else "only after more than a year"
        yield (
            f"Recall of at least {_percent(plant.threshold)} is proven after about {_days(median.days)} days "
            f"({_number(median.parts)} parts, {_number(median.hits)} caught defects) if the line truly catches "
            f"{_percent(plant.recall)}; on nine lines in ten {nine}."
        )
        windows = [window.parts or (window.hours or 0) / 24 * plant.parts_per_day for window in rules.windows]
        if max(windows) < median.parts:
            names = ", ".join(window.name for window in rules.windows)
            hours = ceil(24 * (late or median).days)
            yield f"That takes a window which holds so many parts; yours ({names}) do not: add {{hours: {hours}}} to windows."
    if row.paged_near.watched_days < inf:
        yield (
            f"The page for a fall to {_percent(fallen)} comes {_after(row.paged_near)} when what is missed lies near the "
            f"threshold, and {_after(row.paged_unseen)} when it scores like good parts, as a new kind of defect does."
        )
    else:
        fall = f"from {_percent(plant.recall)} to {_percent(fallen)}"
        yield f"A change {fall} is no fall below {_percent(plant.threshold)}: nobody is paged."
    if week is not None:
        yield f"To prove it within a week, audit {_percent(week)} of the passed parts."
    elif median is not None or plant.recall > plant.threshold:
        yield "No budget proves it within a week."
    yield "The time that labels take comes on top."


def _table(rows: Sequence[Row], own: float, fallen: float) -> Iterator[str]:
    yield f"{'':19} |{'proven, median':^32}|{'9 in 10':^21}|{f'days to page a fall to {fallen:g}':^33}"
    yield (
        f"{'budget':9}{'audits/day':>10} |{'hits':>9}{'parts':>14}{'days':>8} |{'parts':>13}{'days':>7} |"
        f"{'near':>6}{'9 in 10':>9}{'unseen':>9}{'9 in 10':>9}"
    )
    for row in rows:
        share = _percent(row.budget) + (" *" if row.budget == own else "")
        (hits, parts, days), (_, late_parts, late_days) = _cells(row.proof.median), _cells(row.proof.p90)
        near, near_late = _waits(row.paged_near)
        unseen, unseen_late = _waits(row.paged_unseen)
        yield (
            f"{share:9}{_number(row.audits_per_day):>10} |{hits:>9}{parts:>14}{days:>8} |{late_parts:>13}{late_days:>7} |"
            f"{near:>6}{near_late:>9}{unseen:>9}{unseen_late:>9}"
        )
    yield "* yours   - not within a year"


def _cells(need: Need | None) -> tuple[str, str, str]:
    return ("-", "-", "-") if need is None else (_number(need.hits), _number(need.parts), _days(need.days))


def _waits(delay: Delay) -> list[str]:
    longer = "never" if delay.watched_days == inf else f">{_days(delay.watched_days)}"
    return [longer if days is None else _days(days) for days in (delay.median_days, delay.p90_days)]


def _number(count: float) -> str:
    """To three digits: more would be a promise."""
    return f"{count:.2g}" if count < 10 else f"{float(f'{count:.3g}'):,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _days(days: float) -> str:
    return "<0.01" if days < 0.01 else f"{days:.2g}" if days < 1 else f"{days:.1f}" if days < 10 else f"{days:.0f}"


def _after(delay: Delay) -> str:
    if delay.median_days is None:
        return f"after more than {_days(delay.watched_days)} days"
    return f"after about {_days(delay.median_days)} days"
