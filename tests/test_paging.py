"""Pages, late labels and challenge parts, followed through a real ledger: what is known when, and that a restart knows the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import fields, replace
from pathlib import Path
from random import Random

import pytest
from pytest import approx

from service.demo.replay import SimulatedClock
from service.drawing import DrawPolicies, Steward
from service.errors import InvalidInput
from service.ledger.store import SqlLedger, open_ledger
from service.monitor import Monitor
from service.ports import DetectorInfo
from service.records import (
    ALL,
    UNSURE,
    ChallengePart,
    Detector,
    DrawPolicy,
    Label,
    LineSnapshot,
    Outcome,
    ShadowVerdict,
    Source,
    State,
    Verdict,
    WindowQuality,
)
from service.thresholds import Thresholds, parse
from tests.line import LINE, MODEL

RULES = """
defaults:
  recall: {page: 0.8, warn: 0.9}
  windows: [{parts: 400}]
  bucket: {parts: 100, closes_after: 10m}
  false_page_every: 30d
  audit: {budget: 0.25}
"""
THRESHOLDS = parse(RULES)
WEIGHT, BUCKET = 4, 100


class Factory:
    """A line whose every tenth part is rejected and every fourth of the others drawn, a part a second."""

    def __init__(self, ledger: SqlLedger, clock: SimulatedClock) -> None:
        self.ledger, self.clock, self.count = ledger, clock, 0
        self.model = MODEL.digest

    def activate(self, digest: str) -> None:
        """Another model of the same classes takes over."""
        self.model = digest
        self.ledger.register(replace(MODEL, digest=digest, since=self.clock.now))

    def part(self, outcome: Outcome, part_id: str = "", policy: int = 1, thresholds: str = "t") -> Verdict:
        self.clock.now += 1.0
        flagged = outcome is Outcome.REJECT
        verdict = Verdict(
            part_id=part_id or f"p{self.count}",
            line=LINE,
            camera="left",
            captured_at=self.clock.now,
            model=self.model,
            thresholds=thresholds,
            scores=(0.1, 0.9) if flagged else (0.9, 0.1),
            exceedance=1.8 if flagged else 0.2,
            predicted="crack" if flagged else "good",
            outcome=outcome,
            band=None if flagged else 1,
            weight=1 if flagged else WEIGHT,
            policy=policy,
            lot=f"lot-{self.count // 50}",
        )
        self.count += 1
        (recorded,) = self.ledger.record([verdict])
        return recorded

    def bucket(self, missed: int, labelled: bool = True, policy: int = 1) -> list[Verdict]:
        """A bucket of which this many audits turn out to be defects; its rejects are defects."""
        made = []
        for number in range(BUCKET):
            drawn = Outcome.AUDIT if number % 4 == 1 else Outcome.PASS
            made.append(self.part(Outcome.REJECT if number % 10 == 0 else drawn, policy=policy))
        if labelled:
            self.label_all(made, missed)
        return made

    def label_all(self, made: list[Verdict], missed: int) -> None:
        audits = [verdict for verdict in made if verdict.outcome is Outcome.AUDIT]
        for verdict in made:
            if verdict.outcome is Outcome.REJECT:
                self.label(verdict, "crack")
        for position, verdict in enumerate(audits):
            self.label(verdict, "crack" if position < missed else "good", "ines")
            if position < missed:
                self.label(verdict, "crack", "otto")

    def label(self, verdict: Verdict, label: str, inspector: str = "ines") -> None:
        self.ledger.add_labels([Label(verdict.part_id, label, inspector, self.clock.now)])

    def wait(self, seconds: float = 700.0) -> None:
        self.clock.now += seconds


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def factory(tmp_path: Path, clock: SimulatedClock) -> Iterator[Factory]:
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock)) as ledger:
        ledger.register(MODEL)
        yield Factory(ledger, clock)


@pytest.fixture
def look(factory: Factory, clock: SimulatedClock) -> Callable[..., LineSnapshot]:
    """The line as a monitor that has lived through everything sees it; it must agree with one that has just been started."""
    lived = Monitor(factory.ledger, lambda: THRESHOLDS, clock)

    def looking(thresholds: Thresholds = THRESHOLDS) -> LineSnapshot:
        anew = Monitor(factory.ledger, lambda: thresholds, clock).snapshot()
        if thresholds is THRESHOLDS:
            assert lived.snapshot() == anew
        return anew.lines[LINE]

    return looking


def crack(line: LineSnapshot, rows: str = "quality") -> WindowQuality:
    (row,) = [row for row in getattr(line, rows) if row.defect == "crack"]
    return row


Look = Callable[..., LineSnapshot]


def test_a_page_that_a_correction_takes_back_stays_listed(factory: Factory, look: Look) -> None:
    """It was raised when its bucket closed and taken back when the inspectors changed their minds; a restart knows both."""
    factory.bucket(0)
    bad = factory.bucket(15)
    factory.wait()
    (page,) = look().pages
    assert page.standing and page.step == 1 and page.detector is Detector.AUDIT
    assert page.raised_at == bad[-1].captured_at + 600
    for verdict in bad:
        if verdict.outcome is Outcome.AUDIT:
            for inspector in ("ines", "otto"):
                factory.label(verdict, "good", inspector)
    corrected_at = factory.clock.now
    factory.wait(5)
    (page,) = look().pages
    assert page.taken_back_at == corrected_at and not page.standing
    assert not any(row.paged for row in look().evidence)


def test_an_acknowledged_page_ends_and_a_line_that_stays_bad_pages_again(factory: Factory, look: Look) -> None:
    """The note is kept with the page; the next one needs evidence of its own."""
    factory.bucket(15)
    factory.wait()
    assert look().at_risk
    factory.ledger.acknowledge(LINE, ALL, "eva", "lens cleaned")
    factory.wait(1)
    (page,) = look().pages
    assert (page.acknowledged_by, page.note, page.standing) == ("eva", "lens cleaned", False)
    assert look().at_risk == {}
    factory.bucket(15)
    factory.wait()
    first, second = look().pages
    assert not first.standing and second.standing and second.step == 1


def test_a_page_clears_once_what_came_after_it_is_proven(factory: Factory, look: Look) -> None:
    """Four good buckets in a window that began after the page: it ends when the fourth closes, not before."""
    rules = parse(RULES.replace("page: 0.8", "page: 0.3"))
    for _ in range(2):
        factory.bucket(25)
    factory.wait()
    assert look(rules).at_risk
    for _ in range(3):
        factory.bucket(0)
        factory.wait()
    assert look(rules).at_risk
    last = factory.bucket(0)
    factory.wait()
    line = look(rules)
    assert crack(line).state is State.PROVEN
    assert line.at_risk == {}
    assert line.pages[-1].cleared_at == last[-1].captured_at + 600


def test_what_was_reported_first_is_kept_beside_what_is_known_now(factory: Factory, look: Look) -> None:
    """A late correction moves the estimate; the first report stays what it was."""
    made = factory.bucket(6)
    factory.wait()
    first = crack(look())
    audits = [verdict for verdict in made if verdict.outcome is Outcome.AUDIT]
    for inspector in ("ines", "otto"):
        factory.label(audits[0], "good", inspector)
    factory.wait(1)
    line = look()
    assert line.late_changes == 2  # the first of the two unsettles the part, the second is its new answer
    assert crack(line, "first_reported") == first
    assert crack(line).false_negative == first.false_negative - 1


def test_labels_that_come_before_their_bucket_closes_are_no_late_ones(factory: Factory, look: Look) -> None:
    """Nothing was reported yet."""
    factory.label_all(factory.bucket(0, labelled=False), 3)
    factory.wait()
    line = look()
    assert line.late_changes == 0
    assert crack(line, "first_reported") == crack(line)


@pytest.mark.parametrize("seed", range(5))
def test_labels_may_come_in_any_order(tmp_path: Path, seed: int) -> None:
    """Early, late, twice, corrected, conflicting: once all of them are there, estimates and evidence are the same."""
    seen = []
    for shuffled in (False, True):
        clock = SimulatedClock()
        with closing(open_ledger(f"sqlite:///{tmp_path}/{shuffled}.db", clock)) as ledger:
            ledger.register(MODEL)
            factory = Factory(ledger, clock)
            dice = Random(seed)
            made = [verdict for _ in range(3) for verdict in factory.bucket(0, labelled=False)]
            labels = [
                Label(verdict.part_id, said, name, verdict.captured_at + dice.random() * 100)
                for verdict in made
                if verdict.outcome is not Outcome.PASS
                for name in dice.sample(["ines", "otto", "ida"], dice.randrange(4))
                for said in dice.sample(["good", "crack", UNSURE], dice.choice([1, 1, 1, 2]))
            ]
            monitor = Monitor(ledger, lambda: THRESHOLDS, clock)
            if shuffled:
                Random(seed + 100).shuffle(labels)
            for first in range(0, len(labels), 20):
                ledger.add_labels(labels[first : first + 20])
                factory.wait(dice.choice([1.0, 300.0]) if shuffled else 1.0)
                monitor.snapshot()
            factory.wait()
            line = monitor.snapshot().lines[LINE]
            seen.append((line.quality, [(row.evidence, row.limit) for row in line.evidence], line.agreement))
    assert seen[0] == seen[1]


def test_a_label_again_is_no_change(factory: Factory, look: Look) -> None:
    """Repeated by an impatient client: no figure moves, no correction is counted."""
    made = factory.bucket(3)
    factory.wait()
    before = look()
    factory.label(made[0], "crack")
    assert (look().quality, look().corrections, look().late_changes) == (before.quality, 0, 0)


def test_missing_labels_leave_the_bucket_out_or_scale_what_came(factory: Factory, look: Look) -> None:
    """Half of the audits back: each miss counts twice. Half of the rejects missing: the bucket says nothing."""
    made = factory.bucket(0, labelled=False)
    rejects = [verdict for verdict in made if verdict.outcome is Outcome.REJECT]
    audits = [verdict for verdict in made if verdict.outcome is Outcome.AUDIT]
    for verdict in rejects:
        factory.label(verdict, "crack")
    for position, verdict in enumerate(audits[: len(audits) // 2]):
        for inspector in ("ines", "otto"):
            factory.label(verdict, "crack" if position < 6 else "good", inspector)
    factory.wait()
    row = crack(look())
    missed = row.recall.denominator - row.recall.numerator
    assert missed == approx(6 * WEIGHT * len(audits) / (len(audits) // 2))
    assert row.worst_lower is not None and row.worst_lower < row.recall.lower
    second = factory.bucket(0, labelled=False)
    for verdict in second[:50]:
        if verdict.outcome is not Outcome.PASS:
            factory.label(verdict, "crack")
    factory.wait()
    assert crack(look()).parts == BUCKET


def test_a_slip_in_an_audit_counts_nowhere_and_two_who_agree_do(factory: Factory, look: Look) -> None:
    """One wrong "crack" among 25 audits would take recall from 1 to 0.71; the second inspector disagrees, the third decides."""
    made = factory.bucket(0)
    audit = next(verdict for verdict in made if verdict.outcome is Outcome.AUDIT)
    factory.label(audit, "crack", "ines")
    factory.wait()
    assert crack(look()).false_negative == 0
    factory.label(audit, "good", "otto")
    assert crack(look()).false_negative == 0
    factory.label(audit, "good", "ida")
    factory.wait(1)
    assert (crack(look()).false_negative, crack(look()).true_negative) == (0, 25)
    naive = 10 / (10 + WEIGHT)
    assert naive == approx(0.714, abs=1e-3)


SLIPS = """
defaults:
  windows: [{parts: 20000}]
  bucket: {parts: 1000, closes_after: 10m}
  audit: {budget: 1.0}
  labels: {second_look: WANTED}
