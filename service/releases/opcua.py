"""`opcua://plc:4840` writes each verdict into nodes of the PLC's OPC UA server; a map says which.

The Sequence is written last and in a request of its own, as in Modbus. How redrabbit is a server itself stands in opcua_server.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult

from pydantic import Field

from service.errors import InvalidInput
from service.options import AbsolutePath, parsed, unusable
from service.releases.floor import (
    FloorOptions,
    FloorRelease,
    Surroundings,
    checked_host,
    mapped,
    missing,
    name_of,
    secret,
)
from service.releases.result import FIELDS, Told, result

if TYPE_CHECKING:
    from asyncua import Client, Node, ua

PORT = 4840
LOOK_AGAIN = 0.005
"""Seconds between two looks at whether the PLC has acknowledged."""
PART_WITHIN = 0.5
"""Seconds for taking leave of a server that may be gone."""
NEEDED: Final = ("Sequence", "ResultEvaluationCode")
KNOWN: Final = (*FIELDS, "Heartbeat", "Ready", "Acknowledge", "Recipe", "RecipeInForce")


class OpcuaOptions(FloorOptions):
    """map_file: {field: node id}. username, password_file: of the PLC. certificate_file, key_file: who this client is, and
    server_certificate_file, whom it trusts; all three or none: then all is signed and encrypted."""

    map_file: AbsolutePath
    username: str | None = Field(default=None, min_length=1)
    password_file: AbsolutePath | None = None
    certificate_file: AbsolutePath | None = None
    key_file: AbsolutePath | None = None
    server_certificate_file: AbsolutePath | None = None


def open_opcua(url: SplitResult, around: Surroundings | None) -> FloorRelease:
    """Raises InvalidInput."""
    options = parsed(OpcuaOptions, url, "release")
    host = checked_host(url, "opcua://plc.example:4840")
    quieten(url)
    if options.password_file and not options.username:
        raise unusable("release", url, "option password_file: expected a username too")
    files = [options.certificate_file, options.key_file, options.server_certificate_file]
    if any(files) and not all(files):
        raise unusable(
            "release", url, "expected certificate_file, key_file and server_certificate_file, all three or none"
        )
    for file in files:
        if file and not file.is_file():
            raise unusable("release", url, f"{file}: no such file")
    nodes = _nodes(url, options)
    at = f"[{host}]" if ":" in host else host
    peer = _Plc(f"opc.tcp://{at}:{url.port or PORT}{url.path}", options, secret(options.password_file, url), nodes)
    return FloorRelease(name_of(url), peer, options, around)


def quieten(url: SplitResult) -> None:
    """Raises InvalidInput where the library is missing. What it would say of a lost connection, in tracebacks, is said in one line by us."""
    try:
        import asyncua  # noqa: F401
    except ImportError as error:
        raise missing(url, "opcua") from error
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)


def _nodes(url: SplitResult, options: OpcuaOptions) -> dict[str, ua.NodeId]:
    from asyncua import ua

    found = {}
    for field, text in mapped(options.map_file, url, KNOWN, NEEDED).items():
        try:
            found[field] = ua.NodeId.from_string(text)
        except (ua.UaError, ValueError) as error:
            where = f"release: {options.map_file}: {field}"
            raise InvalidInput(
                f"{where}: expected a node id, such as ns=2;s=Cell.Sequence, found {text[:60]!r}"
            ) from error
    return found


class _Plc:
    """Fulfils floor.Peer."""

    def __init__(self, address: str, options: OpcuaOptions, password: str | None, ids: Mapping[str, ua.NodeId]) -> None:
        self._address, self._options, self._password, self._ids = address, options, password, ids
        self.late_is_broken = "Acknowledge" not in ids
        self._client: Client | None = None
        self._nodes: dict[str, Node] = {}
        self._types: dict[str, ua.VariantType] = {}

    async def open(self) -> int:
        """Each node is written in the type that it has: a PLC takes no other. The sequence goes on where the PLC has it."""
        from asyncua import Client, ua
        from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

        self._client = client = Client(self._address, timeout=2.0)
        options = self._options
        if options.certificate_file and options.key_file and options.server_certificate_file:
            client.application_uri = "urn:redrabbit"
            await client.set_security(
                SecurityPolicyBasic256Sha256,
                options.certificate_file,
                options.key_file,
                server_certificate=str(options.server_certificate_file),
            )
        if options.username:
            client.set_user(options.username)
            client.set_password(self._password or "")
        await client.connect()
        self._nodes = {field: client.get_node(node) for field, node in self._ids.items()}
        for field, node in self._nodes.items():
            try:
                self._types[field] = await node.read_data_type_as_variant_type()
            except ua.UaError as error:
                raise ConnectionError(f"{field} at {self._ids[field].to_string()}: {error}") from error
        last = await self._nodes["Sequence"].read_value()
        return int(last)

    async def tell(self, told: Told) -> None:
        fields = result(told)
        sequence = fields.pop("Sequence")
        await self._write(fields)
        await self._write({"Sequence": sequence})
        if "Acknowledge" in self._nodes:
            wanted = fitted(sequence, self._types["Sequence"], "Sequence")
            while await self._nodes["Acknowledge"].read_value() != wanted:
                await asyncio.sleep(LOOK_AGAIN)

    async def beat(self, count: int) -> None:
        await self._write({"Ready": True, "Heartbeat": count})

    async def rest(self) -> None:
        await self._write({"Ready": False})

    async def recipe(self, in_force: int) -> int | None:
        await self._write({"RecipeInForce": in_force})
        return int(await self._nodes["Recipe"].read_value()) if "Recipe" in self._nodes else None

    async def close(self) -> None:
        if self._client is None:
            return
        client, self._client, self._nodes = self._client, None, {}
        try:
            async with asyncio.timeout(PART_WITHIN):
                await client.disconnect()
        finally:
            client.disconnect_socket()

    async def _write(self, values: Mapping[str, Any]) -> None:
        from asyncua import ua

        wanted = [field for field in values if field in self._nodes]
        if self._client is None:
            raise ConnectionError("not connected")
        if not wanted:
            return
        # Without timestamps: some PLCs refuse a value that brings its own.
        contents = [
            ua.DataValue(ua.Variant(fitted(values[field], self._types[field], field), self._types[field]))
            for field in wanted
        ]
        codes = await self._client.uaclient.write_attributes(
            [self._nodes[field].nodeid for field in wanted], contents, ua.AttributeIds.Value
        )
        for field, code in zip(wanted, codes, strict=True):
            if not code.is_good():
                raise ConnectionError(f"the PLC refuses {field} at {self._ids[field].to_string()}: {code.name}")


def fitted(value: object, kind: ua.VariantType, field: str) -> object:
    """The value as a node of this type holds it. A number that is too large starts from 0 again; in a Boolean a number shows its lowest bit, so
    that a heartbeat toggles. Raises ValueError."""
    name = kind.name
    if name == "String" and not isinstance(value, datetime):
        return str(value)
    if name == "DateTime" and isinstance(value, datetime):
        return value
    if isinstance(value, str | datetime) or not isinstance(value, int):
        raise ValueError(f"{field}: a node of type {name} cannot hold it")
    if name == "Boolean":
        return bool(value & 1)
    bits = {"SByte": 7, "Byte": 8, "Int16": 15, "UInt16": 16, "Int32": 31, "UInt32": 32, "Int64": 63, "UInt64": 64}.get(
        name
    )
    if bits is None:
        raise ValueError(f"{field}: a node of type {name} cannot hold it")
    return int(value) & ((1 << bits) - 1)
