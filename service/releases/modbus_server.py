"""`modbus+server://0.0.0.0:502` is a Modbus TCP server: a PLC that is the master reads the newest verdict from its holding registers.

They lie as `modbus://` writes them without a map, from address 0, and change all at once: who reads them in one request never reads half a
result. Nobody may write but, where asked for, one register: Acknowledge.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult

from service.options import parsed, unusable
from service.releases.floor import FloorOptions, FloorRelease, Surroundings, checked_host, missing, name_of
from service.releases.modbus import HIGHEST, LOOK_AGAIN, ONLY_MAPPED, PLAIN, WORDS, words_of
from service.releases.result import Told

if TYPE_CHECKING:
    from pymodbus.constants import ExcCodes
    from pymodbus.server import ModbusTcpServer

READ_HOLDING, READ_INPUT, WRITE_ONE, WRITE_SEVERAL = 3, 4, 6, 16
ANY_UNIT = 0


class ModbusServerOptions(FloorOptions):
    """acknowledge: a verdict counts as taken once the master has written its Sequence to Acknowledge, the register after the last one."""

    acknowledge: bool = False


def open_modbus_server(url: SplitResult, around: Surroundings | None) -> FloorRelease:
    """Raises InvalidInput."""
    options = parsed(ModbusServerOptions, url, "release")
    host = checked_host(url, "modbus+server://0.0.0.0:502, the address to listen on")
    if url.path.strip("/"):
        raise unusable("release", url, "expected no path")
    try:
        import pymodbus  # noqa: F401
    except ImportError as error:
        raise missing(url, "modbus") from error
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)
    return FloorRelease(name_of(url), _Masters(host, url.port or PLAIN, options.acknowledge), options, around)


SIZE: Final = sum(words for field, words in WORDS.items() if field not in ONLY_MAPPED)
FIRST: Final = {field: sum([*WORDS.values()][:at]) for at, field in enumerate(WORDS)}
"""The first register of each field; Acknowledge is the one after the others."""


class _Masters:
    """Fulfils floor.Peer: whoever reads."""

    def __init__(self, host: str, port: int, acknowledge: bool) -> None:
        self._where = (host, port)
        self._acknowledge = acknowledge
        self.late_is_broken = False
        self._server: ModbusTcpServer | None = None
        self._size = SIZE + (WORDS["Acknowledge"] if acknowledge else 0)
        self._registers = [0] * self._size

    async def open(self) -> int:
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        coils = [SimData(0, count=1, values=False, datatype=DataType.BITS)]
        registers = [SimData(0, count=self._size, values=0, datatype=DataType.REGISTERS)]
        device = SimDevice(ANY_UNIT, (coils, coils, registers, registers), action=self._asked)
        self._server = ModbusTcpServer(device, address=self._where)
        await self._server.serve_forever(background=True)
        return 0

    async def tell(self, told: Told) -> None:
        self._set(
            ResultEvaluationCode=int(told.say),
            Missed=min(told.missed, HIGHEST),
            MissedTotal=told.missed_ever,
            Parts=told.number,
            Sequence=told.number,
        )
        while self._acknowledge and self._registers[FIRST["Acknowledge"]] != told.number & HIGHEST:
            await asyncio.sleep(LOOK_AGAIN)

    async def beat(self, count: int) -> None:
        self._set(Ready=1, Heartbeat=count)

    async def rest(self) -> None:
        self._set(Ready=0)

    async def close(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.shutdown()  # type: ignore[no-untyped-call]

    def _set(self, **fields: int) -> None:
        if self._server is None:
            raise ConnectionError("not listening")
        for field, value in fields.items():
            self._registers[FIRST[field] : FIRST[field] + WORDS[field]] = words_of(field, value)

    async def _asked(
        self, function: int, start: int, address: int, count: int, current: list[int], values: Any
    ) -> ExcCodes | None:
        """pymodbus' own registers are never looked at: `current` takes what it answers with."""
        from pymodbus.constants import ExcCodes

        if function in (READ_HOLDING, READ_INPUT):
            current[address - start : address - start + count] = self._registers[address : address + count]
            return None
        if function not in (WRITE_ONE, WRITE_SEVERAL):
            return ExcCodes.ILLEGAL_FUNCTION
        if not self._acknowledge or (address, count) != (FIRST["Acknowledge"], 1):
            return ExcCodes.ILLEGAL_ADDRESS
        self._registers[address] = int(values[0])
        return None
