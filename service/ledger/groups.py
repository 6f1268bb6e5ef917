"""Labels of clients who come at the same time share one transaction, and so one sync of the disk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, Queue
from threading import Thread
from typing import Protocol

from service.errors import LedgerUnavailable
from service.ports import LabelReceipt
from service.records import Label

GROUPS_AT_ONCE = 256

Waiting = tuple[Sequence[Label], str, "Future[Sequence[LabelReceipt]]"]


class GroupLedger(Protocol):
    def add_label_groups(self, groups: Sequence[tuple[Sequence[Label], str]]) -> Sequence[Sequence[LabelReceipt]]: ...


class GroupCommit:
    """Fulfils ports.LabelLedger. While one transaction is being synced the next one gathers."""

    def __init__(self, ledger: GroupLedger) -> None:
        self._ledger = ledger
        self._waiting: Queue[Waiting | None] = Queue()
        self._thread = Thread(target=self._run, name="labels", daemon=True)
        self._thread.start()

    def add_labels(self, labels: Sequence[Label], client: str = "") -> Sequence[LabelReceipt]:
        """Returns once these labels are durable; raises what kept the group from being so."""
        if not self._thread.is_alive():
            raise LedgerUnavailable("the station is ending; ask again")
        done: Future[Sequence[LabelReceipt]] = Future()
        self._waiting.put((labels, client, done))
        return done.result()

    def close(self) -> None:
        """Commits what waits, then ends."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        ending = False
        while not ending:
            group = [self._waiting.get()]
            while group[-1] is not None and len(group) < GROUPS_AT_ONCE:
                try:
                    group.append(self._waiting.get_nowait())
                except Empty:
                    break
            ending = group[-1] is None
            self._commit([one for one in group if one is not None])

    def _commit(self, group: Sequence[Waiting]) -> None:
        if not group:
            return
        try:
            receipts = self._ledger.add_label_groups([(labels, client) for labels, client, _ in group])
        except BaseException as error:  # noqa: BLE001 - every caller raises it: the thread goes on for those who come later
            for *_, done in group:
                done.set_exception(error)
        else:
            for (*_, done), receipt in zip(group, receipts, strict=True):
                done.set_result(receipt)
