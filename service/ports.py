"""What the parts of redrabbit ask of each other. Small protocols; `cli.py` alone knows who fulfils them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.errors import BadImage
from service.records import (
    Acknowledgement,
    Begins,
    CameraReference,
    ChallengePart,
    ChallengeReport,
    Deed,
    DrawPolicy,
    Frame,
    Heartbeat,
    Image,
    Label,
    Lease,
    Look,
    ModelAnswer,
    ModelInForce,
    ModelOrder,
    NotInspected,
    Outcome,
    Person,
    RecordedDeed,
    RecordedLabel,
    RecordedOrder,
    RecordedShadow,
    RecordedVerdict,
    ShadowVerdict,
    Study,
    StudyAnswer,
    StudyPart,
    Verdict,
)

Clock = Callable[[], float]
"""Seconds since 1970 UTC. The demo runs on a simulated one."""


class Camera(Protocol):
    """A source of frames. `live` cameras may lose frames when the line is too slow; others wait."""

    name: str
    live: bool

    def frames(self, stopping: Event) -> Iterator[Frame]:
        """Yields frames until the source ends or `stopping` is set; returns within a second of that.

        Reconnects by itself. Input that is no frame is set aside, counted by the meter, and skipped.
        """
        ...

    def released(self, frame: Frame, verdict: Verdict) -> None:
        """The verdict of this frame is on disk and released: answer, move or forget the source."""
        ...

    def refused(self, frame: Frame, fault: BadImage) -> None:
        """The frame's content cannot be judged: set it aside under its name, answer the sender."""
        ...

    def handed_on(self, frame: Frame) -> None:
        """The frame is safe with somebody else, who will judge it: forget the source."""
        ...

    def close(self) -> None: ...


