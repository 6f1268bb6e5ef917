"""Kept pictures in a store that machines share, by URL: `s3://bucket/folder`, `gs://…`, `az://…`.

The line never waits for the network. A picture is on this machine's disk before the record that names it, and is shipped from
there; what is shipped stays in the ring for as long as there is room. A store that is away is tried again for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

import structlog
import yaml

from service.errors import InvalidInput, LedgerUnavailable
from service.ledger.images import FolderImages
from service.ports import Meter
from service.urls import redacted

if TYPE_CHECKING:
    from obstore.store import ObjectStore

log = structlog.get_logger()

TIMEOUT = 10.0
BACK_OFF = (1.0, 2.0, 5.0, 10.0, 30.0)
LOOK_AGAIN = 30.0
"""Seconds after which the folder is looked through although nobody said that there is something new."""

SCHEMES = ("s3", "gs", "az")
_OPTIONS = ("endpoint", "region", "credentials_file")


class SharedStore(Protocol):
    """Pictures by digest, on other machines. Every fault of the network or of the store is LedgerUnavailable."""

    def put(self, digest: str, content: bytes) -> None:
        """Durable when it returns; the same again is no change."""
        ...

    def get(self, digest: str) -> bytes | None: ...


class Bucket:
    """A bucket, or a folder of one, of an object store. Fulfils SharedStore; any thread may call it."""

    def __init__(self, url: str) -> None:
        """Raises InvalidInput; connects with the first call."""
        parts = urlsplit(url)
        self.shown = redacted(parts)
        if not parts.hostname or parts.username:
            raise InvalidInput(
                f"images.store {self.shown}: expected {parts.scheme}://BUCKET or {parts.scheme}://BUCKET/FOLDER"
            )
        try:
            from obstore import exceptions, store
        except ImportError as error:
            raise InvalidInput(
                f"images.store {self.shown}: needs the extra `stores`: pip install 'redrabbit[stores]'"
            ) from error
        self._faults = exceptions
        try:
            self._store: ObjectStore = cast(Any, store.from_url)(
                parts._replace(query="", fragment="").geturl(),
                config=_config(dict(_options(parts.query, self.shown)), self.shown),
                client_options={"timeout": f"{TIMEOUT:g}s", "connect_timeout": f"{TIMEOUT:g}s", "allow_http": True},
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=2 * TIMEOUT)},
            )
        except (exceptions.BaseError, ValueError) as error:
            raise InvalidInput(f"images.store {self.shown}: {_line(error)}") from error

    def put(self, digest: str, content: bytes) -> None:
        with self._available():
            self._store.put(_path(digest), content)

    def get(self, digest: str) -> bytes | None:
        with self._available():
            try:
                return bytes(self._store.get(_path(digest)).bytes())
            except FileNotFoundError:
                return None

    def check(self) -> None:
        """Raises InvalidInput where the store cannot be asked or refuses. Writes nothing."""
        try:
            with self._available():
                next(iter(self._store.list()), None)
        except LedgerUnavailable as error:
            raise InvalidInput(str(error)) from error

    @contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        except (self._faults.BaseError, OSError) as error:
            raise LedgerUnavailable(f"images.store {self.shown}: {_line(error)}") from error


def _options(query: str, shown: str) -> Mapping[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, _ in pairs:
        if name not in _OPTIONS or [other for other, _ in pairs].count(name) > 1:
            raise InvalidInput(
                f"images.store {shown}: option {name[:40]!r}; expected each once of {', '.join(_OPTIONS)}"
            )
    return dict(pairs)


def _config(options: Mapping[str, str], shown: str) -> dict[str, Any]:
    """What the store's client is told. Without a file of credentials it takes those of the environment or of the machine's role."""
    config: dict[str, Any] = {name: options[name] for name in ("endpoint", "region") if name in options}
    if "credentials_file" not in options:
        return config
    file = Path(options["credentials_file"])
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"images.store {shown}: {file}: cannot be read") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for pair in content.items() for value in pair):
        raise InvalidInput(
            f"images.store {shown}: {file}: expected lines such as access_key_id: NAME and secret_access_key: SECRET"
        )
    return config | content


def _path(digest: str) -> str:
    return f"{digest[:2]}/{digest}"


def _line(error: Exception) -> str:
    """The first line of what the client says, which goes on for pages."""
    return str(error).strip().partition("\n")[0][:200]


def open_store(url: str) -> Bucket:
    """The store behind `images.store`. Raises InvalidInput."""
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise InvalidInput(
            f"images.store: unknown scheme {scheme[:40]!r}; expected {', '.join(f'{one}://' for one in SCHEMES)}"
        )
    return Bucket(url)


class SharedImages:
    """Fulfils ports.ImageStore. Reads from this machine first, then from the store; what it keeps a Shipper takes there."""

    def __init__(self, here: FolderImages, store: SharedStore, kept: Callable[[], None] = lambda: None) -> None:
        """kept: told of each picture that is new here."""
        self._here = here
        self._store = store
        self._kept = kept

    def keep(self, content: bytes) -> str:
        digest = self._here.keep(content)
        self._kept()
        return digest

    def ring(self, content: bytes) -> str:
        return self._here.ring(content)

    def load(self, digest: str) -> bytes | None:
        """Raises LedgerUnavailable while the store is away, and for content that is not what its name says."""
        content = self._here.load(digest)
        if content is None and len(digest) == 64:
            content = self._store.get(digest)
            if content is not None and sha256(content).hexdigest() != digest:
                raise LedgerUnavailable(f"images.store: the picture {digest} has other content")
        return content


class Shipper:
    """Takes what is kept on this machine to the store, in a thread of its own; one for each folder. `close` leaves the rest
    for the next start."""

    def __init__(self, here: FolderImages, store: SharedStore, meter: Meter) -> None:
        self._here = here
        self._store = store
        self._meter = meter
        self._closing = Event()
        self._news = Event()
        self._thread = Thread(target=self._run, name="shipper", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """There is a new one."""
        self._news.set()

    def close(self) -> None:
        """Ships what is there if the store takes it, and gives up at the first fault."""
        self._closing.set()
        self._news.set()
        self._thread.join(2 * TIMEOUT)

    def _run(self) -> None:
        failures, last = 0, False
        while not last:
            last = self._closing.is_set()
            self._news.clear()
            try:
                self._ship()
            except LedgerUnavailable as error:
                log.warning("pictures not shipped", why=str(error))
                self._meter.store_up(False)
                failures += 1
                self._closing.wait(BACK_OFF[min(failures, len(BACK_OFF)) - 1])
            else:
                self._meter.store_up(True)
                failures = 0
                if not last:
                    self._news.wait(LOOK_AGAIN)

    def _ship(self) -> None:
        waiting = self._here.kept()
        for number, digest in enumerate(waiting):
            self._meter.pictures_waiting(len(waiting) - number)
            content = self._here.load(digest)
            if content is not None:
                self._store.put(digest, content)
                self._here.let_go(digest)
        self._meter.pictures_waiting(0)
