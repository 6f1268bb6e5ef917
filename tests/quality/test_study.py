"""What a study says, by counts that can be checked by hand, and limits against inspectors whose slips are known."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from random import Random

import pytest

from service.errors import InvalidInput
from service.quality.choosing import Candidate, chosen, kind_of, known, shared_out
from service.quality.study import result, share_of_parts
from service.quality.verdict import grade, graded, kappa_in_words, summary
from service.records import Kappa, Kind, Label, RecordedLabel, Study, StudyAnswer, StudyPart
from tests.ledger.rows import verdict

PARTS = [StudyPart(f"d{n}", "crack", Kind.DEFECT) for n in range(2)] + [
    StudyPart(f"g{n}", "good", Kind.GOOD) for n in range(2)
]


def study(trials: int = 2, inspectors: Sequence[str] = ("eva", "max")) -> Study:
    return Study("s", "a", "good", trials, tuple(inspectors), 0.5, "seed", "by")


def answers(inspector: str, **said: str) -> list[StudyAnswer]:
    """Each part's labels by trial: c crack, d dent, g good, u unsure."""
    words = {"c": "crack", "d": "dent", "g": "good", "u": "unsure"}
    return [
        StudyAnswer(f"{inspector}/{part}/{trial}", "s", part, inspector, trial, words[letter], 10.0 * trial)
        for part, letters in said.items()
        for trial, letter in enumerate(letters, 1)
    ]


def test_a_study_by_hand() -> None:
    """Eva is right but for one miss in the second trial; Max calls a good part a crack both times."""
    found = result(
        study(),
        PARTS,
        answers("eva", d0="cc", d1="cg", g0="gg", g1="gg") + answers("max", d0="cc", d1="cc", g0="cc", g1="gg"),
    )
    eva, max_ = found.appraisers
    assert [eva.within.numerator, eva.within.denominator] == [3, 4]
    assert [eva.effectiveness.numerator, max_.effectiveness.numerator] == [3, 3]
    assert (eva.missed.numerator, eva.missed.denominator, eva.missed.events, eva.missed.point) == (1, 4, 2, 0.25)
    assert (eva.false_alarm.numerator, max_.false_alarm.numerator, max_.false_alarm.denominator) == (0, 2, 4)
    assert max_.within.point == 1.0 and max_.missed.point == 0.0
    assert (found.between.numerator, found.all_right.numerator, found.between.denominator) == (2, 2, 4)
    assert found.complete and (found.answered, found.due) == (16, 16)
    assert [one.part.part_id for one in found.differing] == ["g0", "d1"]
    assert found.differing[1].said == {"eva": ("crack", "good"), "max": ("crack", "crack")}
    assert found.pairs["eva", "max"].point == pytest.approx(1 / 3)  # they agree on 5 of 8, by chance on 28 of 64


def test_a_wrong_kind_of_defect_is_neither_right_nor_a_miss() -> None:
    """A dent for a crack would still be rejected; "unsure" decides nothing and is no miss either."""
    (eva,) = result(study(2, ["eva"]), PARTS, answers("eva", d0="dd", d1="uc", g0="gu", g1="gg")).appraisers
    assert (eva.missed.numerator, eva.false_alarm.numerator, eva.unsure) == (0, 0, 2)
    assert eva.effectiveness.numerator == 1
    assert (eva.right.numerator, eva.right.denominator) == (4, 8)


def test_what_is_not_there_yet_is_said() -> None:
    """An open study counts whole parts only, and says how many answers are missing; without an answer nothing is claimed."""
    found = result(study(), PARTS, answers("eva", d0="cc", d1="c"))
    eva, max_ = found.appraisers
    assert (eva.effectiveness.denominator, eva.within.denominator, eva.answered, eva.due) == (1, 1, 3, 8)
    assert (found.answered, found.due, found.complete) == (3, 16, False)
    assert max_.missed.point is None and max_.missed.reason == "no defect was answered yet"
    assert found.between.point is None and found.overall.point is None
    said = summary(found)
    assert said[0] == "Not complete: 13 of 16 answers are missing; the figures are of what is there."
    assert said[2] == "max: nothing to judge by yet."
    assert graded("missed", max_.missed) == "no defect was answered yet"


def test_a_corrected_answer_counts_once_and_the_last() -> None:
    """Somebody went back and pressed another key."""
    first = answers("eva", d0="g")
    again = [
        StudyAnswer(
            **{field: getattr(first[0], field) for field in first[0].__slots__}
            | {"label": "crack", "answered_at": 99.0}
        )
    ]
    (eva,) = result(study(1, ["eva"]), PARTS, [*again, *first]).appraisers
    assert (eva.answered, eva.missed.numerator) == (1, 0)


def test_a_standing_study_goes_by_whoever_answered() -> None:
    """No trials are asked for: whoever has answered is in it, and a part seen once is whole."""
    found = result(study(0, []), PARTS, answers("eva", d0="c", g0="g") + answers("li", d0="gg"))
    assert [one.inspector for one in found.appraisers] == ["eva", "li"]
    assert found.appraisers[0].effectiveness.denominator == 2
    assert found.appraisers[1].within.point == 1.0
    assert found.due == 0 and not found.complete


