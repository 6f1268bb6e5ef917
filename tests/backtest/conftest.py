"""A line of whose every part the truth is known, recorded and labelled as a line would have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from random import Random

import pytest

from service.demo.replay import STARTS_AT, SimulatedClock
from service.ledger.store import SqlLedger, open_ledger
from service.monitor import Monitor
from service.quality.draw import band
from service.records import DrawPolicy, Label, LineSnapshot, Outcome, ShadowVerdict, Verdict
from service.thresholds import parse
from tests.line import LINE, MODEL

RULES = parse(
    """
    defaults:
      recall: {page: 0.8, warn: 0.9}
      windows: [{parts: 20000}]
      bucket: {parts: 500, closes_after: 10m}
      false_page_every: 2h
      audit: {budget: 0.25}
    """
)
WEIGHTS = (4, 4, 4, 3, 2)
PARTS, FALLS_AT = 20_000, 12_000
OTHER = "e" * 64


@dataclass
class Recorded:
    """truth: {part id: (whether it is defective, u under the model of record, u under the shadow)}."""

    ledger: SqlLedger
    clock: SimulatedClock
    truth: dict[str, tuple[bool, float, float]] = field(default_factory=dict)
    said: list[tuple[float, LineSnapshot]] = field(default_factory=list)

    def recall(self, limit: float, shadow: bool = False, first: int = 0) -> float:
        """Share of the defective parts, from this ordinal on, whose u reaches the limit."""
        bad = [us[shadow] for part, (defective, *us) in self.truth.items() if defective and int(part[1:]) >= first]
        return sum(u >= limit for u in bad) / len(bad)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """One part a second, one in twenty defective; from FALLS_AT on their scores are lower. Labels come after a minute."""
    clock, dice = SimulatedClock(), Random(3)
    folder = tmp_path_factory.mktemp("recorded")
    with closing(open_ledger(f"sqlite:///{folder}/ledger.db", clock)) as ledger:
        ledger.register(MODEL)
        ledger.set_draw_policy(DrawPolicy(0, LINE, 0.0, WEIGHTS, 0.25))
        found = Recorded(ledger, clock)
        monitor = Monitor(ledger, lambda: RULES, clock)
        for first in range(0, PARTS, 500):
            _produce(found, range(first, first + 500), dice)
            if first % 5_000 == 0:
                found.said.append((clock.now, monitor.snapshot().lines[LINE]))
        yield found


def _produce(found: Recorded, numbers: range, dice: Random) -> None:
    verdicts = [_verdict(found, number, dice) for number in numbers]
    found.clock.now = verdicts[-1].captured_at
    found.ledger.record(verdicts)
    shadows = [
        ShadowVerdict(v.part_id, LINE, OTHER, (0.5, 0.5), u, "crack" if u >= 1 else "good", u >= 1)
        for v, (_, _, u) in ((v, found.truth[v.part_id]) for v in verdicts[: len(verdicts) // 2])
    ]
    found.ledger.record_shadow(shadows)
    found.clock.now += 60
    labels = []
    for verdict in verdicts:
        word = "crack" if found.truth[verdict.part_id][0] else "good"
        people = ("ines", "eva") if verdict.outcome is Outcome.AUDIT and word == "crack" else ("ines",)
        if verdict.outcome is not Outcome.PASS:
            labels += [Label(verdict.part_id, word, inspector, found.clock.now) for inspector in people]
    found.ledger.add_labels(labels)


def _verdict(found: Recorded, number: int, dice: Random) -> Verdict:
    bad = dice.random() < 0.05
    low = 0.9 if number < FALLS_AT else 0.0
    u = dice.uniform(low, 2) if bad else min(1.6, 0.3 * dice.expovariate(1))
    found.truth[f"p{number}"] = bad, u, u * 1.2 if bad else u * 0.9
    flagged = u >= 1
    at = None if flagged else band(u)
    weight = 1 if at is None else WEIGHTS[at]
    outcome = Outcome.REJECT if flagged else Outcome.AUDIT if dice.random() < 1 / weight else Outcome.PASS
    return Verdict(
        part_id=f"p{number}",
        line=LINE,
        camera="left",
        captured_at=STARTS_AT + number,
        model=MODEL.digest,
        thresholds="t",
        scores=(1 - u / 2, u / 2),
        exceedance=u,
        predicted="crack" if flagged else "good",
        outcome=outcome,
        band=at,
        weight=weight,
        policy=1,
    )
