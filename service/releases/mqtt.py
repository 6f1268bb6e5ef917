"""`mqtt://broker:1883/GROUP/NODE` (and `mqtts://`, over TLS): topics are named the way Sparkplug does, what they carry is JSON.

`redrabbit/GROUP/STATE/NODE` is retained and says whether the inspector is well; the broker says that it is not, by the last will, when the
connection is gone. `redrabbit/GROUP/NDATA/NODE` carries one result a part. A verdict is told once the broker has acknowledged it.
"""

from __future__ import annotations

import math
import re
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from pydantic import Field

from service.options import AbsolutePath, parsed, unusable
from service.releases.floor import (
    FloorOptions,
    FloorRelease,
    Surroundings,
    checked_host,
    missing,
    name_of,
    secret,
    tls_context,
)
from service.releases.result import Told, as_json, result

if TYPE_CHECKING:
    from aiomqtt import Client

_PLAIN, _TLS = 1883, 8883


class MqttOptions(FloorOptions):
    """username, password_file: of the broker. ca_file: of a private authority. certificate_file, key_file: who this client is."""

    username: str | None = Field(default=None, min_length=1)
    password_file: AbsolutePath | None = None
    ca_file: AbsolutePath | None = None
    certificate_file: AbsolutePath | None = None
    key_file: AbsolutePath | None = None


def open_mqtt(url: SplitResult, around: Surroundings | None) -> FloorRelease:
    """Raises InvalidInput."""
    options = parsed(MqttOptions, url, "release")
    host = checked_host(url, "mqtt://broker.example/GROUP/NODE")
    found = re.fullmatch(r"/([^/+#\0]+)/([^/+#\0]+)", url.path)
    if found is None:
        raise unusable("release", url, f"expected a group and a node, such as {url.scheme}://{host}/GROUP/NODE")
    if options.password_file and not options.username:
        raise unusable("release", url, "option password_file: expected a username too")
    try:
        import aiomqtt  # noqa: F401
    except ImportError as error:
        raise missing(url, "mqtt") from error
    tls = tls_context(url, options.ca_file, options.certificate_file, options.key_file, wanted=url.scheme == "mqtts")
    settings: dict[str, Any] = {
        "hostname": host,
        "port": url.port or (_TLS if tls else _PLAIN),
        "username": options.username,
        "password": secret(options.password_file, url),
        # The broker sends the last will after one and a half times as long without a sign of life.
        "keepalive": max(1, math.ceil(options.heartbeat)),
    }
    return FloorRelease(name_of(url), _Broker(settings, tls, found[1], found[2]), options, around)


class _Broker:
    """Fulfils floor.Peer."""

    def __init__(self, settings: dict[str, Any], tls: ssl.SSLContext | None, group: str, node: str) -> None:
        self._settings = settings
        self.late_is_broken = True
        self._tls = tls
        self._state = f"redrabbit/{group}/STATE/{node}"
        self._data = f"redrabbit/{group}/NDATA/{node}"
        self._client: Client | None = None

    async def open(self) -> int:
        from aiomqtt import Client, Will

        will = Will(self._state, as_json({"online": False}), qos=1, retain=True)
        client = Client(**self._settings, will=will, tls_context=self._tls, timeout=5.0)
        await client.__aenter__()
        self._client = client
        return 0

    async def tell(self, told: Told) -> None:
        await self._publish(self._data, result(told), retain=False)

    async def beat(self, count: int) -> None:
        await self._publish(self._state, {"online": True, "heartbeat": count, "timestamp": _now()}, retain=True)

    async def rest(self) -> None:
        await self._publish(self._state, {"online": False, "timestamp": _now()}, retain=True)

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.__aexit__(None, None, None)

    async def _publish(self, topic: str, content: dict[str, Any], retain: bool) -> None:
        if self._client is None:
            raise ConnectionError("not connected")
        await self._client.publish(topic, as_json(content), qos=1, retain=retain)


def _now() -> int:
    """Milliseconds since 1970, as Sparkplug counts."""
    return int(time.time() * 1000)
