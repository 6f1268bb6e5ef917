"""A line that has seen something: hits, overkill, misses of several weights, a return, a challenge part, labels still to come."""

from __future__ import annotations

from dataclasses import replace

from service.records import ChallengePart, Label, Outcome, Verdict
from tests.line import LINE, picture
from tests.station.conftest import Station

PARTS = 120
REJECTS, AUDITS = range(0, PARTS, 5), range(1, PARTS, 4)
GOOD_REJECTS = {30, 40}
MISSES = {49: 8, 53: 8, 57: 2}
"""Number of the part: its draw weight. Two inspectors say so of each."""
LONG_AGO = 9
"""A miss that has left the window."""
SLIP, UNRETURNED, RETURN, RABBIT = 61, 69, 74, 77
"""A defect that one inspector alone has seen; an audit that nobody has; a passed part that came back; a challenge part."""


def name(number: int) -> str:
    return f"RR-7~{number}" if number == RABBIT else f"p{number:03d}"


def fill(station: Station) -> None:
    """Ends two minutes after the last part: every full bucket is closed."""
    station.ledger.register_challenge(ChallengePart(LINE, "RR-7", "crack", station.clock.now))
    for number in range(PARTS):
        station.clock.now += 1
        station.ledger.record([_verdict(station, number)])
        for inspector, word in _said(number):
            station.ledger.add_labels([Label(name(number), word, inspector, station.clock.now)])
    station.clock.now += 120


def _verdict(station: Station, number: int) -> Verdict:
    outcome = Outcome.REJECT if number in REJECTS else Outcome.AUDIT if number in AUDITS else Outcome.PASS
    flagged = outcome is Outcome.REJECT
    weight = MISSES.get(number, 8 if number % 2 else 2)
    verdict = Verdict(
        part_id=name(number),
        line=LINE,
        camera="left" if number % 3 else "right",
        captured_at=station.clock.now,
        model="d" * 64,
        thresholds="t" * 64,
        scores=(0.1, 0.9) if flagged else (0.8, 0.2),
        exceedance=1.8 if flagged else 0.4,
        predicted="crack" if flagged else "good",
        outcome=outcome,
        band=None if flagged else 1 if weight == 8 else 3,
        weight=1 if flagged else weight,
        policy=1,
        lot=f"lot-{number // 25}",
    )
    return replace(verdict, image=station.images.keep(picture(number / PARTS)))


def _said(number: int) -> list[tuple[str, str]]:
    if number in (*MISSES, LONG_AGO):
        return [("ines", "crack"), ("otto", "crack")]
    if number in (SLIP, RETURN, RABBIT):
        return [("ines", "crack")]
    if number in REJECTS:
        return [("ines", "good" if number in GOOD_REJECTS else "crack")]
    return [("ines", "good")] if number in AUDITS and number != UNRETURNED else []
