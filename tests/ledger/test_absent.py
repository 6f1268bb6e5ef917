"""Parts that nobody judged, over every store."""

from __future__ import annotations

from service.ledger.store import SqlLedger
from service.monitor import Monitor
from service.records import FailSafe
from service.thresholds import parse
from tests.ledger.conftest import Opener
from tests.ledger.rows import missing, verdict, verdicts


def test_it_comes_back_as_it_was(ledger: SqlLedger) -> None:
    """Every field, with the time of recording beside; a number that is not known, and one of 18 digits."""
    first, second = missing("n"), missing("m", trigger=None, outcome=FailSafe.PASS, reason="broken")
    third = missing("o", trigger=10**18 - 1)
    assert ledger.record_not_inspected([first, second]) == [first, second]
    assert ledger.record_not_inspected([third]) == [third]
    assert ledger.not_inspected_after(0, 2) == [(1, 1000.0, first), (2, 1000.0, second)]
    assert ledger.not_inspected_after(2, 9) == [(3, 1001.0, third)]
    assert ledger.record_not_inspected([]) == []


def test_it_is_recorded_once(ledger: SqlLedger) -> None:
    """The same id again, or twice at once, gives the record back; a part that has a verdict is left out."""
    ledger.record([verdict("judged")])
    first = missing("n")
    ledger.record_not_inspected([first])
    again, new, twice = missing("n", reason="broken"), missing("m"), missing("m", reason="broken")
    assert ledger.record_not_inspected([again, missing("judged"), new, twice]) == [first, new, new]
    assert [one for _, _, one in ledger.not_inspected_after(0, 9)] == [first, new]


def test_it_is_counted_and_is_in_no_window(ledger: SqlLedger, opened: Opener) -> None:
    """By line and outcome; who has followed it says what says who begins anew, and a line without a part is there."""
    rules = parse("defaults: {}")
    following = Monitor(ledger, lambda: rules, lambda: 5000.0)
    ledger.record(verdicts("p", 3))
    ledger.record_not_inspected([missing("n"), missing("m")])
    before = following.snapshot().lines["a"]
    ledger.record_not_inspected([missing("o", outcome=FailSafe.PASS), missing("q", "b", outcome=FailSafe.STOP)])
    for monitor in (following, Monitor(opened(read_only=True), lambda: rules, lambda: 5000.0)):
        lines = monitor.snapshot().lines
        assert lines["a"].not_inspected == {FailSafe.REJECT: 2, FailSafe.PASS: 1}
        assert lines["b"].not_inspected == {FailSafe.STOP: 1}
        assert sum(lines["a"].parts.values()) == lines["a"].open_parts == 3
        assert (lines["a"].quality, lines["a"].pending) == (before.quality, before.pending)
    assert lines["a"].last_not_inspected_at is not None
