"""The draw policy of a line and its key: written by the line's owner when it changes, used by every worker."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from math import inf
from pathlib import Path

from service.errors import InvalidInput, LedgerUnavailable
from service.ports import Clock, DetectorInfo, Owners, PartLedger, PolicyLedger
from service.quality.draw import DEFAULT_GUESSES, DEFAULT_SHARES, surged, weights, worth_changing
from service.records import DrawPolicy, LineSnapshot
from service.thresholds import Thresholds

KEY_BYTES = 32

READ_EVERY = 2.0
"""Seconds after which a worker looks for a newer policy."""


class DrawPolicies:
    """The newest policy of one line, for its worker; appends the first one, and one whenever thresholds.yaml asks for another
    budget. What is learned while the line runs comes from the Steward."""

    def __init__(
        self, line: str, ledger: PartLedger, thresholds: Callable[[], Thresholds], clock: Clock, info: DetectorInfo
    ) -> None:
        self._line = line
        self._ledger = ledger
        self._thresholds = thresholds
        self._clock = clock
        self._model = info
        self._anew = False
        self._newest: DrawPolicy | None = None
        self._read_at = -inf
        self._asked: float | None = None

    def follow(self, info: DetectorInfo) -> None:
        """Says which model judges now. Another one begins with the draw that its own guesses ask for."""
        self._anew |= info.digest != self._model.digest
        self._model = info

    def current(self) -> DrawPolicy:
        """The policy to draw under now. While the ledger cannot be read, the one known last."""
        budget, now = self._thresholds().line(self._line).audit.budget, self._clock()
        try:
            if self._newest is None or abs(now - self._read_at) >= READ_EVERY:
                self._newest, self._read_at = self._ledger.draw_policy(self._line), now
            if self._newest is None or self._anew or self._asks_for_another(budget, self._newest):
                self._newest = self._begin(budget, now)
            self._asked, self._anew = budget, False
        except LedgerUnavailable:
            if self._newest is None:
                raise
        return self._newest

    def _begin(self, budget: float, now: float) -> DrawPolicy:
        """The draw that the model's guesses ask for. Of several workers of the line one writes it down."""
        newest = self._newest
        spread = tuple(weights(budget, DEFAULT_SHARES, self._model.guesses or DEFAULT_GUESSES))
        if newest and (newest.weights, newest.budget, newest.surge) == (spread, budget, False):
            return newest
        after = newest.number if newest else 0
        return self._ledger.set_draw_policy(DrawPolicy(0, self._line, now, spread, budget), after)

    def _asks_for_another(self, budget: float, newest: DrawPolicy) -> bool:
        return budget != self._asked and newest.budget != surged(budget, newest.surge)


class Steward:
    """Writes down another draw policy when the closed buckets of a line ask for one. Of several on one ledger only the owner of the
    line does; without owners there is one."""

    def __init__(self, ledger: PolicyLedger, clock: Clock, owners: Owners | None = None) -> None:
        self._ledger = ledger
        self._clock = clock
        self._owners = owners

    def look(self, line: LineSnapshot) -> None:
        """The first policy is the worker's; later ones follow what was learned, and the surge."""
        if self._owners is not None and not self._owners.owns(line.line):
            return
        newest, advice = self._ledger.draw_policy(line.line), line.next_draw
        if newest is None:
            return
        same = (newest.budget, newest.surge) == (advice.budget, advice.surge)
        if not same or worth_changing(newest.weights, advice.weights):
            policy = DrawPolicy(0, line.line, self._clock(), advice.weights, advice.budget, advice.surge)
            self._ledger.set_draw_policy(policy, newest.number)


def audit_key(path: Path) -> bytes:
    """The key of the audit draw, made at first start with mode 0600. Who has it can predict the draw."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            pass
        key = path.read_bytes().strip()
    except OSError as error:
        raise InvalidInput(f"{path}: the audit key cannot be read or made: {error.strerror}") from error
    if len(key) < KEY_BYTES:
        raise InvalidInput(f"{path}: {len(key)} bytes; expected an audit key of at least {KEY_BYTES}")
    return key