"""


@pytest.mark.parametrize(("second_look", "shown"), [(True, 96 / 100), (False, 96 / 120)])
def test_slips_of_one_in_a_thousand(factory: Factory, second_look: bool, shown: float) -> None:
    """True recall 0.96 at 0.5 % defects, every thousandth audit labelled "crack" by a slip: without a second look 0.80 is shown."""
    rules = parse(SLIPS.replace("WANTED", str(second_look).lower()))
    flagged, start = factory.part(Outcome.REJECT), factory.clock.now
    passed = replace(flagged, outcome=Outcome.AUDIT, band=1, predicted="good", exceedance=0.2)
    kinds = [flagged if n % 200 == 0 and n % 4000 else passed for n in range(1, 20_000)]
    parts = [replace(kind, part_id=f"q{n}", captured_at=start + n) for n, kind in enumerate(kinds, 1)]
    labels = [Label(flagged.part_id, "crack", "ines", start)]
    for part in parts:
        defective = int(part.part_id[1:]) % 200 == 0
        slipped = int(part.part_id[1:]) % 1000 == 1
        labels.append(Label(part.part_id, "crack" if defective != slipped else "good", "ines", part.captured_at))
        if second_look and (defective or slipped) and not part.flagged:
            labels.append(Label(part.part_id, "crack" if defective else "good", "otto", part.captured_at))
            if slipped:
                labels.append(Label(part.part_id, "crack" if defective else "good", "ida", part.captured_at))
    factory.ledger.record(parts)
    factory.ledger.add_labels(labels)
    factory.wait(21_000)
    row = crack(Monitor(factory.ledger, lambda: rules, factory.clock).snapshot().lines[LINE])
    assert row.parts == 20_000
    assert row.recall.numerator / row.recall.denominator == shown


def rabbit(name: str = "RR", **changes: object) -> ChallengePart:
    return replace(ChallengePart(LINE, name, "crack", 0.0), **changes)  # type: ignore[arg-type]


def test_challenge_parts_stay_out_of_every_production_figure(factory: Factory, look: Look) -> None:
    """Registered before or reported afterwards, labelled or not: the same figures, as if other parts had been there."""
    factory.ledger.register_challenge(rabbit())
    for number in range(3):
        factory.part(Outcome.REJECT if number else Outcome.AUDIT, f"RR~{number}")
    late = factory.part(Outcome.AUDIT, "unmarked")
    for inspector in ("ines", "otto"):
        factory.label(late, "crack", inspector)
    for _ in range(96):
        factory.part(Outcome.PASS)
    factory.wait()
    assert crack(look()).false_negative == 1
    factory.ledger.report_challenge("unmarked", "RR", "eva")
    factory.wait(1)
    line = look()
    row = crack(line)
    assert (row.parts, row.true_positive, row.false_negative) == (96, 0, 0)
    assert (line.challenges.caught, line.challenges.missed) == (2, 2)
    assert line.pending == {Source.REVIEW: 0, Source.AUDIT: 0}
    assert line.labels == {(Source.AUDIT, "crack"): 2}
    factory.label(late, "good", "ida")
    assert look().labels[Source.CHALLENGE, "good"] == 1
    assert crack(look()).true_negative == 0


def test_missed_challenge_parts_page_by_a_meter_of_their_own(factory: Factory, look: Look) -> None:
    """Red rabbits that go through page, although no audit has found anything; a caught one never does."""
    factory.ledger.register_challenge(rabbit())
    for number in range(8):
        factory.part(Outcome.REJECT, f"RR~caught{number}")
    assert not look().pages
    for number in range(16):
        factory.part(Outcome.PASS, f"RR~missed{number}")
    pages = look().pages
    assert pages and {page.detector for page in pages} == {Detector.CHALLENGE}
    assert {row.detector for row in look().evidence} == {Detector.CHALLENGE}


def test_challenge_parts_share_the_promise(factory: Factory, look: Look) -> None:
    """1/c = 1/c1 + 1/c2: from the first registration on, each of the two meters gets half of the false pages."""
    factory.bucket(0)
    factory.wait()
    (alone,) = look().evidence
    factory.ledger.register_challenge(rabbit())
    factory.bucket(0)
    factory.wait()
    (shared,) = look().evidence
    seconds = [(99.0 + 700 * 0) / 1, (99.0 + 700 + 100) / 2]
    assert alone.limit == approx(30 * 86_400 / seconds[0])
    assert shared.limit == approx(2 * 30 * 86_400 / seconds[1])


def test_parts_at_risk_begin_behind_what_was_proven(factory: Factory, look: Look) -> None:
    """Buckets that closed PROVEN are out of doubt; everything passed since then is not, the newest part included."""
    thresholds = parse(RULES.replace("page: 0.8", "page: 0.55"))
    for _ in range(4):
        factory.bucket(0)
    for _ in range(2):
        factory.bucket(20)
    for _ in range(30):
        factory.part(Outcome.PASS)
    factory.wait()
    line = look(thresholds)
    proven = [page.at_risk_from for page in line.pages if page.standing]
    assert proven and min(proven) == 400
    assert line.at_risk == {"crack": 2 * 90 + 30}
    lots = factory.ledger.lots_at_risk(LINE, 400)
    assert sum(count for _, count in lots) == 210
    assert lots[0][0] == "lot-8"
    rows = factory.ledger.at_risk(LINE, 400, 0, 1000)
    assert len(rows) == 210 and all(row.verdict.outcome is not Outcome.REJECT for row in rows)


def test_a_challenge_that_was_caught_frees_the_parts_before_it_unless_a_miss_was_found(
    factory: Factory, look: Look
) -> None:
    """Never proven, but a red rabbit was caught in bucket 2: parts from there on are in doubt. A miss in bucket 0 undoes that."""
    factory.ledger.register_challenge(rabbit())
    early = factory.bucket(0)
    factory.bucket(0)
    factory.part(Outcome.REJECT, "RR~ok")
    factory.bucket(0)
    for _ in range(2):
        factory.bucket(20)
    factory.wait()
    assert {page.at_risk_from for page in look().pages} == {200}
    audit = next(verdict for verdict in early if verdict.outcome is Outcome.AUDIT)
    for inspector in ("ines", "otto"):
        factory.label(audit, "crack", inspector)
    factory.wait(1)
    assert {page.at_risk_from for page in look().pages if page.standing} == {0}


def test_overdue_after_a_change_of_thresholds(factory: Factory, look: Look) -> None:
    """The change is seen in the records; the line must have gone on past the due moment."""
    factory.ledger.register_challenge(rabbit(after_change=True, within=5.0))
    for _ in range(10):
        factory.part(Outcome.PASS)
    assert look().challenges.overdue == {}
    changed = factory.part(Outcome.PASS, thresholds="u")
    for _ in range(6):
        factory.part(Outcome.PASS, thresholds="u")
    assert look().challenges.overdue == {"RR": changed.captured_at}
    factory.part(Outcome.REJECT, "RR~1", thresholds="u")
    assert look().challenges.overdue == {}


INFO = DetectorInfo("m", MODEL.digest, MODEL.classes, MODEL.good, MODEL.decision_thresholds, "CPU")


def test_rising_evidence_draws_four_times_as_many_until_it_has_sunk(
    factory: Factory, look: Look, clock: SimulatedClock
) -> None:
    """The steward writes the policy, the worker reads it, and the meter's bets follow the budget of each bucket."""
    thresholds = parse(RULES.replace("budget: 0.25", "budget: 0.1"))
    policies = DrawPolicies(LINE, factory.ledger, lambda: thresholds, clock, INFO)
    steward = Steward(factory.ledger, clock)
    first = policies.current()
    assert (first.budget, first.surge) == (0.1, False)
    factory.bucket(0, policy=first.number)
    factory.bucket(4, policy=first.number)
    factory.wait()
    steward.look(look(thresholds))
    surge = policies.current()
    assert (surge.budget, surge.surge) == (0.4, True)
    assert max(surge.weights) < max(first.weights)
    factory.bucket(0, policy=surge.number)
    for _ in range(12):
        factory.bucket(0, policy=surge.number)
    factory.wait()
    steward.look(look(thresholds))
    clock.now += 5
    assert policies.current().surge is False
    written = len(factory.ledger.draw_policies(LINE))
    steward.look(look(thresholds))
    assert len(factory.ledger.draw_policies(LINE)) == written  # nothing new is asked for


