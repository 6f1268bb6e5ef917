"""What a part really is, from what its inspectors said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from service.records import UNSURE, Outcome, RecordedLabel, Source

SOURCES = {Outcome.REJECT: Source.REVIEW, Outcome.AUDIT: Source.AUDIT, Outcome.PASS: Source.VOLUNTEERED}


def opinions(labels: Sequence[RecordedLabel]) -> dict[str, str]:
    """The newest label of each inspector, oldest first; answers of "unsure" settle nothing and are left out."""
    newest: dict[str, str] = {}
    for row in sorted(labels, key=lambda row: (row.label.labelled_at, row.sequence)):
        newest.pop(row.label.inspector, None)
        newest[row.label.inspector] = row.label.label
    return {inspector: label for inspector, label in newest.items() if label != UNSURE}


def settled(labels: Sequence[RecordedLabel], outcome: Outcome, good: str, second_look: bool) -> str | None:
    """The class that the part is taken for, or None while that is open.

    Most inspectors win; where they stand even the newest does. An audited part with `second_look` is stricter, because
    one slip there weighs as many parts as it stands for: a defect needs two who agree, and an even split a third look.
    """
    said = [*opinions(labels).values()]
    if not said:
        return None
    defects = [label for label in said if label != good]
    if outcome is Outcome.AUDIT and second_look and defects:
        if len(said) < 2 or 2 * len(defects) == len(said):
            return None
    elif 2 * len(defects) == len(said):
        return said[-1]
    if 2 * len(defects) < len(said):
        return good
    kinds = Counter(defects)
    return max(reversed(defects), key=lambda kind: kinds[kind])
