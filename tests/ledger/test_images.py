"""Pictures by digest: kept ones for good, a ring of passed ones that forgets, and no name that leads elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Barrier

import pytest

from service.errors import LedgerUnavailable
from service.ledger.images import ABANDONED, FolderImages

A, B, C, D, E, F = (bytes([letter]) * 100 for letter in b"abcdef")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def images(folder: Path) -> FolderImages:
    """Its ring has room for three pictures."""
    return FolderImages(folder, 300)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _remembered(images: FolderImages) -> bytes:
    """The first letters of those that are there."""
    return b"".join(content[:1] for content in (A, B, C, D, E, F) if images.load(sha256(content).hexdigest()))


def _spread(folder: Path) -> None:
    """Moves a, b, c ... apart in age, the first the oldest, all of them long ago: a disk's clock ticks coarsely."""
    for seconds, content in enumerate((A, B, C, D, E, F), start=1000):
        for file in folder.rglob(sha256(content).hexdigest()):
            os.utime(file, (seconds, seconds))


def test_a_picture_is_kept_under_its_digest(images: FolderImages, folder: Path) -> None:
    """What was kept is read back, by this process and the next one."""
    assert images.keep(A) == sha256(A).hexdigest()
    assert images.load(sha256(A).hexdigest()) == FolderImages(folder, 300).load(sha256(A).hexdigest()) == A
    assert images.load(sha256(B).hexdigest()) is None


def test_the_same_content_is_kept_once(images: FolderImages, folder: Path) -> None:
    """Again is no change: the same file stays, after a restart too."""
    images.keep(A)
    (file,) = _files(folder)
    before = file.stat()
    assert images.keep(A) == FolderImages(folder, 300).keep(A) == file.name
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert _files(folder) == [file]


def test_threads_may_keep_at_once(images: FolderImages, folder: Path) -> None:
    """The first pictures of all threads arrive together, into folders that nobody has made: none gets in another's way."""
    together = Barrier(8)

    def keep(number: int) -> list[str]:
        together.wait()
        own = [images.keep(f"{number} {place}".encode()) for place in range(20)]
        return [*own, *(images.keep(f"shared {place}".encode()) for place in range(20))]

    with ThreadPoolExecutor(8) as pool:
        digests = {digest for found in pool.map(keep, range(8)) for digest in found}
    assert len(digests) == 9 * 20
    assert sorted(file.name for file in _files(folder)) == sorted(digests)
    assert all(sha256(images.load(digest) or b"").hexdigest() == digest for digest in digests)


def test_the_ring_forgets_the_oldest(images: FolderImages, folder: Path) -> None:
    """Beyond its size the picture that was not seen for longest goes; one that is seen again is young again."""
    for content in (A, B, C):
        images.ring(content)
    assert _remembered(images) == b"abc"
    images.ring(A)
    images.ring(D)
    assert _remembered(images) == b"acd"
    assert len(_files(folder)) == 3


def test_the_ring_goes_on_after_a_restart(images: FolderImages, folder: Path) -> None:
    """Its size and the age of each picture, seen again or not, are known to the next process."""
    for content in (A, B, C):
        images.ring(content)
    _spread(folder)
    images.ring(A)
    later = FolderImages(folder, 300)
    later.ring(D)
    assert _remembered(later) == b"acd"
    later.ring(E)
    assert _remembered(later) == b"ade"


def test_a_ring_that_was_made_smaller(images: FolderImages, folder: Path) -> None:
    """With the next picture it shrinks to its new size; the newest one stays even when it alone is too large."""
    for content in (A, B, C):
        images.ring(content)
    smaller = FolderImages(folder, 50)
    smaller.ring(D)
    assert _remembered(smaller) == b"d"


def test_a_picture_gone_from_the_ring_comes_again(images: FolderImages, folder: Path) -> None:
    """Somebody removed a file of the ring: the same picture is written again and counted once."""
    for content in (A, B, C):
        images.ring(content)
    next(folder.rglob(sha256(B).hexdigest())).unlink()
    assert _remembered(images) == b"ac"
    images.ring(B)
    assert _remembered(images) == b"abc"


def test_a_kept_picture_outlives_the_ring(images: FolderImages) -> None:
    """A passed part's picture that is kept later, or was kept before, stays when the ring has forgotten it."""
    images.keep(A)
    for content in (A, B):
        images.ring(content)
    images.keep(B)
    for content in (C, D, E, F):
        images.ring(content)
    assert _remembered(images) == b"abdef"


def test_a_name_that_is_no_digest(images: FolderImages, folder: Path) -> None:
    """Whatever a client asks for, only 64 lower-case hex digits can name a picture."""
    digest = images.keep(A)
    (folder.parent / "secret").write_bytes(b"secret")
    tricks = [
        "",
        "../secret",
        "../../secret",
        str(folder.parent / "secret"),
        digest.upper(),
        digest[:63],
        f"{digest}\n",
    ]
    tricks += [f"{digest[:2]}/{digest}", f"../kept/{digest[:2]}/{digest}", f"{digest}\0", "٠" * 64, "." * 64]
    assert [images.load(trick) for trick in tricks] == [None] * len(tricks)


def test_a_full_disk(folder: Path) -> None:
    """What does not fit is refused and leaves no file behind; once there is room it is kept whole."""
    command = [sys.executable, "-m", "tests.ledger.child", "full_images", str(folder), ""]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "0", "True"]


def test_leftovers_of_the_killed_are_removed(images: FolderImages, folder: Path) -> None:
    """A file that nobody can still be writing goes when a process starts; one that may be at work in another stays."""
    images.keep(A)
    leftover, at_work = folder / "unfinished" / "left", folder / "unfinished" / "at-work"
    for file in (leftover, at_work):
        file.write_bytes(b"half")
    os.utime(leftover, (1000, 1000))
    os.utime(at_work, (1001, 1001))
    FolderImages(folder, 300, lambda: 1000.5 + ABANDONED)
    assert not leftover.exists()
    assert at_work.exists()


def test_looking_makes_nothing(folder: Path) -> None:
    """A process that only reads makes no folder, and finds nothing where there is none."""
    assert FolderImages(folder, 300).load(sha256(A).hexdigest()) is None
    assert not folder.exists()


def test_a_folder_removed_while_running(images: FolderImages, folder: Path) -> None:
    """The next picture makes it again."""
    images.keep(A)
    images.ring(B)
    shutil.rmtree(folder)
    images.keep(A)
    images.ring(B)
    assert _remembered(images) == b"ab"


def test_a_place_that_cannot_be_written(folder: Path) -> None:
    """A file where the folder belongs: the fault names the place, for keeping, for the ring and for reading."""
    folder.write_bytes(b"")
    images = FolderImages(folder, 300)
    for ask in (images.keep, images.ring, lambda content: images.load(sha256(content).hexdigest())):
        with pytest.raises(LedgerUnavailable, match=f"{folder}.*: Not a directory"):
            ask(A)