def test_hits_alone_never_page_whatever_budgets_a_line_had(factory: Factory, look: Look) -> None:
    """Years at a tiny budget let the meter rise high on hits; a larger budget later does not turn that into a page."""
    rules = parse(RULES.replace("budget: 0.25", "budget: 0.9").replace("false_page_every: 30d", "false_page_every: 1s"))
    low = factory.ledger.set_draw_policy(DrawPolicy(0, LINE, 0.0, (WEIGHT,) * 5, 0.0005))
    high = factory.ledger.set_draw_policy(DrawPolicy(0, LINE, 0.0, (WEIGHT,) * 5, 0.9))
    for policy in (*[low] * 8, *[high] * 2):
        factory.bucket(0, policy=policy.number)
    factory.wait()
    line = look(rules)
    assert line.pages == ()
    assert line.evidence[0].evidence < line.evidence[0].limit
    assert line.evidence[0].limit > 1.0 / 0.0005 / 3  # 1.01 times what the shyest bet alone can reach


def test_an_edited_budget_takes_effect_at_once_and_once(factory: Factory, clock: SimulatedClock) -> None:
    """The worker writes it down when its own file changes, and does not quarrel with what the steward learned."""
    current = [THRESHOLDS]
    policies = DrawPolicies(LINE, factory.ledger, lambda: current[0], clock, INFO)
    policies.current()
    factory.ledger.set_draw_policy(DrawPolicy(0, LINE, clock.now, (9, 9, 9, 3, 1), 0.2))
    clock.now += 5
    assert policies.current().budget == 0.2
    current[0] = parse(RULES.replace("budget: 0.25", "budget: 0.5"))
    assert policies.current().budget == 0.5
    assert len(factory.ledger.draw_policies(LINE)) == 3


