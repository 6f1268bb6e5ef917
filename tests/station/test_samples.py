"""Study parts and hidden known samples: who gets which when, and that nothing of it is ever a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from service.demo.replay import SimulatedClock
from service.errors import InvalidInput
from service.ledger.images import FolderImages
from service.ledger.store import open_ledger
from service.monitor import Monitor
from service.records import ChallengePart, Kind, Label, Sample
from service.station.planning import Planner
from service.station.samples import LEASE, Studies
from tests.line import LINE, MODEL, picture
from tests.station.conftest import OTHER, THRESHOLDS, Station
from tests.station.study import DAY, answer_all, asked, known_parts, planner, record


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """Its ledger and pictures, without a server."""
    clock = SimulatedClock()
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock)) as ledger:
        ledger.register(MODEL)
        ledger.register(replace(MODEL, line=OTHER))
        yield Station("", ledger, FolderImages(tmp_path / "images", 10**6), clock)


def test_everybody_sees_every_part_in_every_trial_in_an_order_of_his_own(station: Station) -> None:
    """Six parts, two trials, two inspectors: each part twice, trial after trial, and never twice running."""
    known_parts(station)
    _, parts = planner(station).study(asked())
    orders = {name: answer_all(station, name) for name in ("eva", "max")}
    for order in orders.values():
        assert Counter(order) == {part.part_id: 2 for part in parts}
        assert len({*order[:6]}) == 6 and order[5] != order[6]
    assert len({tuple(order[at : at + 6]) for order in orders.values() for at in (0, 6)}) > 1
    keys = [answer.key for answer in station.ledger.study_answers("first")]
    assert len(keys) == len({*keys}) == 24
    assert answer_all(station, "eva") == [] and answer_all(station, "li") == []


def test_nobody_gets_what_is_not_for_him(station: Station) -> None:
    """Other lines, other inspectors and closed studies offer nothing."""
    known_parts(station)
    planner(station).study(asked())
    studies = Studies(station.ledger, station.clock)
    assert studies.offer([OTHER], "eva") is None and studies.offer([], "eva") is None
    assert studies.offer([LINE], "li") is None
    sample = studies.offer([OTHER, LINE], "eva")
    assert sample is not None and sample.line == LINE
    station.ledger.close_study("first", "test")
    assert studies.offer([LINE], "max") is None
    studies.answered(sample, "eva", "good", station.clock.now)
    assert len(station.ledger.study_answers("first")) == 1


def test_what_is_out_is_not_offered_again_until_its_lease_is_over(station: Station) -> None:
    """The next picture is fetched while this one is looked at; what somebody left comes back."""
    known_parts(station)
    planner(station).study(asked(parts=3, trials=1))
    studies = Studies(station.ledger, station.clock)
    held = [studies.offer([LINE], "eva") for _ in range(3)]
    assert len({sample.part_id for sample in held if sample}) == 3
    assert studies.offer([LINE], "eva") is None
    station.clock.now += LEASE + 1
    again = studies.offer([LINE], "eva")
    assert again in held


def test_an_answer_is_counted_once_and_can_be_corrected(station: Station) -> None:
    """Sent twice it is one; after going back the new one counts. Another process takes it too: nothing of it lives in memory."""
    known_parts(station)
    planner(station).study(asked())
    sample = Studies(station.ledger, station.clock).offer([LINE], "eva")
    assert sample is not None
    studies = Studies(station.ledger, station.clock)
    for label, at in (("good", 10.0), ("good", 10.0), ("unsure", 20.0), ("good", 10.0)):
        studies.answered(sample, "eva", label, at)
    assert [answer.label for answer in station.ledger.study_answers("first")] == ["good", "unsure"]


def test_an_answer_to_what_was_never_offered_is_refused(station: Station) -> None:
    """A made-up key, another's key, another part, a word that is no class."""
    known_parts(station)
    planner(station).study(asked())
    studies = Studies(station.ledger, station.clock)
    sample = studies.offer([LINE], "eva")
    assert sample is not None
    other = next(part.part_id for part in station.ledger.study_parts("first") if part.part_id != sample.part_id)
    for wrong, name, label in (
        (Sample("0" * 64, sample.part_id, LINE), "eva", "good"),
        (sample, "max", "good"),
        (Sample(sample.key, other, LINE), "eva", "good"),
        (Sample(sample.key, sample.part_id, OTHER), "eva", "good"),
    ):
        with pytest.raises(InvalidInput, match="not offered to this inspector"):
            studies.answered(wrong, name, label, 10.0)
    with pytest.raises(InvalidInput, match="expected one of crack, good, unsure"):
        studies.answered(sample, "eva", "dent", 10.0)
    assert station.ledger.study_answers("first") == []