def test_the_manuals_limits() -> None:
    """AIAG MSA, 4th edition: 90 and 80 %, 2 and 5 %, 5 and 10 %; kappa above 0.75 and below 0.40."""
    assert [grade("effectiveness", value) for value in (0.9, 0.8, 0.799)] == [
        "acceptable",
        "marginal",
        "not acceptable",
    ]
    assert [grade("missed", value) for value in (0.02, 0.05, 0.051)] == ["acceptable", "marginal", "not acceptable"]
    assert [grade("false_alarm", value) for value in (0.05, 0.1, 0.11)] == ["acceptable", "marginal", "not acceptable"]
    assert (
        graded("missed", share_of_parts([0.0] * 10, 0, 30, "")) == "acceptable (limits: acceptable to not acceptable)"
    )
    assert kappa_in_words(Kappa(0.8, 0.76, 0.9, 30)) == "good"
    assert kappa_in_words(Kappa(0.5, 0.3, 0.7, 30)) == "fair (limits: poor to fair)"
    assert kappa_in_words(Kappa(None, -1.0, 1.0, 0)) == "nothing to compare yet"


@pytest.mark.parametrize(("size", "missed"), [(10, 0.02), (10, 0.1), (30, 0.05), (60, 0.2)])
@pytest.mark.parametrize("hard", [0.0, 0.5, 1.0])
def test_the_limits_of_a_miss_share_hold_as_often_as_promised(size: int, missed: float, hard: float) -> None:
    """Inspectors of known miss share over three trials. hard: so much of it lies on parts that are missed every time."""
    dice = Random(5)

    def part() -> float:
        if dice.random() < missed * hard:
            return 1.0
        rest = missed * (1 - hard) / (1 - missed * hard)
        return sum(dice.random() < rest for _ in range(3)) / 3

    windows, below, above = 2000, 0, 0
    for _ in range(windows):
        found = share_of_parts([part() for _ in range(size)], 0, 3 * size, "")
        below += found.upper < missed
        above += found.lower > missed
    slack = 2 * sqrt(0.025 * 0.975 / windows)
    assert below / windows <= 0.025 + slack and above / windows <= 0.025 + slack


def test_acceptable_is_proven_by_many_parts_only() -> None:
    """Three hundred parts of each kind without a slip prove it; thirty do not, and the sentence says so."""

    def said(size: int) -> str:
        parts = [StudyPart(f"{label}{n}", label, Kind.DEFECT) for label in ("crack", "good") for n in range(size)]
        right = answers("eva", **{part.part_id: part.reference[0] for part in parts})
        return summary(result(study(1, ["eva"]), parts, right))[0]

    assert said(300) == "eva: acceptable, and proven."
    wrong = answers("eva", d0="gg", d1="gg", g0="cc", g1="cc")
    assert summary(result(study(2, ["eva"]), PARTS, wrong)) == [
        "eva: not acceptable by effectiveness, miss share and false-alarm share."
    ]
    assert said(30) == "eva: acceptable by the figures; so few parts do not prove it."


def labels(**said: str) -> list[RecordedLabel]:
    return [RecordedLabel(n, 0.0, Label("p", label, name, float(n))) for n, (name, label) in enumerate(said.items(), 1)]


def test_truth_takes_two_who_agree() -> None:
    """One alone says nothing, two who differ neither; a third may decide, but not where all must agree."""
    assert known(labels(eva="crack")) is None
    assert known(labels(eva="crack", max="good")) is None
    assert known(labels(eva="crack", max="unsure")) is None
    assert known(labels(eva="crack", max="good", li="crack")) == ("crack", ("eva", "li"))
    assert known(labels(eva="crack", max="good", li="crack"), unanimous=True) is None
    assert known(labels(eva="good", max="good"), unanimous=True) == ("good", ("eva", "max"))


def candidate(name: str, reference: str, exceedance: float) -> Candidate:
    return Candidate(verdict(name, exceedance=exceedance), reference)


def test_parts_are_taken_by_kind_and_only_where_they_can_be_shown() -> None:
    """As many of each kind as asked for; one without a picture is passed over; too few are named, kind by kind."""
    pool = [candidate(f"d{n}", "crack", 1.9) for n in range(4)]
    pool += [candidate(f"g{n}", "good", 0.1) for n in range(4)]
    pool += [candidate("b0", "crack", 0.8), candidate("b1", "good", 1.2)]
    assert [kind_of(one, "good") for one in (pool[0], pool[4], pool[8])] == [Kind.DEFECT, Kind.GOOD, Kind.BORDERLINE]
    wanted = shared_out(6, dict.fromkeys(Kind, 1.0))
    taken = chosen(pool, "good", wanted, lambda shown: shown.part_id != "d0", Random(1))
    assert sorted(part.kind for part in taken) == [Kind.BORDERLINE] * 2 + [Kind.DEFECT] * 2 + [Kind.GOOD] * 2
    assert "d0" not in {part.part_id for part in taken}
    with pytest.raises(InvalidInput, match=r"0 of 2 good parts, 1 of 2 borderline parts; expected more second looks"):
        chosen([pool[0], pool[1], pool[8]], "good", wanted, lambda _: True, Random(1))
