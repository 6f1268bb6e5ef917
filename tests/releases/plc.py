"""A PLC as a Modbus TCP server, pymodbus' own, in a thread with an event loop; it may be stopped and started again.

It keeps its registers, as a PLC does, and remembers what was written in which order.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.servers import free_port

WRITE_COIL, WRITE_REGISTERS = 5, 16
REGISTERS = 100


@dataclass
class Plc:
    """holding, coils: as they stand. writes: (function, address, values) in order. deaf: takes requests and never answers. echo: it
    writes what it reads at one register to another, {from: to}, as a program that acknowledges does. tls: certificate and key."""

    port: int = field(default_factory=free_port)
    holding: list[int] = field(default_factory=lambda: [0] * REGISTERS)
    coils: list[int] = field(default_factory=lambda: [0] * REGISTERS)
    writes: list[tuple[int, int, list[int]]] = field(default_factory=list)
    deaf: bool = False
    echo: dict[int, int] = field(default_factory=dict)
    tls: tuple[str, str] | None = None
    _server: ModbusTcpServer | None = None

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        Thread(target=self._loop.run_forever, name="plc", daemon=True).start()

    def start(self) -> None:
        self._wait(self._start())

    def stop(self) -> None:
        if self._server is not None:
            self._wait(self._server.shutdown())
            self._server = None

    def end(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def written(self, address: int) -> list[int]:
        """The values that a holding register was given, in order."""
        return [
            values[address - first]
            for function, first, values in list(self.writes)
            if function == WRITE_REGISTERS and first <= address < first + len(values)
        ]

    def _wait(self, task: Any) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(task, self._loop)
        done.result(30)

    async def _start(self) -> None:
        blocks = (
            [SimData(0, count=REGISTERS, values=False, datatype=DataType.BITS)],
            [SimData(0, count=REGISTERS, values=False, datatype=DataType.BITS)],
            [SimData(0, count=REGISTERS, values=0, datatype=DataType.REGISTERS)],
            [SimData(0, count=REGISTERS, values=0, datatype=DataType.REGISTERS)],
        )
        device = SimDevice(1, blocks, action=self._act)
        where = ("127.0.0.1", self.port)
        if self.tls is None:
            self._server = ModbusTcpServer(device, address=where)
        else:
            self._server = ModbusTlsServer(device, address=where, sslctx=self._tls(*self.tls))
        await self._server.serve_forever(background=True)

    def _tls(self, certificate: str, key: str) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return context

    async def _act(
        self, function: int, start: int, address: int, count: int, current: list[int], values: Any
    ) -> ExcCodes | None:
        if self.deaf:
            await asyncio.sleep(60)
        kept = self.coils if function in (1, WRITE_COIL, 15) else self.holding
        if values is None:
            current[address - start : address - start + count] = kept[address : address + count]
            return None
        self.writes.append((function, address, [int(value) for value in values]))
        kept[address : address + count] = [int(value) for value in values]
        for source, target in self.echo.items():
            self.holding[target] = self.holding[source]
        return None


@contextmanager
def plc(tls: tuple[str, str] | None = None) -> Iterator[Plc]:
    server = Plc(tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.end()
