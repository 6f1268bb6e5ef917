"""redrabbit as an OPC UA server: a PLC or SCADA, asyncua's own client, reads the newest verdict or subscribes; what it may not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.sync import Client

from service.records import Outcome
from tests.releases.floor import Running, part, running
from tests.releases.opcua import keys
from tests.servers import free_port, until

PASS, REJECT = 1, 2


@contextmanager
def serving(options: str, port: int | None = None) -> Iterator[tuple[Running, str]]:
    """A release that listens, and where."""
    port = port or free_port()
    with running(f"opcua+server://127.0.0.1:{port}?{options}") as floor:
        until(lambda: floor.meter.up, "listens")
        yield floor, f"opc.tcp://127.0.0.1:{port}/redrabbit"


def value(client: Client, field: str) -> Any:
    return client.get_node(f"ns=2;s=redrabbit.{field}").read_value()


def test_a_client_reads_the_newest_verdict_in_the_words_of_the_standard_and_changes_nothing() -> None:
    """Every node by its name; none can be written, and nobody is an administrator."""
    with serving("deadline=10s&heartbeat=100ms") as (floor, address), Client(address) as scada:
        assert (value(scada, "Sequence"), value(scada, "ResultEvaluationCode")) == (0, 0)
        floor.release.release([part("a"), part("b", Outcome.AUDIT)])
        until(lambda: floor.meter.sent == 2, "told")
        assert scada.get_namespace_array()[2] == "urn:redrabbit:floor"
        shown = {field: value(scada, field) for field in ("PartId", "ResultState", "ResultEvaluation", "Sequence")}
        assert shown == {"PartId": "b", "ResultState": 1, "ResultEvaluation": 1, "Sequence": 2}
        assert value(scada, "ResultEvaluationCode") == PASS
        assert value(scada, "IsPartial") is False
        with pytest.raises(ua.UaError):
            scada.get_node("ns=2;s=redrabbit.Sequence").write_value(9, ua.VariantType.UInt32)
        beats = value(scada, "Heartbeat")
        until(lambda: value(scada, "Heartbeat") > beats and value(scada, "Ready"), "beats")
        floor.behind = 60.0
        until(lambda: not value(scada, "Ready"), "not ready while stuck")


class Notes:
    """Of a subscription to Sequence: the part that is there when it changes."""

    def __init__(self) -> None:
        self.sequences: list[int] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.sequences.append(value)


def test_a_client_that_subscribes_is_told_and_acknowledges() -> None:
    """Without its acknowledgement the deadline passes; with it, parts follow one another, and the sequence tells the missed ones."""
    with serving("deadline=1s&acknowledge=true&heartbeat=100ms") as (floor, address), Client(address) as plc:
        notes = Notes()
        subscription = plc.create_subscription(10, notes)
        subscription.subscribe_data_change(plc.get_node("ns=2;s=redrabbit.Sequence"))
        floor.release.release([part("a")])
        until(lambda: floor.meter.failsafes == 1, "nobody acknowledges")
        until(lambda: 1 in notes.sequences, "notified")
        until(lambda: value(plc, "Missed") == 1, "the fail-safe is there")
        assert value(plc, "ResultEvaluationCode") == REJECT
        acknowledge = plc.get_node("ns=2;s=redrabbit.Acknowledge")
        acknowledge.write_value(value(plc, "Sequence"), ua.VariantType.UInt32)

        def taken() -> bool:
            floor.release.release([part("b", Outcome.PASS)])
            acknowledge.write_value(value(plc, "Sequence"), ua.VariantType.UInt32)
            return floor.meter.sent > 0

        until(taken, "acknowledged")


def test_a_worker_that_starts_again_is_found_at_the_same_place() -> None:
    """While it is away nobody answers, which the PLC sees; then the client is let in again."""
    port = free_port()
    with serving("heartbeat=100ms", port) as (_, address), Client(address) as scada:
        until(lambda: value(scada, "Ready"), "ready")
    with pytest.raises(OSError), Client(address):
        pass
    with serving("heartbeat=100ms", port) as (_, address), Client(address) as scada:
        until(lambda: value(scada, "Ready"), "ready again")


def test_an_address_that_is_taken_is_said_and_tried_again(capfd: pytest.CaptureFixture[str]) -> None:
    """Verdicts are missed meanwhile, counted; the line runs on."""
    with serving("deadline=1s") as (first, address):
        port = int(address.rpartition(":")[2].partition("/")[0])
        with running(f"opcua+server://127.0.0.1:{port}?deadline=100ms") as second:
            second.release.release([part("a")])
            until(lambda: second.meter.failsafes == 1, "missed")
            until(lambda: "release does not work" in capfd.readouterr().out, "said")
            assert (second.meter.up, first.meter.up) == (False, True)


def test_only_who_knows_the_password_is_let_in_over_an_encrypted_channel(tmp_path: Path) -> None:
    """Another password, none, and the clear: all refused."""
    ours, theirs = keys(tmp_path, "redrabbit", "urn:redrabbit"), keys(tmp_path, "scada", "urn:scada")
    (password := tmp_path / "password").write_text("hush\n")
    options = f"certificate_file={ours[0]}&key_file={ours[1]}&username=scada&password_file={password}"
    with serving(options) as (_, address):

        def let_in(secret: str, secured: bool = True) -> bool:
            client = Client(address)
            client.application_uri = client.aio_obj.application_uri = "urn:scada"
            try:
                if secured:
                    client.set_security(SecurityPolicyBasic256Sha256, str(theirs[0]), str(theirs[1]))
                if secret:
                    client.set_user("scada")
                    client.set_password(secret)
                client.connect()
            except (ua.UaError, OSError, TimeoutError):
                client.tloop.stop()
                return False
            client.disconnect()
            return True

        assert let_in("hush")
        assert [let_in("other"), let_in(""), let_in("hush", secured=False)] == [False, False, False]