def test_a_study_takes_no_more_than_its_share(station: Station) -> None:
    """Of a thousand parts asked for, some three in ten."""
    known_parts(station, each=10)
    planner(station).study(asked(parts=30, trials=20, share=0.3))
    studies = Studies(station.ledger, station.clock, Random(3))
    shown = 0
    for _ in range(1000):
        if sample := studies.offer([LINE], "eva"):
            shown += 1
            studies.answered(sample, "eva", "good", station.clock.now)
    assert 250 <= shown <= 350


def test_hidden_samples_come_by_the_labels_that_somebody_gives(station: Station) -> None:
    """One throw for each label: one in ten here. Whoever waits at an empty queue, or gave no label, is shown none."""
    known_parts(station)
    station.clock.now += 40 * DAY
    planner(station).samples(asked("hidden", trials=0, inspectors="", share=0.1), 30 * DAY)
    studies = Studies(station.ledger, station.clock, Random(4))
    assert [studies.offer([LINE], "eva") for _ in range(300)] == [None] * 300
    shown = 0
    for number in range(600):
        station.ledger.add_labels([Label(f"p{number}", "good", "eva", station.clock.now)])
        station.clock.now += 400.0
        shown += sum(studies.offer([LINE], name) is not None for name in ("eva", "max"))
    assert 40 <= shown <= 80


def test_a_reference_of_ones_own_comes_last(station: Station) -> None:
    """Ida settled most of the known parts; she is first shown those that she did not."""
    known_parts(station)
    record(station, "x", 1.9)
    station.ledger.add_labels([Label("x", "crack", name, station.clock.now) for name in ("eva", "otto")])
    station.clock.now += 40 * DAY
    planner(station).samples(asked("hidden", 5, 0, "", share=1.0, mix={Kind.DEFECT: 1.0}), 30 * DAY)
    studies = Studies(station.ledger, station.clock)
    station.ledger.add_labels([Label("y", "good", "ida", station.clock.now)])
    sample = studies.offer([LINE], "ida")
    assert sample is not None and sample.part_id == "x"


def test_nothing_that_is_said_of_the_line_changes(station: Station) -> None:
    """Estimates, evidence, counts, agreement, what is due: the same before and after 48 answers, half of them wrong."""
    known_parts(station, each=8)
    station.clock.now += DAY
    planner(station).study(asked(parts=12))
    monitor = Monitor(station.ledger, lambda: THRESHOLDS, station.clock)
    at = station.clock.now
    before, due = monitor.snapshot(), station.ledger.unlabelled(LINE, 100)
    assert before.lines[LINE].closed_buckets > 0 and before.lines[LINE].quality[0].recall.estimable
    studies = Studies(station.ledger, station.clock)
    for name in ("eva", "max"):
        for number in range(24):
            sample = studies.offer([LINE], name)
            assert sample is not None
            studies.answered(sample, name, "good" if number % 2 else "crack", at)
    assert len(station.ledger.study_answers("first")) == 48
    fresh = Monitor(station.ledger, lambda: THRESHOLDS, station.clock)
    assert monitor.snapshot() == fresh.snapshot() == before
    assert station.ledger.unlabelled(LINE, 100) == due


def test_the_parts_are_what_they_are_known_to_be(station: Station) -> None:
    """Two who agree, or a challenge part, of which each is taken once. What one alone says is no truth."""
    known_parts(station)
    record(station, "alone", 1.9)
    station.ledger.add_labels([Label("alone", "crack", "ida", station.clock.now)])
    station.ledger.register_challenge(ChallengePart(LINE, "RR", "crack", 0.0))
    for name in ("RR~1", "RR~2", "odd"):
        record(station, name, 0.1)
    station.ledger.register_challenge(ChallengePart(LINE, "GOLD", "good", 0.0))
    station.ledger.report_challenge("odd", "GOLD", "test")
    _, parts = planner(station).study(asked(parts=14))
    truth = {part.part_id: part for part in parts}
    assert "alone" not in truth and len({"RR~1", "RR~2"} & {*truth}) == 1
    assert truth["RR~2"].reference == "crack" and truth["odd"].reference == "good"
    assert truth["a-defect-0"].known_by == ("ida", "otto") and truth["odd"].known_by == ()


