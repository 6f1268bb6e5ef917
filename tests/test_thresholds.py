"""thresholds.yaml: what it means, what it refuses, and what happens while running."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import InvalidInput
from service.records import ALL
from service.thresholds import WatchedThresholds, load, parse

ROOT = Path(__file__).parents[1]


def test_the_shipped_files_are_valid() -> None:
    """Both the factory's and the demo's thresholds can be loaded."""
    assert load(ROOT / "thresholds.yaml").line("el-cells").audit.budget == 0.02
    assert load(ROOT / "deploy/demo/thresholds.yaml").line("el-cells").audit.budget == 0.25


def test_a_file_that_says_nothing_has_the_documented_defaults() -> None:
    """Silence means the values of the design."""
    line = parse("defaults: {}").line("any")
    assert (line.recall.page, line.recall.warn, line.precision.warn) == (0.80, 0.90, 0.80)
    assert [window.name for window in line.windows] == ["10000 parts", "24h"]
    assert (line.bucket.parts, line.bucket.closes_after) == (1000, 8 * 3600)
    assert line.false_page_every == 90 * 86400


def test_a_line_overrides_what_it_names_and_inherits_the_rest() -> None:
    """Defaults, then the line, then the defect."""
    thresholds = parse("lines: {a: {recall: {page: 0.7}, defects: {crack: {recall: {page: 0.95}}}}}")
    line = thresholds.line("a")
    assert (line.recall.page, line.recall.warn) == (0.7, 0.9)
    assert (line.defects["crack"].recall.page, line.defects["crack"].recall.warn) == (0.95, 0.95)
    assert thresholds.line("b").recall.page == 0.80


def test_one_kind_of_defect_pages_once() -> None:
    """ALL is the same number as the only defect, so it carries no threshold of its own."""
    line = parse("defaults: {}").line("any")
    assert line.row(ALL, 1).recall.page is None
    assert line.row("crack", 1).recall.page == 0.80
    assert line.row(ALL, 2).recall.page == 0.80


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("defaults: {recal: {page: 0.8}}", ["recal", "defaults"]),
        ("defaults: {recall: {page: 80}}", ["recall.page", "80", "0.8"]),
        ("defaults: {recall: {page: 0.8%}}", ["recall.page", "0.8%"]),
        ("defaults: {recall: {page: 0.9, warn: 0.8}}", ["warn 0.8", "page 0.9"]),
        ("defaults: {recall: {page: 0}}", ["recall.page", "never fire"]),
        ("defaults: {recall: {page: 1}}", ["recall", "page at 1", "never clear"]),
        ("defaults: {recall: {page: .nan}}", ["recall.page"]),
        ("defaults: {recall: {page: true}}", ["recall.page"]),
        ("defaults: {windows: []}", ["windows"]),
        ("defaults: {windows: [{parts: 10}]}", ["10 parts", "could ever fire"]),
        ("defaults: {windows: [{hours: 4}]}", ["4h", "never"]),
        ("defaults: {windows: [{parts: 10000}, {parts: 10000}]}", ["twice"]),
        ("defaults: {windows: [{parts: 10000, hours: 3}]}", ["either parts or hours"]),
        ("defaults: {bucket: {closes_after: 8}}", ["closes_after", "unit"]),
        ("defaults: {bucket: {parts: 0}}", ["bucket.parts", "0"]),
        ("defaults: {audit: {budget: 2}}", ["audit.budget", "2"]),
        ("lines: {a: {defects: {all: {recall: {page: 0.9}}}}}", ["all"]),
        ("defaults: {labels: {starved_after: 30d}}", ["labels", "DefectRecallUnknown could never fire"]),
        ("defaults: {camera: {sharpness: 1}}", ["camera", "sharpness at 1 could never clear"]),
        ("defaults: {camera: {missed: 1}}", ["camera", "missed at 1 could never fire"]),
        ("defaults: {camera: {repeated: 0}}", ["camera.repeated"]),
        ("lines: [a]", ["lines"]),
        ("- a", ["expected keys"]),
        ("", ["empty file"]),
        ("defaults: {recall: {page: 0.8}, recall: {page: 0.9}}", ["recall"]),
        ("a: &a [1]\nb: *a", ["alias"]),
        ("defaults: {recall: {page: 0.8}", ["line"]),
    ],
)
def test_what_is_wrong_is_named_in_one_line(text: str, words: list[str]) -> None:
    """File, key and value stand in a single line."""
    with pytest.raises(InvalidInput) as caught:
        parse(text, "t.yaml")
    message = str(caught.value)
    assert "\n" not in message and message.startswith("t.yaml")
    assert all(word in message for word in words), message


def test_a_good_edit_takes_effect_and_a_bad_one_keeps_the_last_good(tmp_path: Path) -> None:
    """While running nothing a person writes into the file stops the line."""
    file = tmp_path / "thresholds.yaml"
    file.write_text("defaults: {recall: {page: 0.7}}")
    watched = WatchedThresholds(file)
    first = watched().version
    file.write_text("defaults: {recall: {page: 0.75}}")
    assert (watched().line("a").recall.page, watched.error) == (0.75, "")
    assert watched().version != first
    file.write_text("defaults: {recall: {page: 75}}")
    assert watched().line("a").recall.page == 0.75
    assert "75" in watched.error
    file.unlink()
    assert watched().line("a").recall.page == 0.75
    assert "cannot be read" in watched.error
    file.write_text("defaults: {recall: {page: 0.8}}")
    assert (watched().line("a").recall.page, watched.error) == (0.8, "")


def test_a_missing_file_is_refused_at_the_start(tmp_path: Path) -> None:
    """There is no last good one yet."""
    with pytest.raises(InvalidInput, match="cannot be read"):
        WatchedThresholds(tmp_path / "none.yaml")
