"""Evidence over the buckets of one line and defect: replayed from the bucket that a correction touches, with every page it raised.

One meter for the audits of production parts, one for challenge parts: the form is the same, the bets differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, NamedTuple

from service.quality.evidence import (
    NOTHING,
    Misses,
    cusum_step,
    log_factors,
    mean_of_logs,
    smallest_limit,
    step,
    surging,
)
from service.records import Detector, EvidenceState, Page


def limit_in_steps(wished_seconds: float, step_seconds: float, threshold: float, bets: Sequence[float]) -> float:
    """c: the wished time between false pages in steps of the meter, each `step_seconds` long on the mean (SPEC, "The page").

    Never so low that the meter could page without any miss.
    """
    wished = wished_seconds / step_seconds if step_seconds > 0 else 0.0
    return max(wished, 1.01 * smallest_limit(threshold, bets))


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a meter: a closed bucket, or one challenge part. misses: {weight: count}. bets: lambda_j of its audit budget.

    ordinal: of the first part of the line that comes after it. model: digest of the one that judged.
    """

    hits: int
    misses: Misses
    bets: tuple[float, ...]
    limit: float
    ordinal: int
    model: str


class _After(NamedTuple):
    """How the meter stood after a step."""

    logs: tuple[float, ...]
    cusum: tuple[float, ...]
    surge: bool
    value: float
    limit: float
    ordinal: int
    model: str

    def tell(self) -> dict[str, Any]:
        """As JSON, which has no infinity."""
        logs, cusum = ([None if value == -inf else value for value in row] for row in (self.logs, self.cusum))
        return {**self._asdict(), "logs": logs, "cusum": cusum}

    @classmethod
    def told(cls, said: Mapping[str, Any]) -> _After:
        logs, cusum = (tuple(-inf if value is None else value for value in said[row]) for row in ("logs", "cusum"))
        return cls(**{**said, "logs": logs, "cusum": cusum})


class Meter:
    """The e-detector of one row. A page is latched: it stands until somebody acknowledges it, recall is proven anew, or a
    correction takes its evidence away. Evidence that completes itself again meanwhile adds no second one. None is forgotten.
    Evidence begins anew with another model; a page about the one before it stands.
    """

    def __init__(
        self, line: str, defect: str, threshold: float, detector: Detector, carried: Mapping[str, Any] | None = None
    ) -> None:
        """carried: from `carry`, where steps before the first one are not there any more; of another threshold it says nothing."""
        carried = carried if carried and carried["threshold"] == threshold else None
        self._threshold = threshold
        self._before = _After.told(carried["after"]) if carried else None
        self.steps_before: int = carried["steps"] if carried else 0
        self.pages: list[Page] = []
        self._line = line
        self._defect = defect
        self._odds = (1 - threshold) / threshold
        self._detector = detector
        self._after: list[_After] = []
        self._crossed: set[int] = set()
        self._ended = 0

    def carry(self, steps: int) -> dict[str, Any] | None:
        """How the meter stood after so many steps, for one that begins with the next, as JSON; None: as if there had been none."""
        after = self._after[steps - 1] if steps else self._before
        if after is None:
            return None
        return {"threshold": self._threshold, "steps": self.steps_before + steps, "after": after.tell()}

    def forget_from(self, number: int) -> None:
        """The counts of this step changed: it and all after it are replayed at the next `follow`."""
        del self._after[number:]
        self._crossed = {crossed for crossed in self._crossed if crossed < number}

    def follow(self, steps: int, step_at: Callable[[int], Step], at: float) -> list[Page]:
        """Takes in steps up to number `steps`, at this moment (seconds UTC). Returns the pages that this raised."""
        for number in range(len(self._after), steps):
            self._after.append(self._next(step_at(number)))
            if self._after[number].value >= self._after[number].limit:
                self._crossed.add(number)
        self._mark(lambda page: page.step not in self._crossed, taken_back_at=at)
        open_steps = sorted(number for number in self._crossed if number >= self._ended)
        if not open_steps or self._standing():
            return []
        number = open_steps[0]
        began = self._began(number)
        raised = Page(
            self._line, self._defect, self._detector, number, self._after[number].ordinal, at, began_ordinal=began
        )
        self.pages.append(raised)
        return [raised]

    def _began(self, number: int) -> int:
        """Ordinal of the first part of the run of evidence that ends with this step: where the CUSUM of the bet that has won most
        last started from nothing, the usual estimate of when a change came (Page 1954)."""
        best = max(range(len(self._after[number].cusum)), key=lambda bet: self._after[number].cusum[bet])
        first = number
        while (
            first
            and self._after[first - 1].cusum[best] > 0
            and self._after[first - 1].model == self._after[number].model
        ):
            first -= 1
        before = self._after[first - 1] if first else self._before
        return before.ordinal if before else 0

    def _next(self, taken: Step) -> _After:
        before = self._newest(taken.model) or _After(NOTHING, NOTHING, False, 0.0, inf, 0, taken.model)
        logs = before.logs if before.value < before.limit else NOTHING
        factors = log_factors(taken.bets, self._odds, taken.hits, taken.misses)
        logs, cusum = step(logs, factors), cusum_step(before.cusum, factors)
        surge = surging(before.surge, mean_of_logs(cusum))
        return _After(logs, cusum, surge, mean_of_logs(logs), taken.limit, taken.ordinal, taken.model)

    def _newest(self, model: str) -> _After | None:
        """None where this model has taken no step since it took over."""
        newest = self._last()
        return newest if newest and newest.model == model else None

    def _last(self) -> _After | None:
        return self._after[-1] if self._after else self._before

    def acknowledge(self, at: float, by: str, note: str) -> None:
        """Ends the page that stands; the next one needs evidence from after this moment."""
        if any(page.standing and page.raised_at <= at for page in self.pages):
            self._mark(lambda page: page.standing, acknowledged_at=at, acknowledged_by=by, note=note)
            self._ended = len(self._after)

    def clear_before(self, ordinal: int, at: float) -> None:
        """Ends the page whose evidence lies before this part: what came since is PROVEN on its own."""
        if any(page.standing and page.ordinal <= ordinal for page in self.pages):
            self._mark(lambda page: page.standing, cleared_at=at)
            self._ended = len(self._after)

    def _standing(self) -> bool:
        return any(page.standing for page in self.pages)

    def _mark(self, wanted: Callable[[Page], bool], **ending: object) -> None:
        self.pages = [
            replace(page, **ending) if page.taken_back_at is None and wanted(page) else page  # type: ignore[arg-type]
            for page in self.pages
        ]

    def surge(self, model: str) -> bool:
        """Whether the evidence about this model, the one in force, asks for more audits."""
        newest = self._newest(model)
        return newest is not None and newest.surge

    def state(self, model: str) -> EvidenceState:
        """model: the one in force."""
        newest, last = self._newest(model), self._last()
        return EvidenceState(
            line=self._line,
            defect=self._defect,
            detector=self._detector,
            evidence=newest.value if newest else 0.0,
            limit=last.limit if last else 0.0,
            paged=self._standing(),
            steps=self.steps_before + len(self._after),
        )
