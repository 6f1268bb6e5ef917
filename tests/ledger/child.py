"""A process that writes into a ledger or a folder of pictures until something stops it; `python -m tests.ledger.child`."""

from __future__ import annotations

import os
import resource
import sys
import time
from contextlib import closing
from itertools import count
from pathlib import Path

from service.errors import LedgerUnavailable
from service.ledger.images import FolderImages
from service.ledger.store import open_ledger, open_owners
from tests.ledger.rows import label, verdicts

BATCH = 3


def endless(url: str, name: str) -> None:
    """Records batch after batch and a label for each, and says the number of each once it is acknowledged."""
    with closing(open_ledger(url, time.time)) as ledger:
        for number in count():
            ledger.record(verdicts(f"{name}.{number}", BATCH))
            ledger.add_labels([label(f"{name}.{number}-0", inspector=name)])
            os.write(1, f"{number}\n".encode())


def owner(url: str, line: str) -> None:
    """Says whether it owns the line, and stays."""
    owners = open_owners(url)
    os.write(1, f"{owners.owns(line)}\n".encode())
    time.sleep(600)


def full_ledger(url: str, name: str) -> None:
    """Records until no file may grow any more, says how many batches went in, and records one when there is room again."""
    with closing(open_ledger(url, time.time)) as ledger:
        _limit(300_000)
        done = 0
        try:
            for done in count():
                ledger.record(verdicts(f"{name}.{done}", 50))
        except LedgerUnavailable:
            os.write(1, f"{done} {len(ledger.parts_after(0, 10**6))}\n".encode())
        _limit(resource.RLIM_INFINITY)
        ledger.record(verdicts(f"{name}.{done}", 50))
        os.write(1, f"{done + 1} {len(ledger.parts_after(0, 10**6))}\n".encode())


def full_images(folder: str, _: str) -> None:
    """Keeps a picture that is too large for the disk, says what was left of it, and keeps it when there is room again."""
    images, content = FolderImages(Path(folder), 10**9), bytes(200_000)
    _limit(100_000)
    for put in (images.keep, images.ring):
        try:
            put(content)
        except LedgerUnavailable:
            os.write(1, f"{sum(path.is_file() for path in Path(folder).rglob('*'))}\n".encode())
    _limit(resource.RLIM_INFINITY)
    os.write(1, f"{images.load(images.keep(content)) == content}\n".encode())


def _limit(size: int) -> None:
    """How large a file may get; Python ignores the signal, so that writing on fails as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


if __name__ == "__main__":
    {"endless": endless, "owner": owner, "full_ledger": full_ledger, "full_images": full_images}[sys.argv[1]](
        *sys.argv[2:]
    )
