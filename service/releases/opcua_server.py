"""`opcua+server://0.0.0.0:4840` is an OPC UA server: PLCs and SCADA read the newest verdict, or subscribe to it.

Nodes are called `s=redrabbit.FIELD`, in the words of OPC 40100-1. Nobody may write but, where asked for, one node: Acknowledge.
"""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult

from pydantic import Field

from service.options import AbsolutePath, parsed, unusable
from service.releases.floor import FloorOptions, FloorRelease, Surroundings, checked_host, name_of, secret
from service.releases.opcua import LOOK_AGAIN, PORT, fitted, quieten
from service.releases.result import FIELDS, Told, result

if TYPE_CHECKING:
    from asyncua import Node, Server

NAMESPACE: Final = "urn:redrabbit:floor"
APPLICATION: Final = "urn:redrabbit"
BUILT_WITHIN = 60.0
"""Seconds: the standard's own nodes are some thousands, which takes a few on a small machine."""
_NUMBERS = {"Missed", "MissedTotal", "Sequence", "Heartbeat", "Acknowledge"}


class OpcuaServerOptions(FloorOptions):
    """acknowledge: a verdict counts as taken once a client has written its Sequence to Acknowledge. username, password_file: without which
    nobody is let in. certificate_file, key_file: then all is signed and encrypted."""

    acknowledge: bool = False
    username: str | None = Field(default=None, min_length=1)
    password_file: AbsolutePath | None = None
    certificate_file: AbsolutePath | None = None
    key_file: AbsolutePath | None = None


def open_opcua_server(url: SplitResult, around: Surroundings | None) -> FloorRelease:
    """Raises InvalidInput."""
    options = parsed(OpcuaServerOptions, url, "release")
    host = checked_host(url, "opcua+server://0.0.0.0:4840, the address to listen on")
    quieten(url)
    if bool(options.username) != bool(options.password_file):
        raise unusable("release", url, "expected username and password_file, both or neither")
    if bool(options.certificate_file) != bool(options.key_file):
        raise unusable("release", url, "expected certificate_file and key_file, both or neither")
    for file in (options.certificate_file, options.key_file):
        if file and not file.is_file():
            raise unusable("release", url, f"{file}: no such file")
    address = f"opc.tcp://{host}:{url.port or PORT}{url.path or '/redrabbit'}"
    peer = _Clients(address, options, secret(options.password_file, url))
    return FloorRelease(name_of(url), peer, options, around, BUILT_WITHIN)


class _Clients:
    """Fulfils floor.Peer: whoever reads."""

    def __init__(self, address: str, options: OpcuaServerOptions, password: str | None) -> None:
        self._address, self._options, self._password = address, options, password
        self.late_is_broken = False
        self._server: Server | None = None
        self._nodes: dict[str, Node] = {}

    async def open(self) -> int:
        server = _server(self._options, self._password)
        await server.init()
        await server.set_application_uri(APPLICATION)
        server.set_endpoint(self._address)
        server.set_server_name("redrabbit")
        server.allow_remote_admin(False)
        await self._secure(server)
        index = await server.register_namespace(NAMESPACE)
        await self._add_nodes(server, index)
        self._server = server
        await server.start()
        return 0

    async def tell(self, told: Told) -> None:
        fields = result(told)
        sequence = fields.pop("Sequence")
        for field, value in fields.items():
            await self._write(field, value)
        await self._write("Sequence", sequence)
        if self._options.acknowledge:
            while await self._nodes["Acknowledge"].read_value() != sequence:
                await asyncio.sleep(LOOK_AGAIN)

    async def beat(self, count: int) -> None:
        await self._write("Ready", True)
        await self._write("Heartbeat", count)

    async def rest(self) -> None:
        await self._write("Ready", False)

    async def close(self) -> None:
        if self._server is not None:
            server, self._server, self._nodes = self._server, None, {}
            await server.stop()

    async def _secure(self, server: Server) -> None:
        from asyncua import ua

        if self._options.certificate_file and self._options.key_file:
            server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
            await server.load_certificate(str(self._options.certificate_file))
            await server.load_private_key(self._options.key_file)
        else:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        tokens = [ua.UserNameIdentityToken] if self._options.username else [ua.AnonymousIdentityToken]
        server.set_identity_tokens(tokens)

    async def _add_nodes(self, server: Server, index: int) -> None:
        from asyncua import ua

        folder = await server.nodes.objects.add_object(ua.NodeId("redrabbit", index), f"{index}:redrabbit")
        fields = [*FIELDS, "Heartbeat", "Ready"]
        for field in [*fields, "Acknowledge"] if self._options.acknowledge else fields:
            value, kind = _start(field)
            node = await folder.add_variable(
                ua.NodeId(f"redrabbit.{field}", index), f"{index}:{field}", value, varianttype=kind
            )
            self._nodes[field] = node
        if self._options.acknowledge:
            await self._nodes["Acknowledge"].set_writable()

    async def _write(self, field: str, value: Any) -> None:
        from asyncua import ua

        if self._server is None:
            raise ConnectionError("not listening")
        _, kind = _start(field)
        now = datetime.now(UTC)
        content = ua.DataValue(ua.Variant(fitted(value, kind, field), kind), SourceTimestamp=now, ServerTimestamp=now)
        await self._server.write_attribute_value(self._nodes[field].nodeid, content)


def _server(options: OpcuaServerOptions, password: str | None) -> Server:
    from asyncua import Server
    from asyncua.crypto.permission_rules import User, UserRole

    class Logins:
        """Who may read: everybody, or who knows the password."""

        def get_user(
            self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
        ) -> User | None:
            if options.username is None:
                return User(role=UserRole.User)
            known = hmac.compare_digest((username or "").encode(), options.username.encode())
            right = hmac.compare_digest(_text(password), wanted)
            return User(role=UserRole.User) if known and right else None

    wanted = (password or "").encode()
    return Server(user_manager=Logins())


def _text(password: str | bytes | None) -> bytes:
    return password if isinstance(password, bytes) else (password or "").encode()


def _start(field: str) -> tuple[Any, Any]:
    """What a node holds before the first verdict, and its type."""
    from asyncua import ua

    if field in _NUMBERS:
        return 0, ua.VariantType.UInt32
    if field in ("IsPartial", "IsSimulated", "Ready"):
        return False, ua.VariantType.Boolean
    if field == "CreationTime":
        return datetime(1970, 1, 1, tzinfo=UTC), ua.VariantType.DateTime
    if field in ("ResultState", "ResultEvaluation", "ResultEvaluationCode"):
        return 0, ua.VariantType.Int32
    return "", ua.VariantType.String
