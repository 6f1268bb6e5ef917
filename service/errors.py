"""The errors that a person or a machine outside can cause. Everything else is a bug and may show a traceback."""

from __future__ import annotations


class InvalidInput(Exception):
    """Bad input from outside: one clear line that says what, where and what was expected. Commands exit with status 2."""


class BadImage(Exception):
    """An image that cannot be judged.

    reason: a short fixed word that is safe as a metric label (see REASONS); the text says more.
    """

    REASONS = ("empty", "not_an_image", "broken", "too_large", "unreadable")

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class LedgerUnavailable(Exception):
    """The ledger or its images cannot be written or read just now: disk full, read-only, I/O error, locked, damaged.

    Nothing was half-written. What was to be written is still the caller's: hold it and try again.
    """
