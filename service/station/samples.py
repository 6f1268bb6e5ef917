"""Which part of a study an inspector gets, and when: study parts and hidden known samples among the others in the queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from itertools import count
from random import Random, SystemRandom
from threading import Lock
from typing import Final, Protocol

from service.errors import InvalidInput
from service.ports import Clock, LedgerReader, StudyLedger
from service.records import UNSURE, Sample, Study, StudyAnswer, StudyPart

LEASE: Final = 300.0
"""Seconds until a part that was offered and never answered is offered again; that of the queue."""


class SampleLedger(StudyLedger, LedgerReader, Protocol):
    def newest_label(self) -> int: ...


def key_of(study: Study, part_id: str, inspector: str, trial: int) -> str:
    """Of one showing. Sorted by it the parts of a trial are in random order, another one for each inspector and trial.

    The seed is secret: nobody can tell from a key what it stands for.
    """
    return sha256("\0".join((study.seed, study.name, inspector, str(trial), part_id)).encode()).hexdigest()


class Studies:
    """Fulfils deps.Samples. Any thread may call it.

    A study takes its share of what an inspector asks for. A standing one throws the dice once for each label that he gives:
    somebody who waits at an empty queue is not shown sample after sample.
    """

    def __init__(self, ledger: SampleLedger, clock: Clock, dice: Random | None = None) -> None:
        self._ledger = ledger
        self._clock = clock
        self._dice = dice or SystemRandom()
        self._lock = Lock()
        self._out: dict[str, float] = {}
        self._parts: dict[str, Sequence[StudyPart]] = {}
        self._followed = ledger.newest_label()
        self._throws: dict[str, int] = {}

    def offer(self, lines: Sequence[str], inspector: str) -> Sample | None:
        """The next showing for him, None for an ordinary part. It is his until LEASE is over."""
        with self._lock:
            now = self._clock()
            self._out = {key: until for key, until in self._out.items() if until > now}
            mine = [study for study in self._ledger.studies() if _open_to(study, lines, inspector)]
            asked = [study for study in mine if not study.standing]
            hidden = [
                study for study in mine if study.standing
            ]  # of several lines one is asked: together they take a share
            for study in [*asked, *(self._dice.sample(hidden, 1) if hidden else ())]:
                if self._due(study, inspector) and (sample := self._next(study, inspector)):
                    self._out[sample.key] = now + LEASE
                    return sample
            return None

    def answered(self, sample: Sample, inspector: str, label: str, at: float) -> None:
        """Durable when it returns; the same again is no change, another answer corrects it.

        Raises InvalidInput for what was never offered to this inspector, and for a word that is no class of the line.
        """
        models, *_ = self._ledger.line_state()
        known = {name for model in models if model.line == sample.line for name in (*model.classes, UNSURE)}
        if label not in known:
            raise InvalidInput(f"label: expected one of {', '.join(sorted(known))}")
        for study in self._ledger.studies():
            trial = self._trial(study, sample, inspector) if study.line == sample.line else 0
            if trial:
                self._ledger.answer_study(
                    StudyAnswer(sample.key, study.name, sample.part_id, inspector, trial, label, at)
                )
                with self._lock:
                    self._out.pop(sample.key, None)
                return
        raise InvalidInput("this part was not offered to this inspector")

    def _trial(self, study: Study, sample: Sample, inspector: str) -> int:
        """The trial that a key is of, 0 when it is not of this study."""
        if all(part.part_id != sample.part_id for part in self._of(study)):
            return 0
        last = study.trials or 1 + max((a.trial for a in self._ledger.study_answers(study.name, inspector)), default=0)
        of = {key_of(study, sample.part_id, inspector, trial): trial for trial in range(1, last + 1)}
        return of.get(sample.key, 0)

    def _of(self, study: Study) -> Sequence[StudyPart]:
        if study.name not in self._parts:
            self._parts[study.name] = self._ledger.study_parts(study.name)
        return self._parts[study.name]

    def _due(self, study: Study, inspector: str) -> bool:
        if not study.standing:
            return self._dice.random() < study.share
        self._followed, given = self._ledger.labels_given(self._followed)
        for name, labels in given.items():
            self._throws[name] = self._throws.get(name, 0) + labels
        throws = self._throws.pop(inspector, 0)
        return self._dice.random() >= (1 - study.share) ** throws

    def _next(self, study: Study, inspector: str) -> Sample | None:
        """Trial by trial; none while the last parts of a trial are still out. Never the same part twice running."""
        answers = self._ledger.study_answers(study.name, inspector)
        done = {answer.key: answer.trial for answer in answers}
        last = answers[-1].part_id if answers else ""
        parts, answered = self._of(study), Counter(done.values())
        trial = next(trial for trial in count(1) if answered[trial] < len(parts))
        if study.trials and trial > study.trials:
            return None
        keys = {key_of(study, part.part_id, inspector, trial): part for part in parts}
        free = [key for key in keys if key not in done and key not in self._out]
        # A reference that he gave himself tells little of him: those come last.
        key = min(free, key=lambda key: (keys[key].part_id == last, inspector in keys[key].known_by, key), default=None)
        return None if key is None else Sample(key, keys[key].part_id, study.line)


def _open_to(study: Study, lines: Sequence[str], inspector: str) -> bool:
    return study.closed_at is None and study.line in lines and (study.standing or inspector in study.inspectors)