def test_the_draw_is_checked_against_its_probabilities(factory: Factory, look: Look) -> None:
    """A quarter of the passed parts was drawn as promised; a line that draws an eighth raises a tiny probability."""
    for _ in range(3):
        factory.bucket(0)
    factory.wait()
    assert (look().draw_check or 0) > 0.01
    for _ in range(3 * BUCKET):
        factory.part(Outcome.PASS)
    factory.wait()
    assert (look().draw_check or 0) < 1e-6


def test_windows_and_evidence_begin_anew_with_a_model(factory: Factory, look: Look) -> None:
    """From its first part on nothing of the old model is in any figure of the new one; the old one's figures are kept."""
    for missed in (0, 0, 2):
        factory.bucket(missed)
    factory.wait()
    before = look()
    assert before.evidence[0].evidence > 0 and len(before.terms) == 1 and before.terms[0].quality == ()
    factory.activate("e" * 64)
    assert crack(look()) == crack(before)  # no part of its own yet
    factory.part(Outcome.PASS)
    line = look()
    assert crack(line).parts == 0 and crack(line).state is State.UNKNOWN
    assert "begin anew with model eeeeeeeeeeee" in crack(line).reason
    assert [row.parts for row in line.provisional] == [1, 1]
    assert line.evidence[0].evidence == 0 and line.evidence[0].limit == before.evidence[0].limit
    old, new = line.terms
    assert (old.model, old.first, old.parts, old.ended_at) == (MODEL.digest, 0, 300, before.last_captured_at)
    assert (new.model, new.first, new.parts, new.ended_at) == ("e" * 64, 300, 1, None)
    (kept,) = [row for row in old.quality if row.defect == "crack"]
    assert replace(kept, window="400 parts") == crack(before)
    factory.bucket(0)
    factory.wait()
    assert (crack(look()).parts, look().closed_buckets) == (100, 4)


