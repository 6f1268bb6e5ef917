"""What people may ask of the search, checked, and the page of parts that it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.errors import InvalidInput
from service.ports import Place, Wanted
from service.records import Outcome, RecordedVerdict
from service.station.deps import Deps
from service.station.desk import EARLIEST, LATEST, PART_ID
from service.station.window import inside

A_PAGE: Final = 50

Word = Annotated[str, StringConstraints(strip_whitespace=True, max_length=128)]


class Asked(BaseModel):
    """The form, as it was filled in. since, until: UTC. window, actual, predicted: a cell of the confusion table.

    before: where the page before this one ended.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    line: Word = ""
    prefix: Word = Field("", alias="id")
    since: Word = ""
    until: Word = ""
    lot: Word = ""
    camera: Word = ""
    outcome: Word = ""
    label: Word = ""
    window: Word = ""
    actual: Word = ""
    predicted: Word = ""
    before: Word = ""

    def link(self, **changes: str) -> str:
        """The query of the same search, changed."""
        fields = self.model_dump(by_alias=True) | changes
        return urlencode({name: value for name, value in fields.items() if value})


@dataclass(frozen=True, slots=True)
class Found:
    """next: the query of the page after this, "" where there is none. fault: why nothing could be looked for."""

    rows: Sequence[RecordedVerdict] = ()
    next: str = ""
    fault: str = ""


def look(deps: Deps, asked: Asked) -> Found:
    """One page of what is asked for."""
    try:
        before = _place(asked.before)
        rows = _in_window(deps, asked, before) if asked.window else deps.ledger.find(_wanted(asked), A_PAGE + 1, before)
    except InvalidInput as error:
        return Found(fault=str(error))
    shown, last = rows[:A_PAGE], rows[:A_PAGE][-1:]
    more = len(rows) > A_PAGE
    following = asked.link(before=f"{last[0].verdict.captured_at!r}~{last[0].sequence}") if more else ""
    return Found(shown, following)


def _in_window(deps: Deps, asked: Asked, before: Place | None) -> list[RecordedVerdict]:
    """The parts of a cell: what the table has counted, and nothing else."""
    found = inside(deps, asked.line, asked.window)
    if found is None:
        raise InvalidInput(f"window {asked.window!r}: there is none of that name; expected one that /confusion offers")
    rows = [
        one.part
        for one in found
        if asked.actual in ("", one.actual) and asked.predicted in ("", one.part.verdict.predicted) and one.weight
    ]
    rows.sort(key=_when, reverse=True)
    return [row for row in rows if before is None or _when(row) < before][: A_PAGE + 1]


def _when(row: RecordedVerdict) -> Place:
    return row.verdict.captured_at, row.sequence


def _wanted(asked: Asked) -> Wanted:
    """Raises InvalidInput."""
    if asked.prefix and not PART_ID.fullmatch(asked.prefix):
        raise InvalidInput("id: expected the beginning of a part id: letters, digits and . _ ~ : @ -")
    if asked.outcome and asked.outcome not in set(Outcome):
        raise InvalidInput(f"outcome {asked.outcome!r}: expected one of {', '.join(Outcome)}")
    return Wanted(
        line=asked.line,
        prefix=asked.prefix,
        since=_moment("from", asked.since),
        until=_moment("until", asked.until),
        lot=asked.lot,
        camera=asked.camera,
        outcome=Outcome(asked.outcome) if asked.outcome else None,
        label=asked.label,
    )


def _moment(name: str, text: str) -> float | None:
    """Seconds of what an input of a date and a time says, read as UTC unless it names another zone. Raises InvalidInput."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{name} {text!r}: expected a date and a time, such as 2026-01-31T14:00") from error
    if not EARLIEST <= at < LATEST:
        raise InvalidInput(f"{name} {text!r}: expected a time after the year 2000")
    return at


def _place(text: str) -> Place | None:
    if not text:
        return None
    at, _, sequence = text.partition("~")
    try:
        return float(at), int(sequence[:18])
    except ValueError as error:
        raise InvalidInput("before: expected what the link to the next page says") from error
