"""Verdicts into the registers of a PLC, pymodbus' own server: whole, in order, in time or as the fail-safe; a PLC that is gone or deaf."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from service.errors import InvalidInput
from service.records import Outcome
from service.releases import open_release
from tests.releases.floor import part, running
from tests.releases.plc import WRITE_COIL, WRITE_REGISTERS, Plc, plc
from tests.servers import until

SEQUENCE, HEARTBEAT, READY, CODE, MISSED, MISSED_TOTAL, PARTS = 0, 1, 2, 3, 4, 5, 6
PASS, REJECT, AUDIT, STOP = 1, 2, 3, 4


@pytest.fixture
def controls() -> Iterator[Plc]:
    with plc() as server:
        yield server


def url(server: Plc, options: str = "deadline=5s&heartbeat=100ms") -> str:
    return f"modbus://127.0.0.1:{server.port}?{options}"


def test_each_verdict_is_whole_before_its_sequence_changes(controls: Plc) -> None:
    """The code first, then in a request of its own the sequence: whoever waits for that never reads half a result."""
    with running(url(controls)) as floor:
        floor.release.release([part("a", Outcome.PASS), part("b"), part("c", Outcome.PASS)])
        until(lambda: floor.meter.sent == 3, "told")
        assert controls.written(CODE) == [PASS, REJECT, PASS]
        assert controls.written(SEQUENCE) == [1, 2, 3]
        verdicts = [one for one in controls.writes if one[1] in (SEQUENCE, CODE)]
        assert verdicts == [
            (WRITE_REGISTERS, CODE, [PASS, 0, 0, 0, 1]),
            (WRITE_REGISTERS, SEQUENCE, [1]),
            (WRITE_REGISTERS, CODE, [REJECT, 0, 0, 0, 2]),
            (WRITE_REGISTERS, SEQUENCE, [2]),
            (WRITE_REGISTERS, CODE, [PASS, 0, 0, 0, 3]),
            (WRITE_REGISTERS, SEQUENCE, [3]),
        ]
        assert floor.meter.failsafes == 0


def test_the_sequence_goes_on_where_the_plc_has_it_and_wraps(controls: Plc) -> None:
    """A worker that starts anew never writes the number that is there already; parts are counted in two registers."""
    controls.holding[SEQUENCE] = 65534
    with running(url(controls)) as floor:
        floor.release.release([part("a"), part("b"), part("c")])
        until(lambda: floor.meter.sent == 3, "told")
    assert controls.written(SEQUENCE) == [65535, 0, 1]
    assert (controls.holding[PARTS], controls.holding[PARTS + 1]) == (1, 1)


@pytest.mark.parametrize(("options", "code"), [("", PASS), ("&divert_audits=true", AUDIT)])
def test_a_part_drawn_for_audit_is_diverted_only_where_asked(controls: Plc, options: str, code: int) -> None:
    """A third verdict, or none that shows."""
    with running(url(controls, f"deadline=5s{options}")) as floor:
        floor.release.release([part("drawn", Outcome.AUDIT)])
        until(lambda: floor.meter.sent == 1, "told")
    assert controls.written(CODE) == [code]


@pytest.mark.parametrize(("failsafe", "code"), [("reject", REJECT), ("stop", STOP), ("pass", PASS)])
def test_a_plc_that_was_gone_is_told_the_failsafe_then_goes_on(controls: Plc, failsafe: str, code: int) -> None:
    """The line runs on meanwhile; one write stands for all that were missed, and the sequence says for how many."""
    with running(url(controls, f"deadline=200ms&failsafe={failsafe}&heartbeat=100ms")) as floor:
        floor.release.release([part("before", Outcome.PASS)])
        until(lambda: floor.meter.sent == 1, "told")
        controls.stop()
        for name in ("a", "b", "c"):
            floor.release.release([part(name)])
        until(lambda: floor.meter.failsafes == 3, "given up")
        assert floor.meter.up is False
        controls.start()
        until(lambda: controls.holding[SEQUENCE] == 4, "back by itself, the fail-safe is told")
        assert controls.holding[CODE : PARTS + 2] == [code, 3, 3, 0, 4]
        until(lambda: floor.meter.up, "up")
        floor.release.release([part("after", Outcome.PASS)])
        until(lambda: controls.holding[SEQUENCE] == 5, "the next verdict is its own")
        assert controls.holding[CODE : PARTS + 2] == [PASS, 0, 3, 0, 5]


def test_a_plc_that_takes_and_never_answers_is_given_up_by_the_deadline(controls: Plc) -> None:
    """And heard again once it answers."""
    with running(url(controls, "deadline=200ms&heartbeat=100ms")) as floor:
        until(lambda: floor.meter.up, "connected")
        controls.deaf = True
        floor.release.release([part("a")])
        until(lambda: floor.meter.failsafes == 1, "given up")
        controls.deaf = False
        until(lambda: controls.holding[SEQUENCE] == 1, "told the fail-safe")
        assert controls.holding[CODE : MISSED + 1] == [REJECT, 1]


def test_the_heartbeat_counts_and_ends_with_the_worker_s_loop(controls: Plc) -> None:
    """Stuck: it stands still, and the inspector is not ready."""
    with running(url(controls)) as floor:
        until(lambda: len(controls.written(HEARTBEAT)) >= 3, "beats")
        assert controls.holding[READY] == 1
        floor.behind = 60.0
        until(lambda: controls.holding[READY] == 0, "not ready")
        beats = controls.written(HEARTBEAT)
        assert beats == list(range(1, len(beats) + 1))
        floor.behind = 0.0
        until(lambda: controls.holding[READY] == 1, "ready again")
        assert controls.holding[HEARTBEAT] > beats[-1]
    assert controls.holding[READY] == 0


def test_a_map_puts_fields_where_the_plc_has_room(controls: Plc, tmp_path: Path) -> None:
    """A heartbeat in a coil toggles; fields that the map leaves out are not written."""
    (file := tmp_path / "map.yaml").write_text(
        "Sequence: holding 50\nResultEvaluationCode: holding 40\nParts: holding 41\nReady: coil 3\nHeartbeat: coil 4\n"
    )
    with running(url(controls, f"deadline=5s&heartbeat=100ms&map_file={file}")) as floor:
        floor.release.release([part("a")])
        until(lambda: floor.meter.sent == 1, "told")
        until(
            lambda: [values for _, address, values in controls.writes if address == 4][:3] == [[1], [0], [1]], "toggles"
        )
        assert controls.coils[3] == 1
    assert controls.holding[40:43] == [REJECT, 0, 1]
    assert controls.holding[50] == 1
    assert {(function, address) for function, address, _ in controls.writes} == {
        (WRITE_COIL, 3),
        (WRITE_COIL, 4),
        (WRITE_REGISTERS, 40),
        (WRITE_REGISTERS, 50),
    }


def test_where_the_plc_acknowledges_the_next_verdict_waits_for_it(controls: Plc, tmp_path: Path) -> None:
    """Taken means read by the PLC's program: one that does not acknowledge gets the fail-safe, whatever its network card says."""
    (file := tmp_path / "map.yaml").write_text(
        "Sequence: holding 0\nResultEvaluationCode: holding 1\nMissed: holding 2\nAcknowledge: holding 9\n"
    )
    with running(url(controls, f"deadline=300ms&heartbeat=1m&map_file={file}")) as floor:
        floor.release.release([part("a"), part("b")])
        until(lambda: floor.meter.failsafes == 2, "nobody acknowledges")
        assert floor.meter.sent == 0
        controls.echo = {0: 9}
        controls.holding[9] = controls.holding[0]  # what was told before its program ran
        until(lambda: controls.holding[9] == 2 and controls.holding[2] == 2, "the fail-safe is acknowledged")
        floor.release.release([part("c"), part("d")])
        until(lambda: floor.meter.sent == 2, "both are acknowledged")
    assert floor.meter.failsafes == 2


