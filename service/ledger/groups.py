"""Labels of clients who come at the same time share one transaction, and so one sync of the disk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Protocol

from service.errors import LedgerUnavailable
from service.ports import LabelReceipt
from service.records import Label

Waiting = tuple[Sequence[Label], str, "Future[Sequence[LabelReceipt]]"]


class GroupLedger(Protocol):
    def add_label_groups(self, groups: Sequence[tuple[Sequence[Label], str]]) -> Sequence[Sequence[LabelReceipt]]: ...


class GroupCommit:
    """Fulfils ports.LabelLedger. While one transaction is being synced the next one gathers: at most `most` callers."""

    def __init__(self, ledger: GroupLedger, most: int = 256) -> None:
        self._ledger = ledger
        self._most = most
        self._waiting: list[Waiting] = []
        self._closing = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="labels", daemon=True)
        self._thread.start()

    def add_labels(self, labels: Sequence[Label], client: str = "") -> Sequence[LabelReceipt]:
        """Returns once these labels are durable; raises what kept the group from being so.

        LedgerUnavailable at once when too many wait already or `close` was called.
        """
        done: Future[Sequence[LabelReceipt]] = Future()
        with self._changed:
            if self._closing:
                raise LedgerUnavailable("the station is ending; ask again")
            if len(self._waiting) >= self._most:
                raise LedgerUnavailable(f"{self._most} requests wait for the disk already; ask again")
            self._waiting.append((labels, client, done))
            self._changed.notify()
        return done.result()

    def close(self) -> None:
        """Commits what waits, then ends."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._gathered():
            self._commit(group)

    def _gathered(self) -> list[Waiting]:
        """All who wait; none only at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            group, self._waiting = self._waiting, []
            return group

    def _commit(self, group: Sequence[Waiting]) -> None:
        try:
            receipts = self._ledger.add_label_groups([(labels, client) for labels, client, _ in group])
        except BaseException as error:  # noqa: BLE001 - every caller raises it: the thread goes on for those who come later
            for *_, done in group:
                done.set_exception(error)
        else:
            for (*_, done), receipt in zip(group, receipts, strict=True):
                done.set_result(receipt)
