"""(f) What one label costs a monitor: for an open bucket, whatever the window and the history; and for one closed long ago."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from random import Random

from service.book import LineBook
from service.records import Label, Outcome, RecordedLabel, RecordedVerdict, Verdict
from service.thresholds import parse
from tests.bench.table import Row
from tests.line import LINE, MODEL

HISTORIES = ((10_000, 10_000), (100_000, 10_000), (1_000_000, 10_000), (1_000_000, 100_000))
"""Parts before, and parts in the window."""
LABELS = 1000
AGES = (100, 900)
"""Closed buckets since."""


def measure() -> Iterator[Row]:
    """Without the ledger's part, which `labels` measures."""
    first = 0.0
    for history, window in HISTORIES:
        book, parts = _followed(history, window)
        per_label = _label(book, [part for part in parts if part.verdict.outcome is Outcome.AUDIT][-LABELS:])
        first = first or per_label
        yield Row(
            f"(f) a label, {history:,} parts before it, window {window:,}",
            f"{per_label * 1e6:.0f} µs",
            f"{first * 1e6:.0f} µs after {HISTORIES[0][0]:,} parts",
            per_label / first,
        )
    for age in AGES:
        late = next(
            part for part in parts if part.ordinal >= history - age * 1000 and part.verdict.outcome is Outcome.AUDIT
        )
        started = time.perf_counter()
        _label(book, [late])
        book.snapshot(history + 2.0)
        corrected = time.perf_counter() - started
        started = time.perf_counter()
        book.snapshot(history + 2.0)
        looked = time.perf_counter() - started
        yield Row(
            f"(f) a late correction, {age} buckets since",
            f"{(corrected - looked) * 1e3:.1f} ms",
            f"{looked * 1e3:.1f} ms to look at the line",
            (corrected - looked) / looked,
        )


def _followed(history: int, window: int) -> tuple[LineBook, Sequence[RecordedVerdict]]:
    rule = parse(f"defaults: {{windows: [{{parts: {window}}}], bucket: {{parts: 1000, closes_after: 1ms}}}}").line(LINE)
    book, dice = LineBook(LINE, rule, MODEL), Random(1)
    parts = []
    for number in range(history):
        flagged = number % 50 == 0
        outcome = Outcome.REJECT if flagged else Outcome.AUDIT if dice.random() < 0.02 else Outcome.PASS
        band, weight = (None, 1) if flagged else (2, 50)
        verdict = Verdict(
            f"p{number}", LINE, "left", float(number), "m", "t", (0.5, 0.5), 0.5, "crack" if flagged else "good",
            outcome, band, weight, 1,
        )  # fmt: skip
        row = RecordedVerdict(number + 1, number, float(number), verdict)
        book.add_part(row, 0.02)
        if outcome is not Outcome.PASS:
            parts.append(row)
            if number < history - 100_000 or number < history // 2 or flagged:
                word = "crack" if flagged else "good"
                book.add_label(
                    row, [RecordedLabel(number, float(number), Label(f"p{number}", word, "ines", float(number)))]
                )
    return book, parts


def _label(book: LineBook, parts: Sequence[RecordedVerdict]) -> float:
    """Seconds that one label takes."""
    started = time.perf_counter()
    for at, part in enumerate(parts):
        moment = float(parts[-1].ordinal)
        labels = [RecordedLabel(at, moment, Label(part.verdict.part_id, word, name, moment)) for name, word in SAID]
        book.add_label(part, labels[:1])
        book.add_label(part, labels)
    return (time.perf_counter() - started) / len(parts) / 2


SAID = (("otto", "crack"), ("ida", "crack"))
