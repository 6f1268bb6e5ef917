"""A line with parts whose truth two inspectors know: defects, good ones, and some near the decision threshold."""

from __future__ import annotations

from service.records import Kind, Label, Outcome, Verdict
from service.station.planning import EVEN, Asked, Planner
from service.station.samples import Studies
from tests.line import LINE, MODEL, picture
from tests.station.conftest import Station

EXCEEDANCE = {Kind.DEFECT: 1.9, Kind.GOOD: 0.1, Kind.BORDERLINE: 0.9}
DAY = 86_400.0


def record(station: Station, part_id: str, exceedance: float, image: str | None = None, line: str = LINE) -> None:
    """One part with its picture, or with the digest of one that is not there."""
    flagged = exceedance >= 1
    verdict = Verdict(
        part_id=part_id,
        line=line,
        camera="left",
        captured_at=station.clock.now,
        model=MODEL.digest,
        thresholds="t",
        scores=(1 - exceedance / 2, exceedance / 2),
        exceedance=exceedance,
        predicted="crack" if flagged else "good",
        outcome=Outcome.REJECT if flagged else Outcome.AUDIT,
        band=None if flagged else 1,
        weight=1 if flagged else 2,
        policy=1,
        image=station.images.ring(picture(exceedance / 2)) if image is None else image,
    )
    station.ledger.record([verdict])


def known_parts(station: Station, each: int = 4, line: str = LINE) -> None:
    """So many of each kind, seen by Ida and Otto; every other borderline one is a crack."""
    labels = []
    for kind, exceedance in EXCEEDANCE.items():
        for number in range(each):
            part_id = f"{line}-{kind.value}-{number}"
            record(station, part_id, exceedance, line=line)
            bad = kind is Kind.DEFECT or (kind is Kind.BORDERLINE and number % 2 == 0)
            labels += [Label(part_id, "crack" if bad else "good", name, station.clock.now) for name in ("ida", "otto")]
    station.ledger.add_labels(labels)


def asked(
    name: str = "first", parts: int = 6, trials: int = 2, inspectors: str = "eva max", **changes: object
) -> Asked:
    fields: dict[str, object] = {"line": LINE, "share": 1.0, "by": "test", "mix": EVEN, **changes}
    return Asked(name=name, parts=parts, trials=trials, inspectors=tuple(inspectors.split()), **fields)  # type: ignore[arg-type]


def planner(station: Station) -> Planner:
    return Planner(station.ledger, station.images, station.clock)


def answer_all(station: Station, inspector: str, wrong: str = "", line: str = LINE) -> list[str]:
    """Answers what is offered, rightly but for one part; the parts in the order in which they came."""
    studies = Studies(station.ledger, station.clock)
    truth = {
        part.part_id: part.reference
        for study in station.ledger.studies()
        for part in station.ledger.study_parts(study.name)
    }
    seen = []
    while sample := studies.offer([line], inspector):
        right = truth[sample.part_id]
        label = {"crack": "good", "good": "crack"}[right] if sample.part_id == wrong else right
        station.clock.now += 5.0
        studies.answered(sample, inspector, label, station.clock.now)
        seen.append(sample.part_id)
    return seen
