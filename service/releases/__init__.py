"""Where verdicts go once they are on disk: one file per kind, chosen by the scheme of its URL.

Another release is one file, one line in KINDS, its tests. None of them may hold up the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from service.errors import InvalidInput
from service.ports import Release
from service.releases.floor import Surroundings
from service.releases.log import LogRelease
from service.releases.modbus import open_modbus
from service.releases.modbus_server import open_modbus_server
from service.releases.mqtt import open_mqtt
from service.releases.nats import open_nats
from service.releases.opcua import open_opcua
from service.releases.opcua_server import open_opcua_server
from service.releases.webhook import Webhook

KINDS: Final[Mapping[str, Callable[[SplitResult], Release]]] = {
    "log": LogRelease,
    "webhook+http": Webhook,
    "webhook+https": Webhook,
    "http": Webhook,
    "https": Webhook,
}

FLOOR: Final[Mapping[str, Callable[[SplitResult, Surroundings | None], Release]]] = {
    "modbus": open_modbus,
    "modbus+tls": open_modbus,
    "modbus+server": open_modbus_server,
    "mqtt": open_mqtt,
    "mqtts": open_mqtt,
    "nats": open_nats,
    "nats+tls": open_nats,
    "opcua": open_opcua,
    "opcua+server": open_opcua_server,
}
"""Those of a machine on the floor, which has a deadline and wants to know that the worker is well."""


def open_release(url: str, around: Surroundings | None = None) -> Release:
    """The release behind `url`. around: without it one of the floor is checked, not started. Raises InvalidInput: one line, without the
    URL's password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidInput(f"release: not a URL: {str(error)[:80]!r}") from None
    if parts.scheme in FLOOR:
        return FLOOR[parts.scheme](parts, around)
    if parts.scheme not in KINDS:
        known = ", ".join(sorted([*KINDS, *FLOOR]))
        raise InvalidInput(f"release: unknown scheme {parts.scheme[:40]!r}; known schemes: {known}")
    return KINDS[parts.scheme](parts)
