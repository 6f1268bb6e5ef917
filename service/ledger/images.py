"""Pictures of parts as files named by their SHA-256: kept ones for good, passed parts' in a ring that forgets the oldest."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock

from service.errors import LedgerUnavailable
from service.ports import Clock

ABANDONED = 600.0
"""Seconds. No file is written for so long: who began an unfinished one of this age was killed."""

_DIGEST = re.compile("[0-9a-f]{64}")


class FolderImages:
    """Fulfils ports.ImageStore. Any thread may call it. Processes may share the folder; one of them writes the ring."""

    def __init__(self, folder: Path, ring_bytes: int, clock: Clock = time.time) -> None:
        self._kept = folder / "kept"
        self._ring = folder / "ring"
        self._unfinished = folder / "unfinished"
        self._ring_bytes = ring_bytes
        self._lock = Lock()
        self._oldest_first: OrderedDict[str, int] | None = None
        self._size = 0
        self._synced: set[Path] = set()
        for leftover in self._unfinished.glob("*"):
            with suppress(OSError):  # gone meanwhile, or not ours to remove: a reader may lack the right
                if clock() - leftover.stat().st_mtime > ABANDONED:  # a younger one may be another process's at work
                    leftover.unlink()

    def keep(self, content: bytes) -> str:
        """Durable when it returns: file and folder entry are synced. Raises LedgerUnavailable, and leaves no half file."""
        digest = sha256(content).hexdigest()
        file = self._file(self._kept, digest)
        with self._lock, _unavailable(file):
            self._make(file.parent)
            if not file.exists():
                self._write(file, content, durable=True)
            _sync(file.parent)  # of one that is there too: whoever put it there may have died before this
        return digest

    def ring(self, content: bytes) -> str:
        """Not synced: a picture of a passed part may be lost with the power. Raises LedgerUnavailable."""
        digest = sha256(content).hexdigest()
        file = self._file(self._ring, digest)
        with self._lock, _unavailable(file):
            there = self._remembered()
            try:
                os.utime(file)  # its age is that of the last time it was seen, after a restart too
            except FileNotFoundError:
                file.parent.mkdir(parents=True, exist_ok=True)
                self._write(file, content, durable=False)
            self._size += len(content) - there.pop(digest, 0)
            there[digest] = len(content)
            while self._size > self._ring_bytes and len(there) > 1:
                oldest, size = there.popitem(last=False)
                self._size -= size
                self._file(self._ring, oldest).unlink(missing_ok=True)
        return digest

    def load(self, digest: str) -> bytes | None:
        """The picture, None when it is not there (any more). What is no digest is no picture either."""
        if not _DIGEST.fullmatch(digest):
            return None
        for folder in (self._kept, self._ring):
            with _unavailable(folder), suppress(FileNotFoundError):
                return self._file(folder, digest).read_bytes()
        return None

    def kept(self) -> list[str]:
        """The digests of those that are kept, the oldest first."""
        with _unavailable(self._kept):
            found = [(file.stat().st_mtime_ns, file.name) for file in self._kept.glob("??/*")]
        return [name for _, name in sorted(found) if _DIGEST.fullmatch(name)]

    def let_go(self, digest: str) -> None:
        """A kept picture goes over into the ring, which may forget it: it is kept elsewhere now."""
        content = self.load(digest)
        if content is not None:
            self.ring(content)
        with self._lock, _unavailable(self._kept):
            self._file(self._kept, digest).unlink(missing_ok=True)

    def size(self, digest: str) -> int:
        """Bytes of the picture, kept or in the ring; 0 when it is not there."""
        return sum(file.stat().st_size for file in self._files(digest) if file.exists())

    def remove(self, digest: str) -> None:
        """For good, from both. Raises LedgerUnavailable."""
        for file in self._files(digest):
            with _unavailable(file):
                file.unlink(missing_ok=True)

    def _files(self, digest: str) -> list[Path]:
        return [self._file(folder, digest) for folder in (self._kept, self._ring)] if _DIGEST.fullmatch(digest) else []

    @staticmethod
    def _file(folder: Path, digest: str) -> Path:
        return folder / digest[:2] / digest

    def _write(self, file: Path, content: bytes, durable: bool) -> None:
        """Written beside and renamed: whoever finds the name finds all of it."""
        self._unfinished.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._unfinished)
        try:
            with os.fdopen(descriptor, "wb") as unfinished:
                unfinished.write(content)
                if durable:
                    unfinished.flush()
                    os.fsync(unfinished.fileno())
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _make(self, folder: Path) -> None:
        """The folder is there, and will be after a power loss."""
        if not folder.is_dir():
            self._synced.discard(folder)  # somebody removed it
            folder.mkdir(parents=True, exist_ok=True)
        if folder not in self._synced:
            _sync(folder.parent)
            _sync(folder.parent.parent)
            self._synced.add(folder)

    def _remembered(self) -> OrderedDict[str, int]:
        """The ring by age, read from the disk at first use."""
        if self._oldest_first is None:
            found = [
                (status.st_mtime_ns, file.name, status.st_size)
                for file in self._ring.glob("??/*")
                if (status := file.stat()) and _DIGEST.fullmatch(file.name)
            ]
            self._oldest_first = OrderedDict((name, size) for _, name, size in sorted(found))
            self._size = sum(self._oldest_first.values())
        return self._oldest_first


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _unavailable(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerUnavailable(f"{where}: {error.strerror}") from error