def test_a_reference_file_takes_the_place_of_labels(station: Station) -> None:
    """Its parts and no others; a part of another line, and a word that is no class, are named."""
    known_parts(station)
    record(station, "elsewhere", 1.9, line=OTHER)
    wanted = asked(parts=2, mix={Kind.DEFECT: 1.0, Kind.GOOD: 1.0})
    _, parts = planner(station).study(wanted, {"a-defect-0": "crack", "a-good-0": "good"})
    assert {part.part_id: part.reference for part in parts} == {"a-defect-0": "crack", "a-good-0": "good"}
    for file, words in (
        ({"elsewhere": "crack"}, "line a has no part 'elsewhere'"),
        ({"a-good-0": "dent"}, "part a-good-0: 'dent'; expected one of crack, good"),
    ):
        with pytest.raises(InvalidInput, match=words):
            planner(station).study(asked("second", 1), file)


def test_a_picture_stays_while_the_ring_forgets(station: Station, tmp_path: Path) -> None:
    """The pictures of passed parts make room for newer ones; those of a study are kept, and a part without one is not taken."""
    small = FolderImages(tmp_path / "small", sum(len(picture(0.1 + number / 10)) for number in range(3)))
    for number in range(3):
        record(station, f"p{number}", 0.1, small.ring(picture(0.1 + number / 10)))
    record(station, "gone", 0.1, "e" * 64)
    references = dict.fromkeys(("p0", "p1", "p2", "gone"), "good")
    wanted = asked(parts=3, trials=1, mix={Kind.GOOD: 1.0})
    _, parts = Planner(station.ledger, small, station.clock).study(wanted, references)
    assert sorted(part.part_id for part in parts) == ["p0", "p1", "p2"]
    for number in range(9):
        small.ring(picture(0.5 + number / 20))
    rows = station.ledger.parts(["p0", "p1", "p2"])
    assert all(small.load(row.verdict.image) for row in rows.values())


def test_samples_are_parts_that_all_agreed_on_long_ago(station: Station) -> None:
    """A part that somebody called something else, and one labelled since, are left out; a line has one such study at a time."""
    known_parts(station)
    station.ledger.add_labels([Label("a-good-0", "crack", "li", station.clock.now)])
    station.clock.now += 40 * DAY
    station.ledger.add_labels([Label("a-good-1", "good", "li", station.clock.now)])
    with pytest.raises(InvalidInput, match="0 of 3 good parts"):
        planner(station).samples(asked("hidden", 3, 0, "", mix={Kind.GOOD: 1.0}), 50 * DAY)
    planner(station).samples(asked("hidden", 3, 0, "", mix={Kind.GOOD: 1.0}), 30 * DAY)
    assert {part.part_id for part in station.ledger.study_parts("hidden")} == {"a-good-2", "a-good-3"}
    with pytest.raises(InvalidInput, match="line a has hidden samples: study hidden; close it first"):
        planner(station).samples(asked("again", 2, 0, ""), 30 * DAY)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "../x"}, "expected a name"),
        ({"parts": 0}, "parts: 0; expected 1 to 1000"),
        ({"trials": 21}, "trials: 21; expected"),
        ({"share": 0.0}, "share: 0; expected a ratio"),
        ({"inspectors": "eva eva"}, "one is named twice"),
        ({"inspectors": ""}, "expected one inspector or more"),
        ({"line": "nowhere"}, "line 'nowhere': no model"),
        ({"mix": {Kind.GOOD: -1.0}}, "mix: expected three numbers"),
    ],
)
def test_a_study_that_cannot_be_is_refused(station: Station, changes: dict[str, object], words: str) -> None:
    """One line that says what was expected; nothing is set up."""
    known_parts(station)
    with pytest.raises(InvalidInput, match=words):
        planner(station).study(asked(**changes))  # type: ignore[arg-type]
    assert station.ledger.studies() == []
