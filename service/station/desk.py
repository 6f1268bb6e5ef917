"""Where labels are checked before the ledger gets them: one set of rules for HTTP and CSV."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.ports import Clock, LabelLedger, LabelReceipt, LedgerReader
from service.records import UNSURE, Label
from service.station.access import Caller
from service.station.meter import StationMeter, Why

PART_ID: Final = re.compile(r"[A-Za-z0-9](?!.*\.\.)[A-Za-z0-9._~:@-]{0,127}")
INSPECTOR: Final = re.compile(r"[^\W_][\w .@-]{0,62}")
EARLIEST: Final = 946_684_800.0  # 2000-01-01: before it somebody mistook the unit
LATEST: Final = 1e11
"""The year 5138: beyond it somebody brought milliseconds, or a number that is none."""
AHEAD: Final = 60.0
"""Seconds that a clock beside the line may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One label as somebody brings it. labelled_at: seconds UTC, or ISO 8601 with its zone, None for now."""

    part_id: object
    label: object
    inspector: object = None
    labelled_at: object = None


class _Refusal(Exception):
    """Why one label is not taken, and of which line it is, "" where that is not known."""

    def __init__(self, why: Why, text: str, line: str = "") -> None:
        super().__init__(text)
        self.why = why
        self.line = line


class Desk:
    """Takes labels in. What is wrong with one stops no other."""

    def __init__(self, ledger: LedgerReader, labels: LabelLedger, clock: Clock, meter: StationMeter) -> None:
        self._ledger = ledger
        self._labels = labels
        self._clock = clock
        self._meter = meter

    def take(self, claims: Sequence[Claim], caller: Caller) -> list[LabelReceipt]:
        """A receipt for each claim, in order; the accepted ones are durable. Raises LedgerUnavailable: then none of them is."""
        part_ids = [
            claim.part_id for claim in claims if isinstance(claim.part_id, str) and PART_ID.fullmatch(claim.part_id)
        ]
        lines = {part_id: row.verdict.line for part_id, row in self._ledger.parts(part_ids).items()}
        classes = self._classes(caller)
        checked = [self._checked(claim, caller, lines, classes) for claim in claims]
        accepted = [label for label in checked if isinstance(label, Label)]
        receipts = iter(self._labels.add_labels(accepted, caller.name) if accepted else ())
        return [next(receipts) if isinstance(one, Label) else one for one in checked]

    def _classes(self, caller: Caller) -> dict[str, frozenset[str]]:
        """The words of each line that this caller may label for."""
        models, *_ = self._ledger.line_state()
        return {
            model.line: frozenset(model.classes) | {UNSURE}
            for model in models
            if model.role == "active" and caller.may_see(model.line)
        }

    def _checked(
        self, claim: Claim, caller: Caller, lines: Mapping[str, str], classes: Mapping[str, frozenset[str]]
    ) -> Label | LabelReceipt:
        try:
            return self._label(claim, caller, lines, classes)
        except _Refusal as refusal:
            self._meter.rejected(refusal.line, refusal.why)
            return LabelReceipt(
                ascii(claim.part_id)[1:-1][:128] if isinstance(claim.part_id, str) else "", "refused", str(refusal)
            )

    def _label(
        self, claim: Claim, caller: Caller, lines: Mapping[str, str], classes: Mapping[str, frozenset[str]]
    ) -> Label:
        part_id = claim.part_id
        if not isinstance(part_id, str) or not PART_ID.fullmatch(part_id):
            raise _Refusal(Why.BAD_PART_ID, "part_id: expected 1 to 128 letters, digits and . _ ~ : @ -, without ..")
        line = lines.get(part_id, "")
        if caller.lines and not line:
            raise _Refusal(
                Why.OTHER_LINE, "part_id: there is no such part yet, and this token is for certain lines only"
            )
        if not caller.may_see(line):
            raise _Refusal(Why.OTHER_LINE, "part_id: this part is of a line that is not yours", line)
        known = classes.get(line) if line else frozenset().union(*classes.values())
        if not known:
            raise _Refusal(Why.NO_MODEL, "no model has told its classes yet; start the worker first", line)
        if not isinstance(claim.label, str) or claim.label not in known:
            raise _Refusal(Why.UNKNOWN_CLASS, f"label: expected one of {', '.join(sorted(known))}", line)
        return Label(part_id, claim.label, self._inspector(claim, caller, line), self._time(claim, line))

    def _inspector(self, claim: Claim, caller: Caller, line: str) -> str:
        name = claim.inspector if claim.inspector not in (None, "") else caller.name
        if not isinstance(name, str) or not INSPECTOR.fullmatch(name):
            raise _Refusal(
                Why.BAD_INSPECTOR, "inspector: expected a name of up to 63 letters, digits, spaces and . @ -", line
            )
        if caller.own_name_only and name != caller.name:
            raise _Refusal(Why.OTHER_INSPECTOR, f"inspector: this token labels as {caller.name} only", line)
        return name

    def _time(self, claim: Claim, line: str) -> float:
        now = self._clock()
        at = now if claim.labelled_at in (None, "") else _seconds(claim.labelled_at)
        if at is None or not at >= EARLIEST:
            raise _Refusal(
                Why.BAD_TIME,
                "labelled_at: expected seconds UTC or ISO 8601 with its zone, such as 2026-01-31T14:00:00Z",
                line,
            )
        if at > now + AHEAD:
            raise _Refusal(Why.IN_FUTURE, f"labelled_at: lies {at - now:.0f} s in the future", line)
        return at


def valid_inspector(name: str) -> bool:
    """Whether labels may bear this name."""
    return INSPECTOR.fullmatch(name) is not None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < LATEST else None
    if not isinstance(value, str):
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None
