"""Following a ledger and reading it from scratch come to the same, and what makes a difference is named."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from service.ledger.store import open_ledger
from service.ports import LedgerReader
from service.records import Outcome, RecordedLabel
from service.recount import recount
from service.thresholds import parse
from tests.ledger.rows import Ticking, label, verdict
from tests.line import MODEL

RULES = parse("defaults: {bucket: {parts: 10, closes_after: 1s}, windows: [{parts: 50}]}")


class Forgetful:
    """Whoever reads its labels from the beginning a second time finds the first label gone."""

    def __init__(self, ledger: LedgerReader) -> None:
        self._ledger = ledger
        self._read = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def labels_after(self, sequence: int, limit: int) -> Sequence[RecordedLabel]:
        rows = self._ledger.labels_after(sequence, limit)
        if sequence == 0 and self._read:
            return rows[1:]
        self._read |= sequence > 0
        return rows


def test_followed_and_read_from_scratch(tmp_path: Path) -> None:
    """Labels that come before their part, and corrections, make no difference; a label that only one has seen does."""
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", Ticking())) as ledger:
        ledger.register(MODEL)
        for number in range(100):
            flagged = number % 3 == 0
            outcome = Outcome.REJECT if flagged else Outcome.PASS
            ledger.add_labels([label(f"p{number + 2 if number % 2 else number}", "crack", at=600.1 + number / 3)])
            ledger.record(
                [verdict(f"p{number}", outcome=outcome, band=None if flagged else 1, weight=1, predicted="crack")]
            )
            ledger.add_labels([label(f"p{number}", "good", at=800.7 + number / 7)])
        assert [*recount(ledger, RULES, 5000.0)] == []
        found = [*recount(cast(LedgerReader, Forgetful(ledger)), RULES, 5000.0)]
    assert found
    assert all(line.startswith("a") and ("when followed" in line or "more" in line) for line in found)
