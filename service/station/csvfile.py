"""Labels from and to CSV files, as spreadsheets write them. One bad row stops no other."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path
from typing import Final, TextIO

from service.errors import InvalidInput
from service.ports import LedgerReader
from service.station.access import Caller
from service.station.desk import Claim, Desk

COLUMNS: Final = ("part_id", "label", "inspector", "labelled_at")
ROWS_AT_ONCE: Final = 1000
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of one, in wide characters too."""
LONGEST_LINE: Final = 65_536


@dataclass(slots=True)
class Imported:
    """counts: by status of the receipts. refused: (line of the file, reason)."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[int, str]] = field(default_factory=list)


def import_labels(file: Path, desk: Desk, caller: Caller) -> Imported:
    """Takes in every good row; those that were taken are durable. Raises InvalidInput for a file that is no such table."""
    done = Imported()
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = _rows(text, str(file))
            while chunk := list(islice(rows, ROWS_AT_ONCE)):
                for (line, _), receipt in zip(chunk, desk.take([claim for _, claim in chunk], caller), strict=True):
                    done.counts[receipt.status] += 1
                    if receipt.status == "refused":
                        done.refused.append((line, receipt.reason))
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        before = f"; the {done.counts.total()} rows before it are done" if done.counts else ""
        raise InvalidInput(f"{file}: no UTF-8 text in CSV: {error}{before}") from error
    return done


def _rows(text: TextIO, source: str) -> Iterator[tuple[int, Claim]]:
    """(line, claim) of each row that is not empty."""
    lines = _lines(text)
    head = next(lines, "")
    separator = max(",;\t", key=head.count)
    names = [name.strip().lower() for name in next(csv.reader([head], delimiter=separator), [])]
    if unknown := [name for name in names if name not in (*COLUMNS, "source")]:
        raise InvalidInput(f"{source}: line 1: column {unknown[0][:80]!r}; expected {', '.join(COLUMNS)}")
    if missing := [name for name in COLUMNS[:2] if name not in names]:
        raise InvalidInput(f"{source}: line 1: column {missing[0]} is missing; expected {', '.join(COLUMNS)}")
    if len(set(names)) < len(names):
        raise InvalidInput(f"{source}: line 1: a column stands there twice; expected {', '.join(COLUMNS)}")
    reader = csv.reader(lines, delimiter=separator)
    for cells in reader:
        if any(cell.strip() for cell in cells):
            values = dict(zip(names, (cell.strip() for cell in cells), strict=False))
            yield reader.line_num + 1, Claim(*(values.get(name) for name in COLUMNS))


def _lines(text: TextIO) -> Iterator[str]:
    """One by one. Raises csv.Error for one that is no row: it may be as large as the file."""
    for number in count(1):
        if not (line := text.readline(LONGEST_LINE + 1)):
            return
        if len(line) > LONGEST_LINE:
            raise csv.Error(f"line {number} has more than {LONGEST_LINE} characters")
        yield line


def references(file: Path) -> dict[str, str]:
    """{part_id: what it is} of a table with the columns part_id and label. Raises InvalidInput."""
    found: dict[str, str] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            for line, claim in _rows(text, str(file)):
                part_id, label = str(claim.part_id or ""), str(claim.label or "")
                if not part_id or not label:
                    raise InvalidInput(f"{file}: line {line}: expected a part_id and a label")
                if found.setdefault(part_id, label) != label:
                    raise InvalidInput(
                        f"{file}: line {line}: part {part_id[:128]} is {label[:80]} here and {found[part_id][:80]} above"
                    )
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{file}: no UTF-8 text in CSV: {error}") from error
    return found


def export_labels(ledger: LedgerReader, out: TextIO) -> int:
    """Every label of the ledger by order of arrival; returns how many. What a spreadsheet would run gets a quote before it."""
    writer = csv.writer(out)
    writer.writerow((*COLUMNS, "recorded_at"))
    last = count = 0
    while rows := ledger.labels_after(last, ROWS_AT_ONCE):
        for row in rows:
            label = row.label
            writer.writerow(
                safe((label.part_id, label.label, label.inspector, iso(label.labelled_at), iso(row.recorded_at)))
            )
        last, count = rows[-1].sequence, count + len(rows)
    return count


def safe(cells: Sequence[str]) -> list[str]:
    """Cells that no spreadsheet takes for a formula."""
    return [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells]


def csv_row(cells: Sequence[str]) -> str:
    """One line of a table that is sent as it is made."""
    line = io.StringIO()
    csv.writer(line).writerow(safe(cells))
    return line.getvalue()


def iso(seconds: float) -> str:
    """UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
