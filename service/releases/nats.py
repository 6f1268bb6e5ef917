"""`nats://server:4222/GROUP/NODE` (and `nats+tls://`): plain subjects for whoever listens just now; the ledger keeps what nobody heard.

`GROUP.verdicts.NODE` carries one result a part, `GROUP.state.NODE` whether the inspector is well. A verdict is told once the server has
it: the client's flush has come back. Not through a stream: a verdict that is delivered late could meet another part.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from service.jetstream import CONNECT_SECONDS, NatsOptions, connection
from service.options import parsed, unusable
from service.releases.floor import FloorOptions, FloorRelease, Surroundings, checked_host, missing, name_of
from service.releases.result import Told, as_json, result
from service.urls import redacted

if TYPE_CHECKING:
    from nats.aio.client import Client

TLS = "nats+tls"


class NatsReleaseOptions(FloorOptions, NatsOptions):
    """Those of the floor, and how the server lets one in."""


def open_nats(url: SplitResult, around: Surroundings | None) -> FloorRelease:
    """Raises InvalidInput."""
    options = parsed(NatsReleaseOptions, url, "release")
    checked_host(url, "nats://nats.example:4222/GROUP/NODE")
    found = re.fullmatch(r"/([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)", url.path)
    if found is None:
        raise unusable("release", url, f"expected a group and a node, such as {url.scheme}://{url.netloc}/parts/cells")
    try:
        import nats  # noqa: F401
    except ImportError as error:
        raise missing(url, "nats") from error
    server = url._replace(scheme="tls" if url.scheme == TLS else "nats")
    return FloorRelease(
        name_of(url), _Server(connection(server, options, redacted(url)), found[1], found[2]), options, around
    )


class _Server:
    """Fulfils floor.Peer."""

    late_is_broken = True

    def __init__(self, settings: Mapping[str, Any], group: str, node: str) -> None:
        self._settings = settings
        self._state = f"{group}.state.{node}"
        self._data = f"{group}.verdicts.{node}"
        self._client: Client | None = None

    async def open(self) -> int:
        from nats.aio.client import Client

        async def quiet(_: Exception) -> None:
            """What is wrong comes out of the call that it spoils."""

        self._client = Client()
        await self._client.connect(
            name="redrabbit release",
            allow_reconnect=False,  # the release comes back by itself, and counts what was missed meanwhile
            connect_timeout=CONNECT_SECONDS,
            error_cb=quiet,
            **self._settings,
        )
        return 0

    async def tell(self, told: Told) -> None:
        await self._publish(self._data, result(told))

    async def beat(self, count: int) -> None:
        await self._publish(self._state, {"online": True, "heartbeat": count, "timestamp": int(time.time() * 1000)})

    async def rest(self) -> None:
        await self._publish(self._state, {"online": False, "timestamp": int(time.time() * 1000)})

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def _publish(self, subject: str, content: Mapping[str, Any]) -> None:
        if self._client is None:
            raise ConnectionError("not connected")
        await self._client.publish(subject, as_json(content).encode())
        await self._client.flush()