def test_a_plc_that_refuses_an_address_says_so(controls: Plc, capfd: pytest.CaptureFixture[str]) -> None:
    """One line with the register, and the fail-safe."""
    with running(url(controls, "deadline=200ms&heartbeat=1m&base=98")) as floor:
        floor.release.release([part("a")])
        until(lambda: floor.meter.failsafes == 1, "given up")
    assert "the PLC refuses holding register" in capfd.readouterr().out


def test_modbus_over_tls(tmp_path: Path) -> None:
    """With the PLC's authority one is connected, without it nothing is sent."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca := str(tmp_path / "ca.pem"))
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(key := str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(certificate := str(tmp_path / "certificate.pem"))
    with plc((certificate, key)) as controls:
        secured = f"modbus+tls://127.0.0.1:{controls.port}"
        with running(f"{secured}?deadline=100ms") as floor:
            floor.release.release([part("a")])
            until(lambda: floor.meter.failsafes == 1, "not trusted")
        assert controls.writes == []
        with running(f"{secured}?deadline=5s&ca_file={ca}") as floor:
            floor.release.release([part("a")])
            until(lambda: floor.meter.sent == 1, "told")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("modbus://", "expected a host"),
        ("modbus://h/1", "no path"),
        ("modbus://me:hush@h", "no login in the URL"),
        ("modbus://h?unit=300", "unit"),
        ("modbus://h?base=65535", "base"),
        ("modbus://h?map_file=/none", "/none: cannot be read"),
        ("modbus://h?ca_file=/none", "modbus:// is plain"),
    ],
)
def test_bad_urls_are_one_line(text: str, says: str) -> None:
    """What, where, what was expected; no password."""
    with pytest.raises(InvalidInput) as caught:
        open_release(text)
    line = str(caught.value)
    assert says in line and "\n" not in line and "hush" not in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("Sequence: holding 1", "ResultEvaluationCode is missing"),
        ("Sequenz: holding 1", "unknown field 'Sequenz'"),
        ("{Sequence: 40001, ResultEvaluationCode: holding 2}", "expected where it lies"),
        ("{Sequence: register 1, ResultEvaluationCode: holding 2}", "`holding N` or `coil N`"),
        ("{Sequence: coil 1, ResultEvaluationCode: holding 2}", "a coil holds no number"),
        ("{Sequence: holding 1, ResultEvaluationCode: holding 2, Parts: holding 65535}", "N from 0 to 65535"),
    ],
)
def test_bad_maps_are_one_line(tmp_path: Path, content: str, says: str) -> None:
    """Which file, which field, what was expected."""
    (file := tmp_path / "map.yaml").write_text(content)
    with pytest.raises(InvalidInput) as caught:
        open_release(f"modbus://h?map_file={file}")
    assert says in str(caught.value) and str(file) in str(caught.value) and "\n" not in str(caught.value)
