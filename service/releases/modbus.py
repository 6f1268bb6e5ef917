"""`modbus://plc:502` (and `modbus+tls://plc:802`) writes each verdict into registers of the PLC, over Modbus TCP.

The Sequence is written last and in a request of its own: a PLC that waits for it to change never reads half a result.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final
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
    tls_context,
)
from service.releases.result import Told

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.pdu import ModbusPDU

PLAIN, TLS = 502, 802
LOOK_AGAIN = 0.005
"""Seconds between two looks at whether the PLC has acknowledged."""

WORDS: Final[Mapping[str, int]] = {
    "Sequence": 1,
    "Heartbeat": 1,
    "Ready": 1,
    "ResultEvaluationCode": 1,
    "Missed": 1,
    "MissedTotal": 1,
    "Parts": 2,
    "Acknowledge": 1,
    "Recipe": 1,
    "RecipeInForce": 1,
}
"""How many registers each field takes, in the order in which they lie one after the other where no map says otherwise."""
ONLY_MAPPED = ("Acknowledge", "Recipe", "RecipeInForce")
"""A PLC that writes no acknowledgement would miss every verdict, so that these are there only where a map asks for them."""
HIGHEST = 0xFFFF
"""That a register holds, and the last address."""


class ModbusOptions(FloorOptions):
    """unit: of the PLC behind a gateway. base: first holding register, from 0. map_file: where each field lies, in place of base.
    ca_file: of a private authority. certificate_file, key_file: who this client is."""

    unit: Annotated[int, Field(ge=0, le=247)] = 1
    base: Annotated[int, Field(ge=0, le=HIGHEST - 8)] = 0
    map_file: AbsolutePath | None = None
    ca_file: AbsolutePath | None = None
    certificate_file: AbsolutePath | None = None
    key_file: AbsolutePath | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """coil: else holding registers. address: from 0, as on the wire."""

    coil: bool
    address: int


def open_modbus(url: SplitResult, around: Surroundings | None) -> FloorRelease:
    """Raises InvalidInput."""
    options = parsed(ModbusOptions, url, "release")
    host = checked_host(url, "modbus://plc.example:502")
    if url.path.strip("/"):
        raise unusable("release", url, "expected no path: unit= and base= are options")
    try:
        import pymodbus  # noqa: F401
    except ImportError as error:
        raise missing(url, "modbus") from error
    secured = url.scheme == "modbus+tls"
    tls = tls_context(url, options.ca_file, options.certificate_file, options.key_file, wanted=secured)
    peer = _Plc(host, url.port or (TLS if secured else PLAIN), tls, options.unit, _places(url, options))
    return FloorRelease(name_of(url), peer, options, around)


def _places(url: SplitResult, options: ModbusOptions) -> dict[str, _Place]:
    if options.map_file is None:
        found, address = {}, options.base
        for field, words in WORDS.items():
            if field not in ONLY_MAPPED:
                found[field] = _Place(False, address)
                address += words
        return found
    written = mapped(options.map_file, url, WORDS, ("Sequence", "ResultEvaluationCode"))
    return {field: _place(field, text, f"release: {options.map_file}") for field, text in written.items()}


def _place(field: str, text: str, where: str) -> _Place:
    match = re.fullmatch(r"(holding|coil) (\d{1,5})", text)
    address = int(match[2]) if match else HIGHEST + 1
    if match is None or address + WORDS[field] - 1 > HIGHEST:
        raise InvalidInput(
            f"{where}: {field}: expected `holding N` or `coil N`, N from 0 to 65535, found {text[:40]!r}"
        )
    if match[1] == "coil" and field not in ("Ready", "Heartbeat"):
        raise InvalidInput(f"{where}: {field}: a coil holds no number; expected `holding N`, found {text!r}")
    return _Place(match[1] == "coil", address)


class _Plc:
    """Fulfils floor.Peer."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, unit: int, places: Mapping[str, _Place]
    ) -> None:
        self._host, self._port, self._tls, self._unit = host, port, tls, unit
        self._places = places
        self.late_is_broken = "Acknowledge" not in places
        self._client: AsyncModbusTcpClient | None = None

    async def open(self) -> int:
        """The sequence goes on where the PLC has it: beginning anew it could meet the number that is there, and nothing would change."""
        from pymodbus.client import AsyncModbusTcpClient, AsyncModbusTlsClient

        once: dict[str, Any] = {"port": self._port, "retries": 0, "reconnect_delay": 0}
        if self._tls is None:
            self._client = AsyncModbusTcpClient(self._host, **once)
        else:
            self._client = AsyncModbusTlsClient(self._host, sslctx=self._tls, **once)
        if not await self._client.connect():
            raise ConnectionError("not connected")
        return await self._read("Sequence")

    async def tell(self, told: Told) -> None:
        await self._write(
            {
                "ResultEvaluationCode": int(told.say),
                "Missed": min(told.missed, HIGHEST),
                "MissedTotal": told.missed_ever,
                "Parts": told.number,
            }
        )
        await self._write({"Sequence": told.number})
        if "Acknowledge" in self._places:
            while await self._read("Acknowledge") != told.number & HIGHEST:
                await asyncio.sleep(LOOK_AGAIN)

    async def beat(self, count: int) -> None:
        await self._write({"Ready": 1, "Heartbeat": count})

    async def rest(self) -> None:
        await self._write({"Ready": 0})

    async def recipe(self, in_force: int) -> int | None:
        await self._write({"RecipeInForce": in_force})
        return await self._read("Recipe") if "Recipe" in self._places else None

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            client.close()

    @property
    def _connected(self) -> AsyncModbusTcpClient:
        if self._client is None:
            raise ConnectionError("not connected")
        return self._client

    async def _read(self, field: str) -> int:
        address = self._places[field].address
        answer = await self._connected.read_holding_registers(address, count=1, device_id=self._unit)
        return int(_good(answer, f"{field} at holding register {address}").registers[0])

    async def _write(self, values: Mapping[str, int]) -> None:
        """Fields that lie side by side go in one request. A coil shows the lowest bit: a heartbeat there toggles."""
        client = self._connected
        words: dict[int, int] = {}
        for field, value in values.items():
            place = self._places.get(field)
            if place is None:
                continue
            if place.coil:
                answer = await client.write_coil(place.address, bool(value & 1), device_id=self._unit)
                _good(answer, f"{field} at coil {place.address}")
                continue
            words |= enumerate(words_of(field, value), place.address)
        for address, block in _blocks(words):
            answer = await client.write_registers(address, block, device_id=self._unit)
            _good(answer, f"holding register {address}, {len(block)} of them")


def words_of(field: str, value: int) -> Sequence[int]:
    """The value as the field's registers hold it, 16 bits each, the high word first; a number that is too large starts from 0 again."""
    return [value >> 16 * (WORDS[field] - 1 - number) & HIGHEST for number in range(WORDS[field])]


def _blocks(words: Mapping[int, int]) -> list[tuple[int, Sequence[int]]]:
    """{address: word} as runs of addresses without a gap."""
    found: list[tuple[int, list[int]]] = []
    for address in sorted(words):
        if found and address == found[-1][0] + len(found[-1][1]):
            found[-1][1].append(words[address])
        else:
            found.append((address, [words[address]]))
    return [*found]


def _good(answer: ModbusPDU, what: str) -> ModbusPDU:
    if answer.isError():
        raise ConnectionError(f"the PLC refuses {what}: {answer}")
    return answer