def test_a_bucket_that_another_model_cut_short_closes_as_any_other(factory: Factory, look: Look) -> None:
    """Its parts are the old model's, and so is a label that comes to it late."""
    for _ in range(30):
        cut = factory.part(Outcome.REJECT)
        factory.label(cut, "crack")
    factory.activate("e" * 64)
    factory.bucket(0)
    factory.wait()
    line = look()
    assert line.closed_buckets == 2 and crack(line).true_positive == 10
    assert line.terms[0].quality[0].true_positive == 30
    factory.label(cut, "good")
    assert look().terms[0].quality[0].true_positive == 29 and crack(look()).true_positive == 10


def test_a_page_about_the_old_model_stands_until_the_new_one_is_proven(factory: Factory, look: Look) -> None:
    """A swap resolves nothing by itself: the parts that the old model passed are still out there."""
    rules = parse(RULES.replace("page: 0.8", "page: 0.3"))
    for _ in range(2):
        factory.bucket(25)
    factory.activate("e" * 64)
    factory.part(Outcome.PASS)
    factory.wait()
    line = look(rules)
    assert line.pages[0].standing and line.evidence[0].paged and line.evidence[0].evidence == 0
    for _ in range(4):
        factory.bucket(0)
    factory.wait()
    line = look(rules)
    assert crack(line).state is State.PROVEN
    assert line.pages[0].cleared_at is not None and line.at_risk == {}


