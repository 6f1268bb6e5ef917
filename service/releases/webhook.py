"""`webhook+https://host/path` (or plain `https://…`) is sent a JSON list of verdicts, in order.

The line never waits: verdicts queue up to a bound, a thread sends them. What could not be sent is counted, logged and
given up; the ledger has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, Full, Queue
from threading import Event, Thread
from time import monotonic
from urllib.parse import SplitResult

import httpx
import structlog

from service.errors import InvalidInput
from service.records import NotInspected, Verdict
from service.releases.message import message, message_of_missing

log = structlog.get_logger()

WAITING = 10_000
AT_ONCE = 500
TIMEOUT = 5.0
TRIES = 3
AGAIN_AFTER = 0.5


class Webhook:
    """Fulfils ports.Release. `lost` counts verdicts that did not arrive. Redirects are failures."""

    def __init__(self, url: SplitResult, waiting: int = WAITING, timeout: float = TIMEOUT) -> None:
        """waiting: how many verdicts may queue. timeout: seconds for one request, and for `close`."""
        scheme = url.scheme.removeprefix("webhook+")
        if not url.hostname:
            raise InvalidInput(f"release {url.scheme}://: expected a host, such as {url.scheme}://plc.example/verdicts")
        self._shown = f"{scheme}://{url.hostname}"
        self._url = url._replace(scheme=scheme, fragment="").geturl()
        self._timeout = timeout
        self._queue: Queue[dict[str, object]] = Queue(maxsize=waiting)
        self._closing = Event()
        self._deadline = float("inf")
        self._sender = Thread(target=self._send_all, name="webhook", daemon=True)
        self.lost = 0
        self._sender.start()

    def release(self, verdicts: Sequence[Verdict]) -> None:
        self._hand_over([message(verdict) for verdict in verdicts])

    def release_not_inspected(self, missing: Sequence[NotInspected]) -> None:
        self._hand_over([message_of_missing(one) for one in missing])

    def _hand_over(self, messages: Sequence[dict[str, object]]) -> None:
        for number, one in enumerate(messages):
            try:
                self._queue.put_nowait(one)
            except Full:
                self._lose(len(messages) - number, "too many are waiting")
                return

    def close(self) -> None:
        """Sends what waits, for as long as one request may take; the rest is lost and counted."""
        self._deadline = monotonic() + self._timeout
        self._closing.set()
        self._sender.join(2.0 * self._timeout)

    def _send_all(self) -> None:
        with httpx.Client(timeout=self._timeout, follow_redirects=False) as client:
            while not (self._closing.is_set() and self._queue.empty()):
                batch = self._batch()
                if not batch:
                    continue
                if monotonic() > self._deadline:
                    self._lose(len(batch), "stopped before they could be sent")
                elif why := self._failure(client, batch):
                    self._lose(len(batch), why)

    def _batch(self) -> list[dict[str, object]]:
        batch: list[dict[str, object]] = []
        try:
            while len(batch) < AT_ONCE:
                batch.append(self._queue.get(timeout=0.0 if batch else 0.2))
        except Empty:
            pass
        return batch

    def _failure(self, client: httpx.Client, batch: Sequence[dict[str, object]]) -> str:
        """Sends; tries again what may be better in a moment. Returns why it failed, "" when it did not."""
        why = ""
        for attempt in range(TRIES):
            if attempt and self._closing.wait(AGAIN_AFTER * attempt):
                break
            try:
                status = client.post(self._url, json=batch).status_code
            except httpx.HTTPError as error:
                why = type(error).__name__
                continue
            why = "" if 200 <= status < 300 else f"answered {status}"
            if status < 500 and status != 429:
                break
        return why

    def _lose(self, verdicts: int, why: str) -> None:
        self.lost += verdicts
        log.warning("verdicts not sent", to=self._shown, verdicts=verdicts, lost=self.lost, why=why)
