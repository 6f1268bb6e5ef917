"""What must hold of a plant after any fault."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field

from service.ledger.store import SqlLedger, open_ledger
from service.monitor import Monitor
from service.thresholds import parse
from tests.faults.plant import CLOSES_AFTER, THRESHOLDS, Plant, fed_as

ALL = 10_000_000


@dataclass(slots=True)
class Found:
    """lost, doubled, wrong: what was, in words. again: verdicts that went out more than once, as recorded. unseen: parts that were
    fed and not recorded by the end."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    again: int = 0
    unseen: int = 0
    pages: int = 0

    @property
    def bad(self) -> list[str]:
        return [*dict.fromkeys((*self.lost, *self.doubled, *self.wrong))]


def check_running(plant: Plant, found: Found) -> None:
    """At any moment: what went out is recorded as it went out, what was acknowledged is there, nothing is there twice."""
    acknowledged = dict(plant.acknowledged)
    released = plant.released()
    with closing(open_ledger(plant.ledger, time.time, read_only=True)) as ledger:
        _compare(ledger, released, acknowledged, found)


def _compare(ledger: SqlLedger, released: list[dict[str, str]], acknowledged: dict[str, str], found: Found) -> None:
    rows = ledger.parts_after(0, ALL)
    labels = [(row.label.part_id, row.label.label) for row in ledger.labels_after(0, ALL)]
    recorded = {row.verdict.part_id: row.verdict.outcome.value for row in rows}
    for one in released:
        if one["part_id"] not in recorded:
            found.lost.append(f"the verdict of {one['part_id']} was released and is not recorded")
        elif recorded[one["part_id"]] != one["verdict"]:
            found.wrong.append(
                f"{one['part_id']} was released as {one['verdict']}, recorded as {recorded[one['part_id']]}"
            )
    there = set(labels)
    found.lost += [
        f"the label of {part} was acknowledged and is not there"
        for part in acknowledged
        if (part, acknowledged[part]) not in there
    ]
    found.doubled += _double("part {} is recorded", Counter(fed_as(row.verdict.part_id) for row in rows))
    found.doubled += _double("ordinal {} is given", Counter(row.ordinal for row in rows))
    found.doubled += _double("a label of {} is there", Counter(part for part, _ in labels))
    if sorted(row.ordinal for row in rows) != list(range(len(rows))):
        found.wrong.append("ordinals have a gap")
    moments = [row.recorded_at for row in rows]
    if moments != sorted(moments):
        found.wrong.append("the ledger's time goes back")


def check_ended(plant: Plant, found: Found) -> None:
    """Besides, once the plant has drained: the station's pages are those of a ledger read from scratch, and `ledger verify`, which
    computes every figure from scratch, finds nothing."""
    check_running(plant, found)
    time.sleep(CLOSES_AFTER + 1)  # so that no bucket closes between the two
    page = plant.call("GET", "/v1/pages").json()
    with closing(open_ledger(plant.ledger, time.time, read_only=True)) as ledger:
        anew = Monitor(ledger, lambda: parse(THRESHOLDS), time.time).snapshot()
        recorded = {fed_as(row.verdict.part_id) for row in ledger.parts_after(0, ALL)}
    shown = sorted((one["defect"], one["raised_at"], one["began_with"]) for one in page)
    known = sorted((one.defect, one.raised_at, one.began_ordinal) for one in anew.lines["a"].pages)
    if shown != known:
        found.wrong.append(f"pages {shown} at the station, {known} from scratch")
    found.pages = len(known)
    fed = {f"p{number}" for number in range(plant.fed)}
    found.wrong += [f"{part} is recorded and was never fed" for part in sorted(recorded - fed)]
    found.unseen = len(fed - recorded)
    found.again = sum(n - 1 for n in Counter(one["part_id"] for one in plant.released()).values())
    done = plant.command("ledger", "verify")
    if done.returncode or done.stdout.splitlines()[-1:] != ["good"]:
        found.wrong.append(f"ledger verify: {done.stdout}{done.stderr}")


def _double(what: str, counts: Counter[str] | Counter[int]) -> list[str]:
    return [f"{what.format(one)} {times} times" for one, times in counts.items() if times > 1]
