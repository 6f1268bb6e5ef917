"""A PLC as an OPC UA server, asyncua's own, in a thread with an event loop; it may be stopped and started again. And keys for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from threading import Thread
from typing import Any

from asyncua import Server, ua
from asyncua.common.callback import CallbackType
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.servers import awaited, free_port

TYPES: Mapping[str, tuple[Any, ua.VariantType]] = {
    "Sequence": (0, ua.VariantType.UInt16),
    "ResultEvaluationCode": (0, ua.VariantType.Int16),
    "Missed": (0, ua.VariantType.UInt32),
    "PartId": ("", ua.VariantType.String),
    "CreationTime": (None, ua.VariantType.DateTime),
    "Heartbeat": (False, ua.VariantType.Boolean),
    "Ready": (False, ua.VariantType.Boolean),
    "Acknowledge": (0, ua.VariantType.UInt16),
    "Recipe": (0, ua.VariantType.UInt16),
    "RecipeInForce": (0, ua.VariantType.UInt16),
}
"""The nodes of this PLC: what each holds at first, and its type."""


class Logins:
    """asyncua's user manager: one name and password."""

    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        given = password.decode() if isinstance(password, bytes) else password
        return User(role=UserRole.User) if (username, given) == ("line", "hush") else None


@dataclass
class OpcuaPlc:
    """holds: what stands in which node, kept over a restart. requests: the nodes of each write, in order. keys: certificate and key; then
    all is encrypted, and one must log in."""

    port: int = field(default_factory=free_port)
    holds: dict[str, Any] = field(default_factory=lambda: {name: value for name, (value, _) in TYPES.items()})
    requests: list[list[tuple[str, Any]]] = field(default_factory=list)
    keys: tuple[Path, Path] | None = None
    acknowledges: bool = False
    _server: Server | None = None

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        Thread(target=self._loop.run_forever, name="plc", daemon=True).start()

    def start(self) -> None:
        self._wait(self._start())

    def stop(self) -> None:
        if self._server is not None:
            self._wait(self._server.stop())
            self._server = None

    def end(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def told(self, name: str) -> list[Any]:
        """The values that a node was given, in order."""
        return [value for request in list(self.requests) for node, value in request if node == name]

    def _wait(self, task: Any) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(task, self._loop)
        done.result(60)

    async def _start(self) -> None:
        server = Server(user_manager=Logins() if self.keys else None)
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/plc")
        if self.keys:
            server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
            server.set_identity_tokens([ua.UserNameIdentityToken])
            await server.load_certificate(str(self.keys[0]))
            await server.load_private_key(self.keys[1])
        else:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await server.register_namespace("urn:plc")
        for name, (_, kind) in TYPES.items():
            node = await server.nodes.objects.add_variable(
                ua.NodeId(name, index), f"{index}:{name}", self.holds[name], varianttype=kind
            )
            await node.set_writable()
        server.subscribe_server_callback(CallbackType.PostWrite, self._written)
        self._server = server
        await server.start()

    async def _written(self, event: Any, _: Any) -> None:
        assert self._server is not None
        request = [(one.NodeId.Identifier, one.Value.Value.Value) for one in event.request_params.NodesToWrite]
        if any(name not in TYPES for name, _ in request):
            return  # the server's own
        self.holds.update(request)
        self.requests.append(request)
        if self.acknowledges and request[0][0] == "Sequence":
            node = self._server.get_node("ns=2;s=Acknowledge")
            await node.write_value(ua.Variant(request[0][1], ua.VariantType.UInt16))


@contextmanager
def opcua_plc(keys: tuple[Path, Path] | None = None, **holds: Any) -> Iterator[OpcuaPlc]:
    server = OpcuaPlc(keys=keys)
    server.holds.update(holds)
    server.start()
    try:
        yield server
    finally:
        server.end()


def keys(folder: Path, name: str, uri: str) -> tuple[Path, Path]:
    """A self-signed certificate and its key, as OPC UA wants them."""
    certificate, key = folder / f"{name}.der", folder / f"{name}.pem"
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    awaited(setup_self_signed_certificate(key, certificate, uri, gethostname(), uses, {"commonName": name}))
    return certificate, key
