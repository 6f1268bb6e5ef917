"""Model files by the SHA-256 of the model's own bytes, whatever its passport says: what was once on the line can come back, whatever became of the file it came from."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from service.errors import InvalidInput
from service.model.passport import digest as digest_of


class Shelf:
    """One folder. Several processes may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, content: bytes) -> str:
        """Durable when it returns, never half there; the same bytes again are no change, another passport
        takes the place of the one before. Returns the digest, SHA-256 hex.

        Raises InvalidInput when the folder cannot be written.
        """
        digest = digest_of(content)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._content(digest) != content:  # a damaged one is made whole, too
                self._write(self._file(digest), content)
            _sync(self._folder)
            _sync(self._folder.parent)
        except OSError as error:
            raise InvalidInput(f"{self._folder}: the model cannot be kept: {error.strerror}") from error
        return digest

    def file(self, digest: str) -> Path:
        """Where the model is, its bytes verified. Raises InvalidInput when it is missing or not what its name says."""
        file = self._file(digest)
        try:
            content = self._content(digest)
        except OSError as error:
            raise InvalidInput(f"{file}: the model cannot be read: {error.strerror}") from error
        if content is None:
            raise InvalidInput(f"{file}: there is no such file; was it removed from the models folder?")
        if digest_of(content) != digest:
            raise InvalidInput(
                f"{file}: {len(content)} bytes that are not those of its name; it was damaged or changed"
            )
        return file

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}.onnx"

    def _content(self, digest: str) -> bytes | None:
        try:
            return self._file(digest).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, file: Path, content: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder, suffix=".unfinished")
        try:
            with os.fdopen(descriptor, "wb") as unfinished:
                unfinished.write(content)
                unfinished.flush()
                os.fsync(unfinished.fileno())
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
