"""The draw policy of a line and its key: written by the line's owner when it changes, used by every worker."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from service.errors import InvalidInput
from service.ports import Clock, DetectorInfo, PartLedger
from service.quality.draw import DEFAULT_GUESSES, DEFAULT_SHARES, weights
from service.records import DrawPolicy
from service.thresholds import Thresholds

KEY_BYTES = 32


class DrawPolicies:
    """The newest policy of one line; appends one when the budget in thresholds.yaml changed."""

    def __init__(
        self, line: str, ledger: PartLedger, thresholds: Callable[[], Thresholds], clock: Clock, info: DetectorInfo
    ) -> None:
        self._line = line
        self._ledger = ledger
        self._thresholds = thresholds
        self._clock = clock
        self._guesses = info.guesses or DEFAULT_GUESSES
        self._newest: DrawPolicy | None = None

    def current(self) -> DrawPolicy:
        """The policy to draw under now."""
        budget = self._thresholds().line(self._line).audit.budget
        newest = self._newest or self._ledger.draw_policy(self._line)
        if newest is None or newest.budget != budget:
            spread = tuple(weights(budget, DEFAULT_SHARES, self._guesses))
            newest = self._ledger.set_draw_policy(DrawPolicy(0, self._line, self._clock(), spread, budget))
        self._newest = newest
        return newest


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
