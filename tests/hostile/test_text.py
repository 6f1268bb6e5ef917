"""Settings, thresholds, tables and what a model file says of itself, written by somebody who means no good, or by a slip."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from service import settings, thresholds
from service.errors import InvalidInput
from service.model.contract import Contract
from service.station.access import Caller
from service.station.csvfile import FORMULA, LONGEST_LINE, export_labels, import_labels, safe
from service.station.desk import Desk
from service.thresholds import LONGEST, WatchedThresholds
from service.yamltext import MAX_CHARACTERS
from tests.hostile.memory import peak_growth
from tests.station.conftest import Station

ONE_LINE = 600

ODD_YAML = [
    'a: !!int ""',
    'a: !!int "-"',
    'a: !!float ""',
    "a: !!bool perhaps",
    "a: !!timestamp never",
    "a: !!binary ä",
    "a: !!set [1]",
    "a: !!python/object/apply:os.system [id]",
    "a: 2026-13-45",
    "a: " + "9" * 5000,
    "a: 1" + ":59" * 300_000,
    "a: " + "[" * 300_000,
    "? [a]\n: b",
    "a: &x [1]\nb: *x",
    "<<: {a: 1}",
    "a: 1\na: 2",
    "x" * 100_000 + ": 1\n" + "x" * 100_000 + ": 2",
    '"a\\nb": 1',
    '"\\0": 1',
    "\0",
    "\ud800",
    "=",
    "a: =",
    "a" * (MAX_CHARACTERS + 1),
]

ODD_THRESHOLDS = [
    "defaults: {recall: {page: " + "9" * 400 + "}}",
    "defaults: {recall: {page: .nan}}",
    "defaults: {recall: {page: .inf}}",
    "defaults: {recall: {page: 1e999}}",
    'defaults: {false_page_every: "' + "9" * 400 + 'd"}',
    "defaults: {false_page_every: 999999d}",
    "defaults: {bucket: {closes_after: 0.0000000s}}",
    "defaults: {windows: [{hours: .nan}]}",
    "defaults: {windows: [{parts: " + "9" * 4000 + "}]}",
    "defaults: {gate: {imbalance: .nan}}",
    "defaults: {gate: {parts_per_second: .inf}}",
    "defaults: {labels: {second_look: maybe}}",
    'defaults: {"' + "x\\n" * 500 + '": 1}',
]

ODD_SETTINGS = [
    'images: {ring: "' + "9" * 400 + 'TB"}',
    "images: {ring: 99999999TB}",
    'batch: {wait: "' + "9" * 400 + 's"}',
    "batch: {size: .inf}",
    "threads: " + "9" * 400,
    'line: "a\\0b"',
    'line: "\\u202e"',
    "cameras: {}",
    "cameras: []",
    "station: {listen: '127.0.0.1:99999'}",
]


def said(error: BaseException) -> str:
    """The error, which must be one short line."""
    text = str(error)
    assert "\n" not in text and len(text) < ONE_LINE, text[:200]
    return text


@pytest.mark.parametrize("text", ODD_YAML + ODD_THRESHOLDS, ids=range(len(ODD_YAML + ODD_THRESHOLDS)))
def test_thresholds_that_are_none_are_one_line(text: str) -> None:
    """Whatever PyYAML or pydantic would have said, and at once."""
    started = time.process_time()
    with pytest.raises(InvalidInput) as refused:
        thresholds.parse(text)
    assert said(refused.value).startswith("thresholds.yaml")
    assert time.process_time() - started < 20


def test_a_running_line_keeps_its_thresholds(tmp_path: Path) -> None:
    """However the edit is broken: the last good ones stay in force, and it says what is wrong."""
    file = tmp_path / "thresholds.yaml"
    file.write_text("defaults: {recall: {page: 0.7}}", encoding="utf-8")
    watched = WatchedThresholds(file)
    for text in ODD_YAML + ODD_THRESHOLDS:
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        assert watched().defaults.recall.page == 0.7
        assert watched.error


@pytest.mark.parametrize("text", ODD_YAML + ODD_SETTINGS, ids=range(len(ODD_YAML + ODD_SETTINGS)))
def test_settings_that_are_none_are_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "line.yaml"
    good = "" if text in ODD_YAML else "model: m.onnx\n" + ("" if "line:" in text else "line: a\n")
    good += "cameras: {left: 'folder:///in'}\n" if good and "cameras" not in text else ""
    file.write_text(good + text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(InvalidInput) as refused:
        settings.load(file, {})
    assert said(refused.value).replace(str(tmp_path), "").startswith("/line.yaml")


@pytest.mark.parametrize(
    "text", [text for text in ODD_YAML if "\0" not in text and "\ud800" not in text and "'" not in text][:10]
)
def test_an_environment_that_makes_no_sense_is_one_line(tmp_path: Path, text: str) -> None:
    """It is read as strictly as the file."""
    file = tmp_path / "line.yaml"
    file.write_text("line: a\nmodel: m.onnx\ncameras: {left: 'folder:///in'}\n", encoding="utf-8")
    with pytest.raises(InvalidInput) as refused:
        settings.load(file, {"REDRABBIT_THREADS": text.removeprefix("a: ")})
    said(refused.value)


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates() | st.binary(max_size=5)
)
KEYS = st.sampled_from(
    [*thresholds.BUILT_IN, "defaults", "lines", "defects", "page", "warn", "parts", "hours", "budget"]
)
trees = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), below, max_size=4),
    max_leaves=15,
)


@examples(max_examples=300, deadline=None)
@given(trees)
def test_any_tree_is_thresholds_or_one_line(tree: object) -> None:
    """Under defaults and for one line; what is taken can be used."""
    for content in (tree, {"defaults": tree}, {"lines": {"a": tree}}):
        try:
            found = thresholds.parse(yaml.safe_dump(content))
        except InvalidInput as error:
            said(error)
        else:
            assert 0 < found.line("a").false_page_every <= LONGEST


@examples(max_examples=300, deadline=None)
@given(st.text(max_size=200))
@example("a: {b: [c, {d: e}]")
def test_any_text_is_thresholds_or_one_line(text: str) -> None:
    try:
        thresholds.parse(text)
    except InvalidInput as error:
        said(error)


CONTRACT = {
    "name": "m",
    "classes": ["good", "crack"],
    "good": "good",
    "input": {"height": 32, "width": 32, "colour": "grey"},
    "thresholds": {"crack": 0.5},
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("thresholds", '{"crack": NaN}'),
        ("thresholds", '{"crack": 1e-400}'),
        ("temperature", "Infinity"),
        ("temperature", "NaN"),
        ("temperature", "1e999"),
        ("version", "1e400"),
        ("classes", '["good", "' + "a" * 10**6 + '"]'),
        ("classes", '["good", "../../x"]'),
        ("classes", '["good", "=1+1"]'),
        ("classes", json.dumps(["good", *(f"c{n}" for n in range(10**5))])),
        ("input", '{"height": 99999999999999999999, "width": 8, "colour": "grey"}'),
        ("guesses", "[NaN, 0, 0, 0, 0]"),
        ("validation", "[" * 5000 + "]" * 5000),
        ("name", '"\\u0000"'),
        ("name", '"\\ud800"'),
        ("x" * 100_000, "1"),
    ],
)
def test_a_model_that_says_nonsense_of_itself_is_refused(key: str, value: str) -> None:
    """A threshold that is no number would pass every part."""
    text = json.dumps(CONTRACT)[:-1] + f', "{key}": {value}}}'
    with pytest.raises(ValidationError):
        Contract.model_validate_json(text)


def test_cells_are_no_formulas() -> None:
    """Neither in the characters of a keyboard nor in wide ones; other words stay as they are."""
    for start in FORMULA:
        assert safe([f"{start}HYPERLINK(1)"]) == [f"'{start}HYPERLINK(1)"]
    assert safe(["p-1", "crack", "2026-01-01T00:00:00Z"]) == ["p-1", "crack", "2026-01-01T00:00:00Z"]


@pytest.fixture
def desk(station: Station) -> Desk:
    station.part("p-1")
    desk: Desk = station.app.state.desk
    return desk


ADMIN = Caller("otto", "admin")

ODD_TABLES = {
    "a line without end": "part_id,label\n" + "p" * (LONGEST_LINE + 1),
    "a head without end": "p" * 10_000_000,
    "a column twice": "part_id,label,label\np-1,good,crack\n",
    "a quote without end": 'part_id,label\n"' + "x\n" * 200_000,
    "no text": "\udcff\udcfe",
}


@pytest.mark.parametrize("name", ODD_TABLES)
def test_a_table_that_is_none_is_one_line(tmp_path: Path, desk: Desk, name: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(ODD_TABLES[name], encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InvalidInput) as refused:
        import_labels(file, desk, ADMIN)
    said(refused.value)


def test_one_odd_row_stops_no_other(tmp_path: Path, desk: Desk, station: Station) -> None:
    """Formulas, SQL, NUL, half characters, numbers that are none: each row is refused by itself, and what comes out again is harmless."""
    odd = ["=1+1", "'; DROP TABLE labels; --", "a\0b", "\u202egood", "../../x", "p" * 50_000, "ä", "NaN", "1e999"]
    rows = (
        [f'"{cell}",good,otto,' for cell in odd]
        + [f"p-1,{cell},otto," for cell in odd]
        + [f"p-1,good,{cell},{cell}" for cell in odd[:5]]
    )
    file = tmp_path / "labels.csv"
    file.write_text(
        "\n".join(
            [
                "part_id,label,inspector,labelled_at",
                *rows,
                "p-1,crack,otto,",
                *(
                    f"p-1,good,otto,{cell}"
                    for cell in ("nan", "inf", "-1", "1e999", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59")
                ),
            ]
        ),
        encoding="utf-8",
    )
    done = import_labels(file, desk, ADMIN)
    assert done.counts["recorded"] == 1
    assert all(len(reason) < ONE_LINE for _, reason in done.refused)
    out = io.StringIO()
    assert export_labels(station.ledger, out) >= 1
    assert not any(cell.startswith(FORMULA) for line in out.getvalue().splitlines()[1:] for cell in line.split(","))


def test_a_large_table_is_read_piece_by_piece(tmp_path: Path, desk: Desk) -> None:
    """A hundred megabytes of blanks hold no more than a line of them."""
    file = tmp_path / "labels.csv"
    with file.open("w", encoding="utf-8") as table:
        table.write("part_id,label\n")
        for _ in range(2000):
            table.write(" " * 50_000 + "\n")
    grown, done = peak_growth(lambda: import_labels(file, desk, ADMIN))
    assert not done.counts
    assert grown < 50_000_000
