"""Labels from and to spreadsheets."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from service.errors import InvalidInput
from service.station.access import Caller
from service.station.csvfile import Imported, export_labels, import_labels, references
from service.station.desk import Desk
from service.station.meter import Unmetered
from tests.station.conftest import Station

ADMIN = Caller("", "admin")


def _import(station: Station, file: Path, content: bytes) -> Imported:
    file.write_bytes(content)
    return import_labels(file, Desk(station.ledger, station.ledger, station.clock, Unmetered()), ADMIN)


def test_a_bad_row_names_its_line_and_stops_nothing(station: Station, tmp_path: Path) -> None:
    """Lines are counted as a text editor does, the head included."""
    for name in ("p1", "p2", "p3"):
        station.part(name)
    rows = b"part_id,label,inspector,labelled_at\np1,crack,ines,\np2,scratch,ines,\n\np3,good,ines,2025-12-31T23:00:00Z\n../x,good,ines,\n"
    done = _import(station, tmp_path / "l.csv", rows)
    assert done.counts == {"recorded": 2, "refused": 2}
    assert [(line, reason.split(":")[0]) for line, reason in done.refused] == [(3, "label"), (6, "part_id")]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfpart_id;label;inspector\r\np1;good;ines\r\n",
        b"part_id\tlabel\tinspector\np1\tgood\tines\n",
        b" Part_ID , label , inspector \n p1 , good , ines \n",
        b'part_id,label,inspector,source\n"p1","good","ines",audit\n',
    ],
)
def test_spreadsheets_write_csv_in_many_ways(station: Station, tmp_path: Path, content: bytes) -> None:
    """Byte order mark, semicolons, tabs, spaces, quotes."""
    station.part("p1")
    assert _import(station, tmp_path / "l.csv", content).counts == {"recorded": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "part_id is missing"),
        (b"part,label\n", "'part'"),
        (b"part_id,inspector\n", "label is missing"),
        (b"\xff\xfe\x00\x01rubbish\n", "UTF-8"),
        (b"part_id,label\n" + b'"' + b"x" * 200_000, "CSV"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(station: Station, tmp_path: Path, content: bytes, words: str) -> None:
    """One line that names the file."""
    with pytest.raises(InvalidInput, match=r"l\.csv") as caught:
        _import(station, tmp_path / "l.csv", content)
    assert words in str(caught.value)


def test_rubbish_far_down_says_what_is_done_already(station: Station, tmp_path: Path) -> None:
    """The rows before it are durable; sent again they are no change."""
    good = b"part_id,label,inspector\n" + b"".join(b"p%d,good,ines\n" % number for number in range(1000))
    with pytest.raises(InvalidInput, match="the 1000 rows before it are done"):
        _import(station, tmp_path / "l.csv", good + b"x" * 20_000 + b"\n\xff\n")
    assert len(station.ledger.labels_after(0, 2000)) == 1000


def test_what_was_exported_comes_in_again_as_no_change(station: Station, tmp_path: Path) -> None:
    """Times keep their milliseconds."""
    station.part("p1")
    _import(station, tmp_path / "l.csv", b"part_id,label,inspector\np1,crack,ines\nlater,good,otto\n")
    out = StringIO()
    assert export_labels(station.ledger, out) == 2
    rows = [",".join(line.split(",")[:4]) for line in out.getvalue().splitlines()]
    assert _import(station, tmp_path / "again.csv", "\n".join(rows).encode()).counts == {"unchanged": 2}


def test_a_formula_is_exported_as_text(station: Station) -> None:
    """What a spreadsheet would run gets a quote before it."""
    from service.records import Label

    station.ledger.add_labels([Label("=cmd", "good", "@ines", station.clock.now)])
    out = StringIO()
    export_labels(station.ledger, out)
    assert out.getvalue().splitlines()[1].startswith("'=cmd,good,'@ines,")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("part_id,label\np1,good\np1,crack\n", "line 3: part p1 is crack here and good above"),
        ("part_id,label\np1,\n", "line 2: expected a part_id and a label"),
        ("part_id,kind\np1,good\n", "line 1: column 'kind'; expected part_id"),
        ("part_id\np1\n", "line 1: column label is missing"),
        ("part_id,label\n\xff,good\n", "no UTF-8 text in CSV"),
    ],
)
def test_a_file_of_references_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    """The line of the file and what was expected."""
    file = tmp_path / "truth.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match=words):
        references(file)


def test_references_as_a_spreadsheet_writes_them(tmp_path: Path) -> None:
    """Semicolons, empty rows, the same part twice alike; a file that is not there is named."""
    file = tmp_path / "truth.csv"
    file.write_text("label;part_id\ncrack;p1\n;\ngood;p2\ncrack;p1\n", encoding="utf-8-sig")
    assert references(file) == {"p1": "crack", "p2": "good"}
    with pytest.raises(InvalidInput, match=r"none\.csv: cannot be read"):
        references(tmp_path / "none.csv")
