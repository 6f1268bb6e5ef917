"""A snapshot made by hand, with every kind of figure in it once."""

from __future__ import annotations

from dataclasses import replace

from service.records import (
    ALL,
    AgreementState,
    ChallengeState,
    Comparison,
    Detector,
    DrawAdvice,
    Escapes,
    Estimate,
    EvidenceState,
    FailSafe,
    Heartbeat,
    Histogram,
    InspectorAgreement,
    LineSnapshot,
    ModelInForce,
    OneSided,
    Outcome,
    Page,
    Snapshot,
    Source,
    State,
    Term,
    WindowQuality,
)

AT = 1_700_000_000.0
KNOWN = Estimate(0.8, 0.7, 0.9, 80.0, 100.0, 20)
WITHHELD = Estimate(None, 0.5, 1.0, 8.0, 9.0, 1, "1 audited miss; a point needs 5")
NOTHING = Estimate(None, 0.0, 1.0, 0.0, 0.0, 0, "no audited part is labelled in the window")


def row(defect: str, window: str, recall: Estimate, observed: float | None = 0.97) -> WindowQuality:
    """One row of quality of line `a`."""
    return WindowQuality(
        line="a",
        defect=defect,
        window=window,
        parts=1000,
        escapes=Escapes(20.0, 60.0, 7, 50.0) if recall is not NOTHING else None,
        largest_weight=50.0,
        true_positive=80,
        false_positive=5,
        false_negative=4,
        true_negative=60,
        recall=recall,
        observed=observed,
        precision=KNOWN if recall is not NOTHING else NOTHING,
        false_reject=0.01 if recall is not NOTHING else None,
        named_right=recall,
        ceiling=0.97 if recall is not NOTHING else None,
        worst_lower=0.4 if recall is not NOTHING else None,
        threshold=0.75,
        state=State.UNDECIDED,
        reason=recall.reason,
    )


QUALITY = (
    row(ALL, "24h", KNOWN),
    row("crack", "24h", WITHHELD),
    row(ALL, "10000 parts", NOTHING, None),
    row("crack", "10000 parts", NOTHING, None),
)

MODEL = ModelInForce(
    "a", "d" * 64, "m", ("good", "crack"), "good", {"crack": 0.5}, "CPUExecutionProvider", "active", AT
)

BUSY = LineSnapshot(
    line="a",
    parts={("left", Outcome.PASS): 900, ("left", Outcome.REJECT): 80, ("left", Outcome.AUDIT): 20},
    labels={(Source.REVIEW, "crack"): 75, (Source.AUDIT, "good"): 18},
    corrections=2,
    label_lag=Histogram((60.0, 3600.0, float("inf")), (10, 90, 93), 54_321.0),
    pending={Source.REVIEW: 5, Source.AUDIT: 2},
    last_captured_at=AT - 1,
    last_recorded_at=AT - 0.5,
    last_label_at=AT - 60,
    oldest_pending_at=AT - 600,
    closed_buckets=1,
    open_parts=0,
    defects=(ALL, "crack"),
    quality=QUALITY,
    provisional=(),
    first_reported=QUALITY,
    late_changes=1,
    evidence=(
        EvidenceState("a", "crack", Detector.AUDIT, 12.5, 2160.0, True, 1),
        EvidenceState("a", "crack", Detector.CHALLENGE, 0.8, 540.0, False, 3),
    ),
    pages=(Page("a", "crack", Detector.AUDIT, 0, 1000, AT - 30),),
    at_risk={"crack": 920},
    next_draw=DrawAdvice((15, 15, 15, 6, 2), 0.08, True),
    draw_check=0.25,
    challenges=ChallengeState(3, 1, {"RR-7": AT - 100}, AT - 9000),
    agreement=AgreementState(
        (InspectorAgreement("ines", KNOWN, KNOWN),), {("ines", "otto"): (0.75, 40), ("ines", "ida"): (0.2, 3)}
    ),
    expected={ALL: 0.93, "crack": 0.93},
    drift=0.07,
    terms=(Term("c" * 64, 0, 4000, 4, AT - 9000, AT - 4000), Term("d" * 64, 4000, 1000, 1, AT - 4000, None)),
    comparisons=(
        Comparison(
            "d" * 64,
            "e" * 64,
            "crack",
            900,
            95,
            (0.8, 0.9),
            (0.7, None),
            OneSided(3, 40, 8, 0.03),
            OneSided(0, 0, 0, None),
        ),
        Comparison(
            "c" * 64,
            "e" * 64,
            "crack",
            10,
            0,
            (None, None),
            (None, None),
            OneSided(0, 0, 0, None),
            OneSided(0, 0, 0, None),
        ),
    ),
    not_inspected={FailSafe.REJECT: 6, FailSafe.PASS: 1},
    last_not_inspected_at=AT - 50,
    models=(MODEL, replace(MODEL, digest="e" * 64, name="n", role="shadow")),
    heartbeats=(Heartbeat("a", "w1", AT - 90, AT - 80), Heartbeat("a", "w2", AT - 70, AT - 2)),
)

EMPTY = LineSnapshot(
    line="new",
    parts={},
    labels={},
    corrections=0,
    label_lag=Histogram((60.0, float("inf")), (0, 0), 0.0),
    pending={Source.REVIEW: 0, Source.AUDIT: 0},
    last_captured_at=None,
    last_recorded_at=None,
    last_label_at=None,
    oldest_pending_at=None,
    closed_buckets=0,
    open_parts=0,
    defects=(ALL,),
    quality=(),
    provisional=(),
    first_reported=(),
    late_changes=0,
    evidence=(),
    pages=(),
    at_risk={},
    next_draw=DrawAdvice((57, 57, 55, 38, 9), 0.02, False),
    draw_check=None,
    challenges=ChallengeState(0, 0, {}, None),
    agreement=AgreementState(),
    expected={},
    drift=None,
)

SNAPSHOT = Snapshot(AT, {"a": BUSY, "new": EMPTY}, unknown_part_labels=3)
