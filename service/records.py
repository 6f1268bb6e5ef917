"""What flows through redrabbit. Frozen, without clock, file, socket or SQL.

Times are seconds since 1970-01-01 UTC (float). Images are uint8 BGR, (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

ALL: Final = "all"
"""The row of all defects together; no class of a model may be called so."""


class Outcome(StrEnum):
    """What the line does with a part. An audit is a passed part that was drawn for a person to look at."""

    PASS = "pass"
    REJECT = "reject"
    AUDIT = "audit"


class Source(StrEnum):
    """Why a label exists. Set from the ledger; a client's word for it is not believed."""

    REVIEW = "review"
    AUDIT = "audit"
    VOLUNTEERED = "volunteered"
    CHALLENGE = "challenge"


class FailSafe(StrEnum):
    """What becomes of a part that has no verdict: it did not arrive in time, or nobody has judged the part."""

    REJECT = "reject"
    STOP = "stop"
    PASS = "pass"


SEPARATOR: Final = "~"
"""Between the name of a challenge part and what tells its passes apart."""


class Detector(StrEnum):
    """What feeds an e-detector: the audits of production parts, or challenge parts."""

    AUDIT = "audit"
    CHALLENGE = "challenge"


class State(StrEnum):
    """What the limits say about a threshold. "No page" is not "OK": only PROVEN is."""

    PROVEN = "PROVEN"
    BELOW = "BELOW"
    UNDECIDED = "UNDECIDED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one part, as a camera hands it over.

    content: the encoded file as bytes (decoded later, untrusted) or a decoded image, uint8 BGR (H, W, 3). trigger: running
    number of what made the camera take it, where that is known: a gap is a part without a picture.
    """

    part_id: str
    line: str
    camera: str
    captured_at: float
    content: bytes | Image
    lot: str = ""
    trigger: int | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture looks, whatever it shows. sharpness: strength of its finest detail against its brightness. brightness: mean,
    in [0, 1]. overexposed: share of its pixels at the upper end of the scale."""

    sharpness: float
    brightness: float
    overexposed: float


