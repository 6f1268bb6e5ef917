"""Sets a study up: finds parts whose truth is known, takes some by lot, and keeps their pictures for good."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from random import Random, SystemRandom
from typing import Final, Protocol

from service.errors import InvalidInput
from service.ports import Clock, ImageStore, LedgerReader, StudyLedger
from service.quality.challenge import Challenges
from service.quality.choosing import Candidate, chosen, known, shared_out
from service.records import ChallengePart, Kind, ModelInForce, Study, StudyPart, Verdict
from service.station.desk import valid_inspector

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MOST_PARTS, MOST_TRIALS = 1000, 20
EVEN: Final = {Kind.DEFECT: 1.0, Kind.GOOD: 1.0, Kind.BORDERLINE: 1.0}
NEWEST: Final = 20_000
"""So many of the newest parts with two labels are looked at."""


class PlanningLedger(StudyLedger, LedgerReader, Protocol):
    def twice_labelled(self, line: str, before: float, limit: int) -> Sequence[str]: ...

    def passes_of(self, line: str, names: Sequence[str]) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A study as somebody wants it. share: of what an inspector gets. mix: how many of each kind, in proportion."""

    line: str
    name: str
    parts: int
    trials: int
    inspectors: tuple[str, ...]
    share: float
    by: str
    mix: Mapping[Kind, float]

    def check(self) -> None:
        """Raises InvalidInput."""
        if not NAME.fullmatch(self.name) or ".." in self.name:
            raise InvalidInput(f"study {self.name!r}: expected a name of up to 63 letters, digits and . _ -")
        if not 1 <= self.parts <= MOST_PARTS:
            raise InvalidInput(f"parts: {self.parts}; expected 1 to {MOST_PARTS}")
        if not 0 <= self.trials <= MOST_TRIALS:
            raise InvalidInput(f"trials: {self.trials}; expected 1 to {MOST_TRIALS}")
        if not 0 < self.share <= 1:
            raise InvalidInput(f"share: {self.share:g}; expected a ratio above 0, up to 1")
        if bad := [name for name in self.inspectors if not valid_inspector(name)]:
            raise InvalidInput(f"inspector {bad[0]!r}: expected a name of up to 63 letters, digits, spaces and . @ -")
        if len({*self.inspectors}) < len(self.inspectors):
            raise InvalidInput("inspectors: one is named twice; expected each once")
        if min(self.mix.values()) < 0 or not sum(self.mix.values()) > 0 or sum(self.mix.values()) == inf:
            raise InvalidInput("mix: expected three numbers, none below 0, such as 1:1:1")


class Planner:
    def __init__(self, ledger: PlanningLedger, images: ImageStore, clock: Clock, dice: Random | None = None) -> None:
        self._ledger = ledger
        self._images = images
        self._clock = clock
        self._dice = dice or SystemRandom()

    def study(self, asked: Asked, references: Mapping[str, str] | None = None) -> tuple[Study, Sequence[StudyPart]]:
        """references: what parts are; where given, no others are taken. Raises InvalidInput."""
        if not asked.inspectors or not asked.trials:
            raise InvalidInput("study: expected one inspector or more, and one trial or more")
        model = self._checked(asked)
        found = self._listed(model, references) if references is not None else self._known(model, inf, unanimous=False)
        return self._add(asked, model, [*found])

    def samples(self, asked: Asked, older_than: float) -> tuple[Study, Sequence[StudyPart]]:
        """A standing study of parts on which all agreed and that nobody labelled for `older_than` seconds, up to asked.parts.

        Raises InvalidInput; the line has one at a time.
        """
        model = self._checked(asked)
        for study in self._ledger.studies():
            if study.standing and study.line == asked.line and study.closed_at is None:
                raise InvalidInput(
                    f"line {asked.line} has hidden samples: study {study.name}; close it first to draw others"
                )
        return self._add(asked, model, [*self._known(model, self._clock() - older_than, unanimous=True)], fewer=True)

    def _checked(self, asked: Asked) -> ModelInForce:
        asked.check()
        if any(study.name == asked.name for study in self._ledger.studies()):
            raise InvalidInput(f"study {asked.name!r}: there is one of that name; choose another")
        models, *_ = self._ledger.line_state()
        for model in models:
            if model.line == asked.line and model.role == "active":
                return model
        raise InvalidInput(f"line {asked.line!r}: no model has told its classes yet; start its worker first")

    def _add(
        self, asked: Asked, model: ModelInForce, candidates: Sequence[Candidate], fewer: bool = False
    ) -> tuple[Study, Sequence[StudyPart]]:
        wanted = shared_out(asked.parts, asked.mix)
        parts = chosen(candidates, model.good, wanted, self._kept, self._dice, fewer)
        study = Study(
            name=asked.name,
            line=asked.line,
            good=model.good,
            trials=asked.trials,
            inspectors=asked.inspectors,
            share=asked.share,
            seed=secrets.token_hex(16),
            by=asked.by,
        )
        return self._ledger.add_study(study, parts), parts

    def _kept(self, verdict: Verdict) -> bool:
        """Whether the picture is there; from now on it stays, also one that lay in the ring of passed parts."""
        content = self._images.load(verdict.image) if verdict.image else None
        return content is not None and self._images.keep(content) == verdict.image

    def _known(self, model: ModelInForce, before: float, unanimous: bool) -> Iterator[Candidate]:
        """What challenge parts are known to be, and what two or more inspectors have said."""
        passes = dict(self._challenges(model))
        wanted = [*passes, *self._ledger.twice_labelled(model.line, before, NEWEST)]
        labels = self._ledger.labels(wanted)
        shown: set[str] = set()
        for part_id, row in sorted(self._ledger.parts(wanted).items(), key=lambda item: -item[1].sequence):
            if (challenge := passes.get(part_id)) is None:
                if (said := known(labels.get(part_id, ()), unanimous)) and said[0] in model.classes:
                    yield Candidate(row.verdict, *said)
            elif challenge.name not in shown and row.recorded_at <= before and challenge.expected in model.classes:
                shown.add(challenge.name)  # each thing once: it would be known again
                yield Candidate(row.verdict, challenge.expected)

    def _challenges(self, model: ModelInForce) -> Iterator[tuple[str, ChallengePart]]:
        """(part, what it is) of every pass of a challenge part of the line."""
        registered = Challenges(model.good)
        names = set()
        for _, part in self._ledger.challenge_parts_after(0):
            if part.line == model.line:
                registered.register(part)
                names.add(part.name)
        for row in self._ledger.parts(self._ledger.passes_of(model.line, sorted(names))).values():
            if named := registered.named(row):
                yield row.verdict.part_id, named
        for _, said in self._ledger.challenge_reports_after(0):
            if said.line == model.line and (named := registered.in_force(said.name, said.recorded_at)):
                yield said.part_id, named

    def _listed(self, model: ModelInForce, references: Mapping[str, str]) -> Iterator[Candidate]:
        """The parts of a reference file. Raises InvalidInput for one that is not of the line, or no class of it."""
        rows = self._ledger.parts([*references])
        for part_id, label in references.items():
            if part_id not in rows or rows[part_id].verdict.line != model.line:
                raise InvalidInput(f"reference: line {model.line} has no part {part_id!r}")
            if label not in model.classes:
                raise InvalidInput(
                    f"reference: part {part_id}: {label!r}; expected one of {', '.join(sorted(model.classes))}"
                )
            yield Candidate(rows[part_id].verdict, label)
