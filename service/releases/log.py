"""`log://` writes one JSON line a verdict to standard output, `log:///path/file` appends it to a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, unquote

import structlog

from service.errors import InvalidInput
from service.records import NotInspected, Verdict
from service.releases.message import message, message_of_missing

log = structlog.get_logger()


class LogRelease:
    """Fulfils ports.Release. What cannot be written is counted in `lost` and the line goes on: the ledger has it."""

    def __init__(self, url: SplitResult, output: IO[str] | None = None) -> None:
        """output: in place of standard output."""
        if url.netloc or url.query or url.fragment:
            raise InvalidInput("release log: expected log:// or log:///an/absolute/path")
        self._path = Path(unquote(url.path)) if url.path else None
        self._output = output or sys.stdout
        self.lost = 0
        try:
            with self._opened():
                pass
        except (OSError, ValueError) as error:
            raise InvalidInput(f"release log:{url.path}: cannot be written: {error}") from error

    def _opened(self) -> AbstractContextManager[IO[str]]:
        """Opened for every batch, so that the file may be rotated away."""
        return nullcontext(self._output) if self._path is None else self._path.open("a", encoding="utf-8")

    def release(self, verdicts: Sequence[Verdict]) -> None:
        self._write([message(verdict) for verdict in verdicts])

    def release_not_inspected(self, missing: Sequence[NotInspected]) -> None:
        self._write([message_of_missing(one) for one in missing])

    def _write(self, messages: Sequence[dict[str, object]]) -> None:
        text = "".join(json.dumps(one) + "\n" for one in messages)
        try:
            with self._opened() as output:
                output.write(text)
                output.flush()
        except OSError as error:
            self.lost += len(messages)
            log.warning("verdicts not logged", lost=self.lost, why=error.strerror)

    def close(self) -> None:
        """Nothing is held open."""
