"""Pictures in a store that machines share: a real HTTP server that speaks S3, which goes away and comes back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest

from service.errors import InvalidInput, LedgerUnavailable
from service.ledger import sharing
from service.ledger.images import FolderImages
from service.ledger.sharing import Bucket, SharedImages, Shipper, open_store
from tests.line import Counts
from tests.servers import free_port, until

A, B = b"a" * 100, b"b" * 100
DIGEST = sha256(A).hexdigest()


@contextmanager
def _s3(port: int) -> Iterator[None]:
    """An empty S3 with the bucket `parts`."""
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _made(port), "the bucket is made")
        yield
    finally:
        server.kill()
        server.wait()


def _made(port: int) -> bool:
    try:
        return httpx.put(f"http://127.0.0.1:{port}/parts", timeout=5).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    found = free_port()
    with _s3(found):
        yield found


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    file = tmp_path / "store.yaml"
    file.write_text("access_key_id: worker\nsecret_access_key: very secret\n")
    return file


def _url(port: int, secrets: Path, bucket: str = "parts/north") -> str:
    return f"s3://{bucket}?endpoint=http://127.0.0.1:{port}&region=us-east-1&credentials_file={secrets}"


@pytest.fixture
def store(port: int, secrets: Path, tmp_path: Path) -> Bucket:
    """A folder of the bucket of this test's own."""
    return open_store(_url(port, secrets, f"parts/{tmp_path.name}"))


@pytest.fixture
def here(tmp_path: Path) -> FolderImages:
    return FolderImages(tmp_path / "here", 10**6)


def test_a_picture_that_was_put_is_got(store: Bucket) -> None:
    """The same again is no change; what was never put is not there."""
    store.check()
    store.put(DIGEST, A)
    store.put(DIGEST, A)
    assert store.get(DIGEST) == A
    assert store.get(sha256(B).hexdigest()) is None


def test_another_machine_sees_what_one_has_kept(store: Bucket, here: FolderImages, tmp_path: Path) -> None:
    """Shipped by itself; here it stays in the ring, and the station beside the worker needs no network."""
    meter = Counts()
    with closing(Shipper(here, store, meter)) as shipper:
        images = SharedImages(here, store, shipper.look)
        digest = images.keep(A)
        until(lambda: store.get(digest) == A, "the picture is shipped")
        until(lambda: not here.kept(), "it is let go here")
    there = SharedImages(FolderImages(tmp_path / "there", 10**6), store)
    assert there.load(digest) == here.load(digest) == A
    assert (meter.store[-1], meter.waiting) == (True, 0)


def test_pictures_of_passed_parts_stay_here(store: Bucket, here: FolderImages) -> None:
    """They would be most of the traffic, and nobody needs to label them."""
    with closing(Shipper(here, store, Counts())) as shipper:
        digest = SharedImages(here, store, shipper.look).ring(A)
    assert store.get(digest) is None


def test_what_was_not_shipped_is_shipped_at_the_next_start(store: Bucket, here: FolderImages) -> None:
    """A worker that was killed had it on disk."""
    digest = here.keep(A)
    with closing(Shipper(here, store, Counts())):
        pass
    assert store.get(digest) == A
    assert here.kept() == []


def test_a_store_that_is_away_holds_nobody_up(secrets: Path, here: FolderImages) -> None:
    """Pictures are kept meanwhile and shipped when it is back; nothing is let go before."""
    port, meter = free_port(), Counts()
    store = open_store(_url(port, secrets, "parts"))
    with patch.object(sharing, "BACK_OFF", (0.1,)), closing(Shipper(here, store, meter)) as shipper:
        images = SharedImages(here, store, shipper.look)
        first, second = images.keep(A), images.keep(B)
        until(lambda: False in meter.store, "it is told that the store takes nothing")
        assert sorted(here.kept()) == sorted([first, second])
        assert images.load(first) == A
        with _s3(port):
            until(lambda: not here.kept(), "both are shipped")
            assert (store.get(first), store.get(second)) == (A, B)
    assert meter.store[-1]


def test_a_store_that_is_away_is_said_to_be(secrets: Path, here: FolderImages) -> None:
    """A picture that cannot be asked for is not one that is not there."""
    images = SharedImages(here, open_store(_url(free_port(), secrets)))
    with pytest.raises(LedgerUnavailable, match=r"images\.store s3://parts/north"):
        images.load(DIGEST)


def test_content_of_another_name_is_no_picture(store: Bucket, here: FolderImages) -> None:
    """A store is no part of what can be trusted."""
    store.put(DIGEST, B)
    with pytest.raises(LedgerUnavailable, match="other content"):
        SharedImages(here, store).load(DIGEST)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("ftp://parts", "unknown scheme 'ftp'"),
        ("s3://", "expected s3://BUCKET"),
        ("s3://parts?endpint=x", "option 'endpint'"),
        ("s3://parts?region=a&region=b", "option 'region'"),
        ("s3://parts?credentials_file=/nowhere/at-all", "/nowhere/at-all: cannot be read"),
    ],
)
def test_bad_input_is_named(url: str, named: str) -> None:
    """One line."""
    with pytest.raises(InvalidInput, match=r"images\.store") as refused:
        open_store(url)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", ["- a list", "access_key_id: 7", "acces_key: typo", "{"])
def test_a_bad_file_of_credentials_is_named_and_not_repeated(port: int, secrets: Path, content: str) -> None:
    secrets.write_text(content)
    with pytest.raises(InvalidInput) as refused:
        open_store(_url(port, secrets))
    assert "\n" not in str(refused.value)


def test_a_bucket_that_is_not_there_fails_the_check(port: int, secrets: Path) -> None:
    """Which `redrabbit check` runs."""
    with pytest.raises(InvalidInput, match=r"images\.store s3://nobody"):
        open_store(_url(port, secrets, "nobody")).check()
