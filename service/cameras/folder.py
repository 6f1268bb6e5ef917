"""`folder:///in?settle=1s&done=/moved&pattern=*.png&limit=64MB`: files as they are completed, oldest first.

A part is called after its file, without the ending: `p`. Where that would not tell it from another one - the same name
with another time or another ending, a time in the future - ending and time are added: `p~.png1898b5d9b3d68000`. What has been
recorded is asked of the ledger, so nothing is inspected twice after a restart; while it does not answer, files wait. What cannot be
judged goes to `.refused/`.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Event, Lock
from time import monotonic
from urllib.parse import SplitResult

import structlog

from service.cameras.ids import valid_part_id
from service.cameras.options import AbsolutePath, Bytes, Options, Seconds, local_path, parsed, unusable
from service.errors import BadImage, LedgerUnavailable
from service.ports import Clock, Meter
from service.records import Frame, Verdict

log = structlog.get_logger()

LOOK_EVERY = 0.25
UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")
SAME_TIME = 0.001
REFUSED = ".refused"


class FolderOptions(Options):
    """settle: how long a file must not change before it is taken. done: where released files go. limit: of one file."""

    settle: Seconds = 1.0
    done: AbsolutePath | None = None
    pattern: str = "*"
    limit: Bytes = 64_000_000


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was seen; another size or time makes it another file."""

    path: Path
    size: int
    modified: int
    mode: int

    @property
    def time(self) -> float:
        return self.modified / 1e9

    @property
    def full_id(self) -> str:
        """The id that no other file has."""
        return f"{self.path.stem}~{self.path.suffix}{self.modified:x}"

    def is_rival(self, other: _File) -> bool:
        """Whether the short id and the time cannot tell this file from the other."""
        near = abs(self.time - other.time) < 2 * SAME_TIME
        return near and self.path.stem == other.path.stem and self.path.name != other.path.name

    def unchanged(self) -> bool:
        try:
            return _seen(self.path) == self
        except OSError:
            return False


def _seen(path: Path) -> _File:
    status = path.lstat()
    return _File(path, status.st_size, status.st_mtime_ns, status.st_mode)