def test_going_back_to_a_model_begins_anew_too(factory: Factory, look: Look) -> None:
    """Nobody can tell what has changed at the line meanwhile; three terms are listed."""
    factory.bucket(0)
    factory.activate("e" * 64)
    factory.bucket(0)
    factory.activate(MODEL.digest)
    factory.part(Outcome.PASS)
    factory.wait()
    line = look()
    assert crack(line).parts == 0
    assert [(term.model[0], term.first) for term in line.terms] == [("d", 0), ("e", 100), ("d", 200)]


def shadowed(part: Verdict, flagged: bool, model: str = "s") -> ShadowVerdict:
    """What a shadow would have said of a part."""
    return ShadowVerdict(part.part_id, LINE, model, (0.5, 0.5), 1.0, "crack" if flagged else "fine", flagged)


def test_a_shadow_is_compared_on_the_labelled_parts(factory: Factory, look: Look) -> None:
    """Whether its verdict or the label came first, what it said of parts nobody drew left out, corrections followed."""
    made = factory.bucket(0, labelled=False)
    early, late = made[:50], made[50:]
    factory.ledger.record_shadow([shadowed(part, part.outcome is Outcome.AUDIT) for part in early])
    look()
    factory.label_all(made, 0)
    look()
    factory.ledger.record_shadow([shadowed(part, part.outcome is Outcome.AUDIT) for part in late])
    (every, kind) = look().comparisons
    assert (every.active, every.shadow, every.defect, every.parts) == (MODEL.digest, "s", ALL, 100)
    assert every.labelled == sum(part.outcome is not Outcome.PASS for part in made)
    assert every.recall == (1.0, 0.0) and kind.caught.by_active == 10 and kind.caught.by_shadow == 0
    audits = [part for part in made if part.outcome is Outcome.AUDIT]
    assert every.false_rejects.by_shadow == WEIGHT * len(audits)
    for inspector in ("ines", "otto"):
        factory.label(audits[0], "crack", inspector)
    assert look().comparisons[0].caught.by_shadow == WEIGHT
    factory.ledger.register_challenge(rabbit("RR"))
    factory.ledger.report_challenge(audits[0].part_id, "RR", "eva")
    assert look().comparisons[0].caught.by_shadow == 0