@dataclass(frozen=True, slots=True)
class CameraReference:
    """How the pictures of a camera looked when a model (digest) took over: the median of so many. Without pictures: somebody
    asks for it to be taken anew. recorded_at is given by the ledger."""

    line: str
    camera: str
    model: str
    pictures: int
    sharpness: float
    brightness: float
    overexposed: float
    by: str
    recorded_at: float = 0.0

    @property
    def look(self) -> Look:
        return Look(self.sharpness, self.brightness, self.overexposed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The record of one part: what was decided, by which model, under which thresholds and draw.

    scores: one per class of the model, in its order, in [0, 1]. exceedance: u = max over defect classes of
    score / threshold; the part is flagged iff u >= 1. predicted: the defect class of that maximum when flagged, else
    the good class. band, weight: of the audit draw, band None for a flagged part (its weight is 1). policy: number of the
    draw policy it was drawn under. thresholds: digest of the decision thresholds and thresholds.yaml. image: SHA-256
    of the encoded picture, "" when there is none.
    """

    part_id: str
    line: str
    camera: str
    captured_at: float
    model: str
    thresholds: str
    scores: tuple[float, ...]
    exceedance: float
    predicted: str
    outcome: Outcome
    band: int | None
    weight: int
    policy: int
    image: str = ""
    lot: str = ""

    @property
    def flagged(self) -> bool:
        return self.outcome is Outcome.REJECT


NO_PICTURE: Final = "no_picture"
"""Why a part was not inspected whose trigger number was passed over."""


@dataclass(frozen=True, slots=True)
class NotInspected:
    """The record of a part that nobody has judged. It is no part of any window.

    trigger: running number of what should have made the camera take it, where that is known. captured_at: of its own picture; where
    none came, of the picture that showed that it was missing. reason: NO_PICTURE, or why its picture could not be judged. outcome:
    what the line was told to do with it.
    """

    part_id: str
    line: str
    camera: str
    trigger: int | None
    captured_at: float
    reason: str
    outcome: FailSafe


@dataclass(frozen=True, slots=True)
class RecordedVerdict:
    """A verdict as the ledger holds it. ordinal counts the parts of its line from 0, in the order of recording."""

    sequence: int
    ordinal: int
    recorded_at: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Label:
    """What one inspector says a part is. label: a class of the model (the good one included) or UNSURE."""

    part_id: str
    label: str
    inspector: str
    labelled_at: float


UNSURE: Final = "unsure"
"""An answer that is recorded and settles nothing."""


@dataclass(frozen=True, slots=True)
class RecordedLabel:
    """A label as the ledger holds it; sequence grows with every row. A correction is a later row of the same inspector."""

    sequence: int
    recorded_at: float
    label: Label
    client: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """What is left of the parts of a line that were pruned. ordinal: of the first part that counts. buckets: so many, of so many parts
    each (size), the first captured at that time. least_budget: of their audits. meters: {row: {detector: how its meter stood}}."""

    ordinal: int = 0
    buckets: int = 0
    size: int = 1
    first_captured_at: float | None = None
    least_budget: float | None = None
    meters: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Begins:
    """Where figures begin on lines whose older parts were pruned. labels: one up to this sequence that is of no part is of a pruned one."""

    lines: Mapping[str, Past] = field(default_factory=dict)
    labels: int = 0


@dataclass(frozen=True, slots=True)
class ModelInForce:
    """A model as a line's worker registered it. classes in the order of the scores; good is one of them. Without digest: since
    then no model of this role is in force.

    guesses: miss probability per score band, () when not known. scores: validation pictures of each class, counted per bin of
    P(defective) (quality.expected), {} when not known.
    """

    line: str
    digest: str
    name: str
    classes: tuple[str, ...]
    good: str
    decision_thresholds: Mapping[str, float]
    provider: str
    role: str
    since: float
    guesses: tuple[float, ...] = ()
    scores: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def defects(self) -> tuple[str, ...]:
        return tuple(name for name in self.classes if name != self.good)


class Role(StrEnum):
    """What a model order asks of a model: to judge, to judge beside without a say; NONE ends the shadow. RECIPE: the whole line shall
    change over, to the recipe of that name; such orders are the line's own, those for models are its recipes'."""

    ACTIVE = "active"
    SHADOW = "shadow"
    NONE = "none"
    RECIPE = "recipe"


class Taken(StrEnum):
    """What a worker answers to a model order, for all workers of the line. TRYING is said before the file is touched: it may take the
    worker down. ENDED: a shadow that was taken judges no more. UNABLE is for this worker alone, of
    what was taken already."""

    TRYING = "trying"
    TAKEN = "taken"
    REFUSED = "refused"
    ENDED = "ended"
    UNABLE = "unable"


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """Somebody wants another model on the line. digest: of the file in the models folder, "" to end the shadow."""

    line: str
    role: Role
    digest: str
    name: str
    by: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a worker did with the order of this sequence, and why not. The newest answer to an order counts, UNABLE apart."""

    order: int
    line: str
    worker: str
    outcome: Taken
    why: str = ""


@dataclass(frozen=True, slots=True)
class RecordedOrder:
    """An order as the ledger holds it, with all that was answered to it, oldest first."""

    sequence: int
    recorded_at: float
    order: ModelOrder
    answers: tuple[ModelAnswer, ...] = ()

    @property
    def _counts(self) -> ModelAnswer | None:
        return next((one for one in reversed(self.answers) if one.outcome is not Taken.UNABLE), None)

    @property
    def outcome(self) -> Taken | None:
        """None while nobody has answered."""
        return self._counts.outcome if self._counts else None

    @property
    def open(self) -> bool:
        """Whether a worker has still to say what became of it."""
        return self.outcome in (None, Taken.TRYING)

    @property
    def why(self) -> str:
        return self._counts.why if self._counts else ""

    @property
    def unable(self) -> dict[str, str]:
        """Why, by worker that cannot judge with what others have taken."""
        return {one.worker: one.why for one in self.answers if one.outcome is Taken.UNABLE}


@dataclass(frozen=True, slots=True)
class ShadowVerdict:
    """What a shadow would have said of a part that the line has recorded; fields as in Verdict. It is never released."""

    part_id: str
    line: str
    model: str
    scores: tuple[float, ...]
    exceedance: float
    predicted: str
    flagged: bool


@dataclass(frozen=True, slots=True)
class RecordedShadow:
    """A shadow's verdict as the ledger holds it; sequence grows with every row."""

    sequence: int
    recorded_at: float
    verdict: ShadowVerdict


@dataclass(frozen=True, slots=True)
class DrawPolicy:
    """How passed parts are drawn for audit from `since` on: an integer weight per score band, drawn with probability 1 / w."""

    number: int
    line: str
    since: float
    weights: tuple[int, ...]
    budget: float
    surge: bool = False


@dataclass(frozen=True, slots=True)
class DrawAdvice:
    """What closed buckets say of the next draw: an integer weight per score band, which spend `budget`. surge: evidence is
    rising, the budget is larger for that."""

    weights: tuple[int, ...]
    budget: float
    surge: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sign of life of one worker process of a line. stopped: its cameras came to their end; nobody told it to stop."""

    line: str
    worker: str
    started_at: float
    seen_at: float
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its limits. point is None where it may not be shown, and reason says why.

    lower and upper are limits at the confidence asked for; without any evidence they are 0 and 1.
    """

    point: float | None
    lower: float
    upper: float
    numerator: float
    denominator: float
    events: int
    reason: str = ""

    @property
    def estimable(self) -> bool:
        """Whether limits exist that say anything: evidence was there, even if it was too little for a point."""
        return self.lower > 0.0 or self.upper < 1.0


@dataclass(frozen=True, slots=True)
class Escapes:
    """What the audits of a window found, in sums that may be added over lines and machines.

    weighted: F, defective parts that passed, each audited one times its weight. squares: V, the sum of the squared weights.
    audited: confirmed audited misses. largest_weight: w_M, of any passed part; of several windows the largest counts.
    """

    weighted: float
    squares: float
    audited: int
    largest_weight: float


@dataclass(frozen=True, slots=True)
class WindowQuality:
    """Quality of one line, one defect (or ALL), over one window of closed buckets.

    observed: TP / (TP + FN) over labelled parts as they come, biased upwards, shown beside. Counts are parts as labelled.
    named_right: share of the real defects that are caught and named what they are. ceiling: recall cannot be above it, as so
    many misses are known, volunteered ones included. worst_lower: the lower limit if every audit that nobody returned were a
    miss. state is judged against threshold, the page threshold. provisional: buckets that are not closed yet are in it.
    escapes: None where no audited part is labelled, so that nobody knows.
    """

    line: str
    defect: str
    window: str
    parts: int
    escapes: Escapes | None
    largest_weight: float
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    recall: Estimate
    observed: float | None
    precision: Estimate
    false_reject: float | None
    named_right: Estimate
    ceiling: float | None
    worst_lower: float | None
    threshold: float | None
    state: State
    reason: str
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class EvidenceState:
    """The e-detector of one line and defect: page when evidence reached limit, latched until the page ends.

    steps: closed buckets, or challenge parts, that it has seen.
    """

    line: str
    defect: str
    detector: Detector
    evidence: float
    limit: float
    paged: bool
    steps: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page as raised, and how it ended, if it did. step: number of the bucket, or of the challenge part, that completed its
    evidence; ordinal: of the first part after it.

    taken_back_at: a correction took the evidence away. cleared_at: windows that began after it are PROVEN.
    at_risk_from: ordinal of the first part that it touches; no part before it is in doubt. began_ordinal: where its evidence
    begins to add up, about there recall fell.
    """

    line: str
    defect: str
    detector: Detector
    step: int
    ordinal: int
    raised_at: float
    taken_back_at: float | None = None
    cleared_at: float | None = None
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    note: str = ""
    at_risk_from: int = 0
    began_ordinal: int = 0

    @property
    def standing(self) -> bool:
        return self.taken_back_at is None and self.cleared_at is None and self.acknowledged_at is None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody has taken on the pages of a row that stood at that moment. defect may be ALL."""

    line: str
    defect: str
    recorded_at: float
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class Lease:
    """A part that an inspector has before him, or a sample that looks like one (sample: its key). id: random, all that a browser learns.

    until: then it is somebody else's. seen: he has been shown what the model said of it.
    """

    id: str
    line: str
    part_id: str
    sample: str
    inspector: str
    until: float
    seen: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signs in. lines: () is every line. password: a hash that says its own parameters. A change is a new row."""

    name: str
    role: str
    lines: tuple[str, ...]
    password: str
    disabled: bool
    by: str


@dataclass(frozen=True, slots=True)
class Deed:
    """Who did what, from where, on what. who: "" where nobody knows. source: an address, or "command line"."""

    who: str
    source: str
    what: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class RecordedDeed:
    sequence: int
    recorded_at: float
    deed: Deed


@dataclass(frozen=True, slots=True)
class ChallengePart:
    """A part that is known beforehand and sent through on purpose: a red rabbit when `expected` is a defect.

    A part whose id is `name`, or `name~` and anything, is a pass of it. Due `every` so many seconds, at each of `shifts`
    (seconds after midnight UTC), and after a change of model or thresholds when `after_change`; overdue `within` seconds later.
    The newest row of a line and name is in force; `retired` ends it.
    """

    line: str
    name: str
    expected: str
    recorded_at: float
    every: float | None = None
    shifts: tuple[float, ...] = ()
    after_change: bool = False
    within: float = 900.0
    retired: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class ChallengeReport:
    """Somebody says after the fact that a recorded part was a pass of this challenge part."""

    line: str
    part_id: str
    name: str
    recorded_at: float
    by: str


@dataclass(frozen=True, slots=True)
class ChallengeState:
    """How the challenge parts of a line fare. due: {name: when its next pass was due}, of those that are overdue."""

    caught: int
    missed: int
    overdue: Mapping[str, float]
    last_passed_at: float | None


@dataclass(frozen=True, slots=True)
class InspectorAgreement:
    """One inspector against what parts seen by several were settled to be. missed: share of the defects that he called
    good; false_alarm: share of the good parts that he called defective."""

    inspector: str
    missed: Estimate
    false_alarm: Estimate


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance, with 95 % limits, over so many parts. point is None where chance alone would agree."""

    point: float | None
    lower: float
    upper: float
    parts: int


@dataclass(frozen=True, slots=True)
class AgreementState:
    """How far inspectors agree on parts that two or more have labelled. kappa: {(one, other): (Cohen's kappa, parts)}; kappas:
    the same with limits; overall: of all of them (Fleiss), None before the first such part."""

    inspectors: tuple[InspectorAgreement, ...] = ()
    kappa: Mapping[tuple[str, str], tuple[float | None, int]] = field(default_factory=dict)
    kappas: Mapping[tuple[str, str], Kappa] = field(default_factory=dict)
    overall: Kappa | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative counts per upper bound, Prometheus' way: bounds ascending, the last one +Inf."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Term:
    """A model's time at a line, from one change of the model to the next: windows and evidence are of one term only.

    model: digest. first: ordinal of its first part; parts: how many it has judged; closed: how many of its buckets are. Times are capture times, ended_at None while
    it judges. quality: of an ended term, over all its closed buckets, window "term"; () while it judges.
    """

    model: str
    first: int
    parts: int
    closed: int
    began_at: float
    ended_at: float | None
    quality: tuple[WindowQuality, ...] = ()


@dataclass(frozen=True, slots=True)
class OneSided:
    """Parts that one of two models flagged and the other did not. by_active: looked at again, each counts once. by_shadow:
    as many parts as the audited ones stand for, which are `audited` in number. p_value: two-sided, of both being equal, None
    where they never differed."""

    by_active: int
    by_shadow: int
    audited: int
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A shadow against the active model (digests) on one defect, over the parts that both have judged.

    parts: all of them; labelled: those that are rejected or audited and settled. recall, precision: of the active one and of
    the shadow, audit-weighted, None where nothing is known. caught: of the defects; false_rejects: of the good parts.
    """

    active: str
    shadow: str
    defect: str
    parts: int
    labelled: int
    recall: tuple[float | None, float | None]
    precision: tuple[float | None, float | None]
    caught: OneSided
    false_rejects: OneSided


@dataclass(frozen=True, slots=True)
class LineSnapshot:
    """All that is known of one line at `Snapshot.as_of`.

    parts: {(camera, outcome): count}. labels: {(source, label): count of accepted rows}. pending: {source: parts due and
    not labelled}. The times are None before the first one. defects: the rows in order, ALL first. quality: of closed buckets;
    provisional: of all; first_reported: of closed buckets with the labels that they had when they closed, and late_changes
    the number of labels that changed one since. pages: all, oldest first. at_risk: {defect: passed parts that a standing page
    touches}. draw_check: probability of draw counts this far from their probabilities. expected: {defect: recall expected
    from the scores alone}. drift: population stability index of the scores. terms: the newest of them, the model in force last.
    comparisons: of every two models that judged the same parts, the newest pair last. due: when the next full bucket closes that
    waits for labels, and for how many. not_inspected: parts that nobody judged, by what the line was told; the newest was recorded at
    last_not_inspected_at.
    """

    line: str
    parts: Mapping[tuple[str, Outcome], int]
    labels: Mapping[tuple[Source, str], int]
    corrections: int
    label_lag: Histogram
    pending: Mapping[Source, int]
    last_captured_at: float | None
    last_recorded_at: float | None
    last_label_at: float | None
    oldest_pending_at: float | None
    closed_buckets: int
    open_parts: int
    defects: tuple[str, ...]
    quality: tuple[WindowQuality, ...]
    provisional: tuple[WindowQuality, ...]
    first_reported: tuple[WindowQuality, ...]
    late_changes: int
    evidence: tuple[EvidenceState, ...]
    pages: tuple[Page, ...]
    at_risk: Mapping[str, int]
    next_draw: DrawAdvice
    draw_check: float | None
    challenges: ChallengeState
    agreement: AgreementState
    expected: Mapping[str, float]
    drift: float | None
    terms: tuple[Term, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    due: tuple[float, int] | None = None
    not_inspected: Mapping[FailSafe, int] = field(default_factory=dict)
    last_not_inspected_at: float | None = None
    models: tuple[ModelInForce, ...] = ()
    heartbeats: tuple[Heartbeat, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole ledger in figures, as known at as_of."""

    as_of: float
    lines: Mapping[str, LineSnapshot] = field(default_factory=dict)
    unknown_part_labels: int = 0


@dataclass(frozen=True)
class Sample:
    """A part that is shown to an inspector to learn about him, not about the line. key: of this one showing."""

    key: str
    part_id: str
    line: str


@dataclass(frozen=True, slots=True)
class Study:
    """Inspectors label parts of known truth, several times each and blind. seed: of the orders in which the parts come.

    share: of what an inspector gets while it runs. A standing one (hidden known samples) has no inspectors, () is everybody,
    and no trials, 0: it goes round for ever. created_at and closed_at are given by the ledger.
    """

    name: str
    line: str
    good: str
    trials: int
    inspectors: tuple[str, ...]
    share: float
    seed: str
    by: str
    created_at: float = 0.0
    closed_at: float | None = None

    @property
    def standing(self) -> bool:
        return self.trials == 0


class Kind(StrEnum):
    """Why a part is in a study. Borderline: the model's score is near the decision threshold, whatever the part is."""

    DEFECT = "defect"
    GOOD = "good"
    BORDERLINE = "borderline"


@dataclass(frozen=True, slots=True)
class StudyPart:
    """A part of a study. reference: the class that it is. known_by: the inspectors who said so, () where somebody else did."""

    part_id: str
    reference: str
    kind: Kind
    known_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyAnswer:
    """What an inspector said to one showing; trial counts from 1. A correction is a later answer to the same key."""

    key: str
    study: str
    part_id: str
    inspector: str
    trial: int
    label: str
    answered_at: float
