"""Studies in the ledger: kept whole, answered once, closed for good, and never among the labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.errors import InvalidInput
from service.ledger.store import SqlLedger
from service.records import ChallengePart, Kind, Study, StudyAnswer, StudyPart
from tests.ledger.conftest import Opener
from tests.ledger.rows import label, verdict

STUDY = Study("s", "a", "good", 2, ("eva", "max"), 0.5, "seed", "eva")
PARTS = [StudyPart("p", "crack", Kind.DEFECT, ("ida", "otto")), StudyPart("q", "good", Kind.BORDERLINE)]
ANSWER = StudyAnswer("k", "s", "p", "eva", 1, "good", 600.0)


def test_a_study_comes_back_as_it_was_set_up(ledger: SqlLedger, opened: Opener) -> None:
    """With its parts, in another process too; a name is given once."""
    made = ledger.add_study(STUDY, PARTS)
    other = opened(read_only=True)
    assert other.studies() == [made] == [replace(STUDY, created_at=made.created_at)]
    assert other.study_parts("s") == PARTS and other.study_parts("t") == []
    with pytest.raises(InvalidInput, match="one of that name"):
        ledger.add_study(replace(STUDY, line="b"), PARTS)
    assert len(ledger.study_parts("s")) == 2


def test_an_answer_sent_again_is_no_change(ledger: SqlLedger) -> None:
    """A correction is a row; the old answer again after it is none, so that it cannot undo the correction."""
    corrected = replace(ANSWER, label="crack", answered_at=610.0)
    for answer in (ANSWER, ANSWER, replace(ANSWER, answered_at=605.0), corrected, ANSWER, corrected):
        ledger.answer_study(answer)
    assert ledger.study_answers("s") == ledger.study_answers("s", "eva") == [ANSWER, corrected]
    assert ledger.study_answers("s", "max") == []
    assert ledger.labels(["p"]) == {}


def test_a_study_is_closed_once_and_for_good(ledger: SqlLedger) -> None:
    """The first time counts; one that is not there is named."""
    ledger.add_study(STUDY, PARTS)
    ledger.close_study("s", "eva")
    (closed,) = ledger.studies()
    ledger.close_study("s", "max")
    assert closed.closed_at is not None and ledger.studies() == [closed]
    with pytest.raises(InvalidInput, match="'t': there is none of that name"):
        ledger.close_study("t", "eva")


def test_parts_that_two_have_labelled(ledger: SqlLedger) -> None:
    """Of this line, with a picture, and not touched since; the same inspector twice is one."""
    ledger.record([verdict(name, image="f" * 64) for name in ("p", "q", "r", "s")])
    ledger.record([verdict("t"), verdict("u", "b", image="f" * 64)])
    for name in ("p", "q", "t", "u"):
        ledger.add_labels([label(name, "crack"), label(name, "crack", "otto", 700.0 if name == "q" else 600.0)])
    ledger.add_labels([label("r"), label("r", "crack", at=601.0), label("s")])
    assert ledger.twice_labelled("a", 1e9, 10) == ["q", "p"]
    assert ledger.twice_labelled("a", 650.0, 10) == ["p"]
    assert ledger.twice_labelled("a", 1e9, 1) == ["q"]


def test_passes_of_challenge_parts_go_by_their_name(ledger: SqlLedger) -> None:
    """The name alone, or before the separator; not what merely begins alike, nor another line's."""
    ledger.register_challenge(ChallengePart("a", "RR", "crack", 0.0))
    ledger.record([verdict(name) for name in ("RR", "RR~1", "RR~2", "RR-7~1", "RRR", "r")])
    ledger.record([verdict("RR~3", "b")])
    assert sorted(ledger.passes_of("a", ["RR"])) == ["RR", "RR~1", "RR~2"]
    assert ledger.passes_of("a", []) == []


def test_how_many_labels_everybody_gave(ledger: SqlLedger) -> None:
    """Since a sequence; nothing new leaves it where it was."""
    assert (ledger.newest_label(), ledger.labels_given(0)) == (0, (0, {}))
    ledger.add_labels([label("p"), label("q"), label("q", inspector="otto")])
    newest = ledger.newest_label()
    assert ledger.labels_given(0) == (newest, {"anna": 2, "otto": 1})
    assert ledger.labels_given(newest) == (newest, {})