class Folder:
    """Fulfils ports.Camera. A folder that vanishes is waited for."""

    live = False

    def __init__(
        self,
        url: SplitResult,
        line: str,
        name: str,
        meter: Meter,
        clock: Clock,
        known: Callable[[Sequence[str]], Mapping[str, float]],
    ) -> None:
        self.name = name
        self._options = parsed(FolderOptions, url, name)
        self._folder = local_path(url, name)
        if not self._folder.is_dir():
            raise unusable(name, url, "no such folder")
        if self._options.done == self._folder:
            raise unusable(name, url, "option done: expected another folder than the one that is watched")
        self._line = line
        self._meter = meter
        self._clock = clock
        self._known = known
        self._by_stem: dict[str, list[_File]] = {}
        self._settling: dict[Path, tuple[_File, float]] = {}
        self._handled: dict[Path, _File] = {}
        self._unanswered = False
        self._lock = Lock()
        self._under_way: dict[str, _File] = {}

    def frames(self, stopping: Event) -> Iterator[Frame]:
        up: bool | None = None
        while not stopping.is_set():
            try:
                ready = self._ready()
            except OSError as error:
                if up is not False:
                    log.warning("folder cannot be read", camera=self.name, why=error.strerror)
                    self._meter.camera_up(self.name, up := False)
            else:
                if up is not True:
                    self._meter.camera_up(self.name, up := True)
                yield from self._taken(ready, stopping)
            stopping.wait(LOOK_EVERY)

    def _ready(self) -> list[_File]:
        """Files that have not changed for `settle` and were not handled, oldest first."""
        now = monotonic()
        found = {file.path: file for file in self._files(self._folder)}
        self._by_stem = {}
        for file in found.values():
            self._by_stem.setdefault(file.path.stem, []).append(file)
        self._handled = {path: file for path, file in self._handled.items() if found.get(path) == file}
        waiting: dict[Path, tuple[_File, float]] = {}
        for path, file in found.items():
            if path not in self._handled:
                before = self._settling.get(path)
                waiting[path] = before if before is not None and before[0] == file else (file, now)
        self._settling = waiting
        ready = [file for file, since in waiting.values() if now - since >= self._options.settle]
        return sorted(ready, key=lambda file: (file.modified, file.path.name))

    def _files(self, folder: Path) -> Iterator[_File]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if self._wanted(entry.name):
                    with suppress(FileNotFoundError):
                        file = _seen(folder / entry.name)
                        if not stat.S_ISDIR(file.mode):
                            yield file

    def _wanted(self, name: str) -> bool:
        hidden = name.startswith((".", "~")) or name.lower().endswith(UNFINISHED)
        return not hidden and fnmatchcase(name, self._options.pattern)

    def _taken(self, ready: list[_File], stopping: Event) -> Iterator[Frame]:
        for file in ready:
            if stopping.is_set():
                return
            self._handled[file.path] = file
            try:
                part_id = self._new_id(file)
                self._unanswered = False
                if part_id is None:
                    continue
                content = self._content(file)
            except BadImage as fault:
                log.warning("file refused", camera=self.name, file=file.path.name, why=str(fault))
                self._meter.dropped(self.name, fault.reason)
                self._set_aside(file, str(fault))
                continue
            except LedgerUnavailable as error:
                if not self._unanswered:
                    log.warning("files wait: the ledger cannot say what is recorded", camera=self.name, why=str(error))
                self._unanswered = True
                del self._handled[file.path]
                return
            if content is None:
                del self._handled[file.path]
                continue
            with self._lock:
                self._under_way[part_id] = file
            yield Frame(part_id, self._line, self.name, min(file.time, self._clock()), content)

    def _new_id(self, file: _File) -> str | None:
        """The part's id; None when this very file is recorded. Raises BadImage for a name that makes no id."""
        short, full = file.path.stem, file.full_id
        if not valid_part_id(short):
            raise BadImage("unreadable", f"{short[:80]!a} is no part id; expected letters, digits and ._~:@-")
        with self._lock:  # before the ledger is asked: what is released meanwhile is recorded by then
            under_way = {short, full} & self._under_way.keys()
        recorded = self._known([part_id for part_id in (short, full) if valid_part_id(part_id)])
        same = short in recorded and abs(recorded[short] - file.time) < SAME_TIME
        if full in recorded or (same and self._owns_short_id(file)):
            self._move_to_done(file)
            return None
        free = short not in recorded and short not in under_way
        if free and len(self._by_stem[short]) == 1 and file.time <= self._clock():
            return short
        if full in under_way:
            raise BadImage("unreadable", "another part has this id and this time; expected another name")
        if not valid_part_id(full):
            raise BadImage(
                "unreadable", f"{full[:80]!a} is no part id; expected a shorter name of letters, digits and ._~:@-"
            )
        return full

    def _owns_short_id(self, file: _File) -> bool:
        """Whether a record under the short id and this time is this file's, and not one's of the same name and time with
        another ending. While one of those has no record of its own the answer is no: rather inspected twice than never."""
        rivals = [other.full_id for other in self._by_stem[file.path.stem] if other.is_rival(file)]
        if self._options.done is not None:
            try:
                rivals += [other.full_id for other in self._files(self._options.done) if other.is_rival(file)]
            except FileNotFoundError:
                pass  # nothing was moved there yet
            except OSError as error:
                log.warning(
                    "folder cannot be read", camera=self.name, folder=str(self._options.done), why=error.strerror
                )
                return False
        return all(map(valid_part_id, rivals)) and set(rivals) <= self._known(rivals).keys()

    def _content(self, file: _File) -> bytes | None:
        """The file's bytes; None when it has changed or gone meanwhile. Raises BadImage."""
        if stat.S_ISLNK(file.mode):
            if file.path.resolve().is_relative_to(self._folder.resolve()):
                raise BadImage("unreadable", "a link to a file of this folder; expected the file itself only")
            raise BadImage("unreadable", "a link out of the folder; expected a file")
        if not stat.S_ISREG(file.mode):
            raise BadImage("unreadable", "not a regular file")
        if file.size == 0:
            raise BadImage("empty", "0 bytes; expected a picture")
        if file.size > self._options.limit:
            raise BadImage("too_large", f"{file.size} bytes; expected at most {self._options.limit}")
        try:
            descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as opened:
                content = opened.read(file.size + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadImage("unreadable", f"cannot be read: {error.strerror}") from error
        return content if len(content) == file.size and file.unchanged() else None

    def released(self, frame: Frame, verdict: Verdict) -> None:
        self.handed_on(frame)

    def refused(self, frame: Frame, fault: BadImage) -> None:
        with self._lock:
            file = self._under_way.pop(frame.part_id, None)
        if file is not None:
            self._set_aside(file, str(fault))

    def handed_on(self, frame: Frame) -> None:
        """The file goes where released ones go."""
        with self._lock:
            file = self._under_way.pop(frame.part_id, None)
        if file is not None:
            self._move_to_done(file)

    def close(self) -> None:
        """Nothing is held open."""

    def _move_to_done(self, file: _File) -> None:
        if self._options.done is not None:
            self._move(file, self._options.done)

    def _set_aside(self, file: _File, reason: str) -> None:
        moved = self._move(file, self._folder / REFUSED)
        if moved is not None:
            try:
                moved.with_name(moved.name + ".txt").write_text(reason + "\n", encoding="utf-8")
            except OSError as error:
                log.warning("reason not written", camera=self.name, file=moved.name, why=error.strerror)

    def _move(self, file: _File, folder: Path) -> Path | None:
        """Moves the file unless it was replaced meanwhile; never over another one. None: it stays, and is not taken again."""
        if not file.unchanged():
            return None
        target = folder / file.path.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target):
                target = folder / f"{file.path.stem}~{file.modified:x}{file.path.suffix}"
            shutil.move(file.path, target)
        except OSError as error:
            log.warning("file not moved", camera=self.name, file=file.path.name, to=str(folder), why=error.strerror)
            return None
        return target