class Chance:
    """A line with two kinds of defect on which anything happens: each method is one thing that people or machines do."""

    RULES = parse(RULES.replace("30d", "1h").replace("parts: 100,", "parts: 40,").replace("parts: 400", "parts: 160"))
    CLASSES = ("good", "crack", "dent")

    def __init__(self, ledger: SqlLedger, clock: SimulatedClock, seed: int) -> None:
        self.ledger, self.clock, self.dice = ledger, clock, Random(seed)
        self.factory = Factory(ledger, clock)
        self.made: list[Verdict] = []
        self.policies = 0
        self.swap()

    def swap(self) -> None:
        self.factory.model = self.dice.choice("abc") * 64
        known = replace(MODEL, classes=self.CLASSES, decision_thresholds={"crack": 0.5, "dent": 0.5})
        self.ledger.register(replace(known, digest=self.factory.model))

    def something(self) -> None:
        things = [self.produce, self.label, self.challenge, self.take_on, self.draw, self.swap, self.shadow]
        self.dice.choices(things, [6, 8, 1, 1, 1, 0.5, 3])[0]()
        self.clock.now += self.dice.choice([0.0, 1.0, 30.0, 700.0])

    def produce(self) -> None:
        for _ in range(self.dice.randrange(60)):
            outcome = self.dice.choices(list(Outcome), [6, 1, 2])[0]
            name = f"RR{self.dice.randrange(3)}~{self.factory.count}" if self.dice.random() < 0.05 else ""
            policy = self.dice.randrange(self.policies + 1)
            self.made.append(self.factory.part(outcome, name, policy, thresholds=self.dice.choice("ttttu")))

    def label(self) -> None:
        chosen = [part.part_id for part in self.dice.sample(self.made, min(len(self.made), self.dice.randrange(40)))]
        early = [f"p{self.factory.count + self.dice.randrange(9)}"] * (self.dice.random() < 0.3)
        said = [
            Label(part_id, self.dice.choice([*self.CLASSES, "crack", UNSURE]), inspector, self.clock.now)
            for part_id in [*chosen, *early]
            for inspector in self.dice.sample(["ines", "otto", "ida"], self.dice.randrange(3))
        ]
        self.ledger.add_labels(said)

    def challenge(self) -> None:
        name, kind = f"RR{self.dice.randrange(3)}", self.dice.choice(self.CLASSES)
        self.ledger.register_challenge(rabbit(name, expected=kind, every=50.0, retired=self.dice.random() < 0.2))
        if self.made:
            with suppress(InvalidInput):  # reported before as another
                self.ledger.report_challenge(self.dice.choice(self.made).part_id, name, "eva")

    def shadow(self) -> None:
        models = [self.dice.choice("xy"), "x"]
        self.ledger.record_shadow(
            [
                shadowed(part, self.dice.choice([True, False]), models[0])
                for part in self.dice.sample(self.made, len(self.made) // 3)
            ]
        )

    def take_on(self) -> None:
        self.ledger.acknowledge(LINE, self.dice.choice([ALL, "crack", "dent"]), "eva", "")

    def draw(self) -> None:
        budget = self.dice.choice([0.01, 0.25, 1.0])
        self.policies = self.ledger.set_draw_policy(DrawPolicy(0, LINE, 0.0, (WEIGHT,) * 5, budget)).number


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_a_restart_knows_the_same(tmp_path: Path, seed: int) -> None:
    """Who lived through it agrees with who has just been started, page by page."""
    dice, clock = Random(seed), SimulatedClock()
    with closing(open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock)) as ledger:
        chance, lived = Chance(ledger, clock, seed), Monitor(ledger, lambda: Chance.RULES, clock)
        for _ in range(60):
            chance.something()
            if dice.random() < 0.6:
                lived.snapshot()
                clock.now += 0.001  # nothing is recorded at a moment that has been looked at
        clock.now += 2000.0
        seen, anew = lived.snapshot(), Monitor(ledger, lambda: Chance.RULES, clock).snapshot()
        for field in fields(LineSnapshot):
            assert getattr(seen.lines[LINE], field.name) == getattr(anew.lines[LINE], field.name), field.name
        assert seen == anew
        assert seen.lines[LINE].closed_buckets > 3 and seen.lines[LINE].labels and seen.lines[LINE].comparisons
