"""redrabbit as a Modbus server: a PLC that is the master, pymodbus' own client, polls the newest verdict; what it may not do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.constants import ExcCodes

from service.errors import InvalidInput
from service.records import Outcome
from service.releases import open_release
from tests.releases.floor import Running, part, running
from tests.servers import free_port, until

SEQUENCE, HEARTBEAT, READY, CODE, MISSED, MISSED_TOTAL, PARTS, ACKNOWLEDGE = 0, 1, 2, 3, 4, 5, 6, 8
PASS, REJECT = 1, 2


@contextmanager
def serving(options: str, port: int | None = None) -> Iterator[tuple[Running, int]]:
    """A release that listens, and at which port."""
    port = port or free_port()
    with running(f"modbus+server://127.0.0.1:{port}?{options}") as floor:
        until(lambda: floor.meter.up, "listens")
        yield floor, port


@contextmanager
def master(port: int) -> Iterator[ModbusTcpClient]:
    with closing(ModbusTcpClient("127.0.0.1", port=port, retries=0)) as client:
        assert client.connect()
        yield client


def registers(client: ModbusTcpClient, unit: int = 1) -> Sequence[int]:
    answer = client.read_holding_registers(SEQUENCE, count=8, device_id=unit)
    assert not answer.isError(), answer
    return answer.registers


def test_a_master_reads_the_newest_verdict_whole_in_one_request() -> None:
    """Whatever unit it asks for, as holding or as input registers; a heartbeat that goes up, and ready while the worker is well."""
    with serving("deadline=10s&heartbeat=100ms") as (floor, port), master(port) as plc:
        assert registers(plc)[SEQUENCE] == registers(plc)[CODE] == 0
        floor.release.release([part("a"), part("b", Outcome.PASS)])
        until(lambda: floor.meter.sent == 2, "told")
        found = registers(plc, unit=7)
        assert (found[SEQUENCE], found[CODE], found[MISSED], found[PARTS + 1]) == (2, PASS, 0, 2)
        assert plc.read_input_registers(CODE, count=1).registers == [PASS]
        beats = found[HEARTBEAT]
        until(lambda: registers(plc)[HEARTBEAT] > beats and registers(plc)[READY] == 1, "beats")
        floor.behind = 60.0
        until(lambda: registers(plc)[READY] == 0, "not ready while stuck")


def test_a_master_changes_nothing() -> None:
    """No register, no coil, nothing beyond: each refused with the protocol's own word, and the verdicts go on."""
    with serving("deadline=10s") as (floor, port), master(port) as plc:
        refused = [
            plc.write_register(SEQUENCE, 9),
            plc.write_registers(CODE, [1, 1]),
            plc.write_register(ACKNOWLEDGE, 1),
            plc.write_coil(0, True),
            plc.read_holding_registers(ACKNOWLEDGE, count=1),
            plc.read_holding_registers(60_000, count=100),
        ]
        assert all(answer.isError() for answer in refused)
        assert refused[0].exception_code == refused[1].exception_code == ExcCodes.ILLEGAL_ADDRESS
        floor.release.release([part("a")])
        until(lambda: registers(plc)[SEQUENCE] == 1 and registers(plc)[CODE] == REJECT, "the verdict is there")


def test_with_acknowledge_a_verdict_waits_for_the_masters_word() -> None:
    """Without it the deadline passes and the fail-safe is there; with it parts follow one another and none is overwritten."""
    with serving("deadline=1s&acknowledge=true&heartbeat=100ms") as (floor, port), master(port) as plc:
        floor.release.release([part("a", Outcome.PASS)])
        until(lambda: floor.meter.failsafes == 1, "nobody acknowledges")
        until(lambda: registers(plc)[MISSED] == 1, "the fail-safe is there")
        assert registers(plc)[CODE] == REJECT
        seen: list[int] = []

        def followed() -> bool:
            sequence = registers(plc)[SEQUENCE]
            if sequence not in seen:
                seen.append(sequence)
            plc.write_register(ACKNOWLEDGE, sequence)
            return floor.meter.sent >= 3

        plc.write_register(ACKNOWLEDGE, 1)
        floor.release.release([part("b"), part("c"), part("d")])
        until(followed, "acknowledged")
        assert [number for number in seen if number > 1] == [2, 3, 4]


def test_an_address_that_is_taken_is_said_and_tried_again() -> None:
    """Verdicts are missed meanwhile, counted; once it is free it listens there."""
    port = free_port()
    with serving("deadline=1s", port):
        late = Running(f"modbus+server://127.0.0.1:{port}?deadline=100ms&heartbeat=100ms")
        late.release.release([part("a")])
        until(lambda: late.meter.failsafes == 1, "missed")
        assert late.meter.up is False
    with closing(late.release), master_of(late, port) as plc:
        until(lambda: registers(plc)[READY] == 1, "ready")
        assert registers(plc)[MISSED_TOTAL] == 1


@contextmanager
def master_of(floor: Running, port: int) -> Iterator[ModbusTcpClient]:
    until(lambda: floor.meter.up, "listens")
    with master(port) as plc:
        yield plc


@pytest.mark.parametrize(
    ("url", "why"), [("modbus+server://", "address to listen on"), ("modbus+server://0.0.0.0/x", "no path")]
)
def test_what_cannot_be_listened_on_is_one_line(url: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        open_release(url)