class Detector(Protocol):
    """A model in force. One instance serves one worker; `judge` may be called from one thread at a time."""

    @property
    def info(self) -> DetectorInfo: ...

    def fit(self, image: Image) -> NDArray[np.uint8]:
        """image: uint8 BGR (H, W, 3) of any size. Returns uint8 (h, w, c) as the model wants it. Thread-safe."""
        ...

    def judge(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """batch: uint8 (N, h, w, c). Returns scores float32 (N, classes), each in [0, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """What a loaded model says of itself. decision_thresholds: one per defect class, in (0, 1].

    guesses: miss probability per score band from the validation set, for the first draw policy; None: not known.
    scores: validation pictures of each class per bin of P(defective), for expected recall and drift; {}: not known.
    gated: whether it carries a passport of the release gate that says so.
    """

    name: str
    digest: str
    classes: tuple[str, ...]
    good: str
    decision_thresholds: Mapping[str, float]
    provider: str
    guesses: tuple[float, ...] | None = None
    scores: Mapping[str, Sequence[int]] = field(default_factory=dict)
    gated: bool = False


class Release(Protocol):
    """Where verdicts go once their record is on disk."""

    def release(self, verdicts: Sequence[Verdict]) -> None: ...

    def release_not_inspected(self, missing: Sequence[NotInspected]) -> None:
        """Parts that nobody judged, with what is to become of them."""
        ...

    def close(self) -> None: ...


class Meter(Protocol):
    """What a worker measures. The exporters' side implements it; `service` never imports `exporters`."""

    def observe(self, stage: str, seconds: float, parts: int = 1) -> None:
        """stage: decode, infer, record, release or total; seconds per part."""
        ...

    def dropped(self, camera: str, reason: str) -> None: ...

    def redelivered(self, camera: str) -> None:
        """A frame came again: whoever had it has not judged it."""
        ...

    def camera_up(self, camera: str, up: bool) -> None: ...

    def camera_frame(self, camera: str, captured_at: float) -> None: ...

    def camera_triggers(self, camera: str, triggers: int) -> None:
        """The running number of the camera's triggers has gone on by so many."""
        ...

    def camera_repeats(self, camera: str, frames: int) -> None:
        """So many of the newest frames in a row are the picture of the one before them."""
        ...

    def camera_sight(self, camera: str, look: Look, reference: Look | None) -> None:
        """How the camera's pictures look now, and how they did when the model took over (None: not known yet)."""
        ...

    def ledger_up(self, up: bool) -> None: ...

    def camera_waiting(self, camera: str, frames: int) -> None:
        """So many frames wait in the stream for a worker. Never told of a camera without one."""
        ...

    def camera_dead(self, camera: str, frames: int) -> None:
        """So many of its frames lie among the dead letters. Never told of a camera without a stream."""
        ...

    def store_up(self, up: bool) -> None:
        """Whether the shared store of pictures takes what is shipped. Never told where there is none."""
        ...

    def pictures_waiting(self, pictures: int) -> None:
        """So many kept pictures are on this machine alone."""
        ...

    def gated(self, passed: bool) -> None:
        """Whether the model that has the say has passed the gate."""
        ...

    def swapped(self, role: str, outcome: str) -> None:
        """A worker has answered a model order. role: active, shadow or none; outcome: taken or refused."""
        ...

    def shadow_dropped(self, parts: int) -> None:
        """Parts that the shadow has not judged because it could not keep up."""
        ...


class ReleaseMeter(Protocol):
    """What is measured of releases to machines on the floor. release: its URL, without login and options."""

    def release_up(self, release: str, up: bool) -> None:
        """Whether its peer can be reached."""
        ...

    def released(self, release: str, seconds: float) -> None:
        """The peer has taken a verdict, so many seconds after its record."""
        ...

    def failsafe(self, release: str, parts: int) -> None:
        """So many verdicts have not arrived by their deadline."""
        ...


class PolicyLedger(Protocol):
    """Where draw policies are kept."""

    def draw_policy(self, line: str) -> DrawPolicy | None:
        """The line's newest."""
        ...

    def set_draw_policy(self, policy: DrawPolicy, after: int | None = None) -> DrawPolicy:
        """Appends the policy; its number is given by the ledger. after: number of the newest that the writer knows of, 0 for none:
        where there is another by now, nothing is written. Returns the newest."""
        ...


class Owners(Protocol):
    """What must be done once for a line is done by its owner, one among all processes on a ledger."""

    def owns(self, line: str) -> bool:
        """Whether this process is the owner; it becomes that where there is none, and stays it until it ends."""
        ...


class PartLedger(PolicyLedger, Protocol):
    """The worker's side of the ledger: one writer of parts per line."""

    def record(self, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
        """Durable when it returns, all or none. A part id that is already there is not recorded again: the verdict of
        record is returned in its place, so that what is released is always what is on disk. Same length and order."""
        ...

    def record_not_inspected(self, missing: Sequence[NotInspected]) -> Sequence[NotInspected]:
        """As `record`. Those of record, in order; one whose part has a verdict is left out."""
        ...

    def register(self, model: ModelInForce) -> None:
        """The model that judges from now on; the newest row of a line and role is in force. Same again: no new row."""
        ...

    def beat(self, heartbeat: Heartbeat) -> None: ...


class CameraLedger(Protocol):
    """How cameras saw when a model took over. Durable when a call returns."""

    def camera_references(self, line: str, model: str) -> Mapping[str, CameraReference]:
        """By camera, the newest under this model (digest)."""
        ...

    def keep_camera_reference(self, reference: CameraReference) -> None: ...


class ModelLedger(Protocol):
    """Which models a line shall have, and what became of that. Durable when a call returns."""

    def order_model(self, order: ModelOrder) -> RecordedOrder: ...

    def model_orders(self, line: str) -> Sequence[RecordedOrder]:
        """All orders of the line by sequence, with their answers, as of one moment."""
        ...

    def answer_order(self, answer: ModelAnswer, seen: int, model: ModelInForce | None = None) -> bool:
        """Together with the registration of the model that is in force by it, both or none. False, and nothing is recorded, where the
        order has not just the `seen` answers that the worker knows of: another was first."""
        ...

    def line_state(self) -> tuple[Sequence[ModelInForce], Sequence[DrawPolicy], Sequence[Heartbeat]]:
        """As of one moment, each ordered by line."""
        ...

    def record_shadow(self, verdicts: Sequence[ShadowVerdict]) -> None:
        """All or none. A part that this model has judged already is not recorded again."""
        ...


@dataclass(frozen=True, slots=True)
class LabelReceipt:
    """What became of one label: recorded (a new row), unchanged (same again), waiting (recorded; its part is not there yet),
    or refused with a reason."""

    part_id: str
    status: str
    reason: str = ""


class LabelLedger(Protocol):
    """The station's side of the ledger: labels in, durable when answered."""

    def add_labels(self, labels: Sequence[Label], client: str = "") -> Sequence[LabelReceipt]:
        """One transaction; durable when it returns. Labels arrive here already validated (class known, time not in the
        future). The same (part_id, inspector, label) as that inspector's newest label is `unchanged` and adds no row."""
        ...


class PeopleLedger(Protocol):
    """Who may sign in, who has, and what was done. Durable when a call returns."""

    def person(self, name: str) -> Person | None:
        """As last said of this name; None for nobody, or somebody disabled."""
        ...

    def begin_session(self, name: str, hash: str) -> None:
        """hash: SHA-256 hex of the session's secret. Of a person as he is now: any change of him ends it."""
        ...

    def session(self, hash: str, idle: float) -> Person | None:
        """Whose session it is, seen now; None when there is none, it was ended, or was not seen for so many seconds."""
        ...

    def end_session(self, hash: str) -> None: ...

    def note(self, deed: Deed) -> None: ...

    def deeds(self, before: int | None, limit: int, who: str = "") -> Sequence[RecordedDeed]:
        """The newest first, of a smaller sequence than `before`. who: of this name only."""
        ...


class LeaseLedger(Protocol):
    """Who has which part before him. Durable when a call returns: an answer that comes late still finds what it is about."""

    def take(self, lease: Lease) -> bool:
        """False, and nothing is written, where somebody else holds the part now."""
        ...

    def leases(self, lines: Sequence[str]) -> Sequence[Lease]:
        """Those that have neither run out nor been answered with a label."""
        ...

    def lease(self, id: str) -> Lease | None:
        """Run out or not."""
        ...

    def extend(self, ids: Sequence[str], inspector: str, until: float) -> None:
        """Of this inspector; `until` in the past gives them back."""
        ...

    def show(self, id: str) -> None:
        """The inspector is being shown what the model said."""
        ...


class ChallengeLedger(Protocol):
    """What people say beside labels. Durable when a call returns."""

    def register_challenge(self, part: ChallengePart) -> ChallengePart:
        """A new row, from now on in force for this line and name; recorded_at is given by the ledger."""
        ...

    def report_challenge(self, part_id: str, name: str, by: str) -> ChallengeReport:
        """Says that a recorded part was a pass of a challenge part. Raises InvalidInput."""
        ...

    def acknowledge(self, line: str, defect: str, by: str, note: str) -> Acknowledgement:
        """Takes on the pages of a row (ALL: of the line) that stand now."""
        ...


class StudyReader(Protocol):
    """Studies of the inspectors, and what they answered. None of it is a label."""

    def studies(self) -> Sequence[Study]:
        """All that there ever were, oldest first."""
        ...

    def study_parts(self, study: str) -> Sequence[StudyPart]: ...

    def study_answers(self, study: str, inspector: str | None = None) -> Sequence[StudyAnswer]:
        """In the order in which they came; of one inspector, or of all."""
        ...


class StudyLedger(StudyReader, Protocol):
    """Durable when a call returns."""

    def add_study(self, study: Study, parts: Sequence[StudyPart]) -> Study:
        """Both or none. Raises InvalidInput for a name that was ever given."""
        ...

    def answer_study(self, answer: StudyAnswer) -> None:
        """The same again, and an older answer that says what the newest says, add no row."""
        ...

    def close_study(self, name: str, by: str) -> None:
        """For good; again is no change. Raises InvalidInput for an unknown name."""
        ...

    def labels_given(self, after: int) -> tuple[int, Mapping[str, int]]:
        """How many labels of a larger sequence each inspector gave, and the newest sequence."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which parts of a line somebody looks for; what is "" or None is not asked for.

    prefix: how the part id begins. since, until: captured from then on, and before then. label: a word that any inspector
    has said of the part.
    """

    line: str
    prefix: str = ""
    since: float | None = None
    until: float | None = None
    lot: str = ""
    camera: str = ""
    outcome: Outcome | None = None
    label: str = ""


Place = tuple[float, int]
"""Where a part lies in time: (captured_at, sequence)."""


class LedgerReader(Protocol):
    """Reads; never blocks a writer."""

    def parts_after(self, sequence: int, limit: int) -> Sequence[RecordedVerdict]:
        """Rows with a larger sequence, ascending. A row once returned never changes, and none appears below a returned one."""
        ...

    def labels_after(self, sequence: int, limit: int) -> Sequence[RecordedLabel]: ...

    def parts(self, part_ids: Sequence[str]) -> Mapping[str, RecordedVerdict]:
        """The records of those part ids that exist."""
        ...

    def labels(self, part_ids: Sequence[str]) -> Mapping[str, Sequence[RecordedLabel]]:
        """All label rows of each part, by sequence."""
        ...

    def shadow_verdicts_after(self, sequence: int, limit: int) -> Sequence[RecordedShadow]:
        """What shadows said, with a larger sequence, ascending: a row always comes after its part's own record."""
        ...

    def shadow_verdicts(self, part_ids: Sequence[str]) -> Mapping[str, Sequence[RecordedShadow]]:
        """What shadows said of these parts, by sequence."""
        ...

    def model_history(self, line: str) -> Sequence[ModelInForce]:
        """Every model that was ever registered for the line, in whatever role, in order."""
        ...

    def draw_policies(self, line: str) -> Sequence[DrawPolicy]:
        """All of the line, by number."""
        ...

    def challenge_parts_after(self, sequence: int) -> Sequence[tuple[int, ChallengePart]]:
        """Registrations with a larger sequence, ascending, each with its sequence."""
        ...

    def challenge_reports_after(self, sequence: int) -> Sequence[tuple[int, ChallengeReport]]: ...

    def acknowledgements_after(self, sequence: int) -> Sequence[tuple[int, Acknowledgement]]: ...

    def not_inspected_after(self, sequence: int, limit: int) -> Sequence[tuple[int, float, NotInspected]]:
        """(sequence, recorded_at, record) of a larger sequence, ascending."""
        ...

    def at_risk(self, line: str, ordinal: int, after: int, limit: int) -> Sequence[RecordedVerdict]:
        """Passed parts of the line from this ordinal on, challenge parts left out, oldest first, of a larger sequence than `after`."""
        ...

    def lots_at_risk(self, line: str, ordinal: int) -> Sequence[tuple[str, int]]:
        """(lot, passed parts) of the line from this ordinal on, challenge parts left out, in order of their first part."""
        ...

    def begins(self) -> Begins:
        """Where figures begin on lines whose older parts were pruned."""
        ...

    def line_state(self) -> tuple[Sequence[ModelInForce], Sequence[DrawPolicy], Sequence[Heartbeat]]:
        """The models in force, the newest draw policy and the workers of every line."""
        ...


class ImageStore(Protocol):
    """Pictures by digest (SHA-256 hex of the encoded bytes)."""

    def keep(self, content: bytes) -> str:
        """Durable when it returns; the same content again is no change. Returns the digest."""
        ...

    def ring(self, content: bytes) -> str:
        """As `keep`, but in the part of the store that forgets the oldest beyond its size, and not synced to disk."""
        ...

    def load(self, digest: str) -> bytes | None: ...
