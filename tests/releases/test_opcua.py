"""Verdicts into the nodes of a PLC, asyncua's own server: whole, in order, in time or as the fail-safe; a PLC that is gone or mute."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from service.errors import InvalidInput
from service.records import Outcome
from service.releases import open_release
from tests.releases.floor import Recipes, part, running
from tests.releases.opcua import OpcuaPlc, keys, opcua_plc
from tests.servers import until

PASS, REJECT, AUDIT, STOP = 1, 2, 3, 4
FIELDS = ("Sequence", "ResultEvaluationCode", "Missed", "PartId", "CreationTime", "Heartbeat", "Ready")


@pytest.fixture
def map_file(tmp_path: Path) -> Path:
    (file := tmp_path / "map.yaml").write_text("".join(f"{name}: ns=2;s={name}\n" for name in FIELDS))
    return file


def url(plc: OpcuaPlc, map_file: Path, options: str = "deadline=10s&heartbeat=100ms") -> str:
    return f"opcua://127.0.0.1:{plc.port}/plc?map_file={map_file}&{options}"


def test_each_verdict_is_whole_before_its_sequence_changes_and_in_the_types_of_the_plc(map_file: Path) -> None:
    """The sequence goes on where the PLC has it, and wraps in its sixteen bits; a heartbeat in a Boolean toggles."""
    with opcua_plc(Sequence=65534) as plc, running(url(plc, map_file)) as floor:
        floor.release.release([part("a", Outcome.PASS), part("b"), part("c", Outcome.AUDIT)])
        until(lambda: floor.meter.sent == 3 and len(plc.told("Heartbeat")) >= 3, "told, and beats")
        verdicts = [[name for name, _ in one] for one in plc.requests if one[0][0] not in ("Ready", "Heartbeat")]
        assert verdicts == [["PartId", "CreationTime", "ResultEvaluationCode", "Missed"], ["Sequence"]] * 3
        assert plc.told("PartId") == ["a", "b", "c"]
        assert plc.told("ResultEvaluationCode") == [PASS, REJECT, PASS]
        assert plc.told("Sequence") == [65535, 0, 1]
        assert plc.told("Heartbeat")[:3] == [True, False, True]
        floor.behind = 60.0
        until(lambda: plc.holds["Ready"] is False, "not ready while stuck")
        assert floor.meter.failsafes == 0


def test_a_plc_that_was_gone_is_told_the_failsafe_then_goes_on(map_file: Path) -> None:
    """The line runs on meanwhile, and the release comes back by itself."""
    with opcua_plc() as plc, running(url(plc, map_file, "deadline=1s&failsafe=stop&heartbeat=100ms")) as floor:
        until(lambda: floor.meter.up, "connected")
        plc.stop()
        for name in ("a", "b"):
            floor.release.release([part(name)])
        until(lambda: floor.meter.failsafes == 2 and floor.meter.up is False, "given up")
        plc.start()
        until(lambda: plc.holds["Sequence"] == 2, "back by itself, the fail-safe is told")
        assert (plc.holds["ResultEvaluationCode"], plc.holds["Missed"]) == (STOP, 2)
        until(lambda: floor.meter.up, "up")
        until(lambda: _delivered(floor.release, plc), "the next verdict is its own")


def _delivered(release: object, plc: OpcuaPlc) -> bool:
    release.release([part("after", Outcome.PASS)])  # type: ignore[attr-defined]
    return (plc.holds["ResultEvaluationCode"], plc.holds["Missed"]) == (PASS, 0)


def test_the_plc_asks_for_a_recipe_and_is_shown_which_is_in_force(map_file: Path) -> None:
    """With every heartbeat; verdicts go on."""
    map_file.write_text(map_file.read_text() + "Recipe: ns=2;s=Recipe\nRecipeInForce: ns=2;s=RecipeInForce\n")
    recipes = Recipes(3)
    with opcua_plc(Recipe=7) as plc, running(url(plc, map_file), recipes) as floor:
        until(lambda: plc.holds["RecipeInForce"] == 3 and recipes.asked == [7], "both are told")
        recipes.number = 7
        until(lambda: plc.holds["RecipeInForce"] == 7, "it is in force")
        floor.release.release([part("a")])
        until(lambda: floor.meter.sent == 1, "told")


def test_where_the_plc_acknowledges_only_that_counts(map_file: Path) -> None:
    """A PLC whose program stands still gets the fail-safe, though its server takes every write."""
    map_file.write_text(map_file.read_text() + "Acknowledge: ns=2;s=Acknowledge\n")
    with opcua_plc() as plc, running(url(plc, map_file, "deadline=1s&divert_audits=true")) as floor:
        until(lambda: floor.meter.up, "connected")
        floor.release.release([part("a")])
        until(lambda: floor.meter.failsafes == 1, "nobody acknowledges")
        assert floor.meter.sent == 0
        plc.acknowledges = True
        until(lambda: _audited(floor.release, plc), "acknowledged")
        until(lambda: floor.meter.sent, "counted")


def _audited(release: object, plc: OpcuaPlc) -> bool:
    release.release([part("b", Outcome.AUDIT)])  # type: ignore[attr-defined]
    return AUDIT in plc.told("ResultEvaluationCode")


def test_a_plc_that_takes_the_connection_and_says_nothing_costs_verdicts_and_never_the_line(map_file: Path) -> None:
    """The deadline is counted while the connection hangs."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"opcua://127.0.0.1:{mute.getsockname()[1]}?map_file={map_file}&deadline=100ms"
        with running(address) as floor:
            floor.release.release([part("a"), part("b")])
            until(lambda: floor.meter.failsafes == 2, "given up")


def test_signed_encrypted_and_with_a_password_from_its_file(
    map_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the certificates and the password one is let in; with another password the release says so, without it."""
    theirs, ours = keys(tmp_path, "plc", "urn:freeopcua:python:server"), keys(tmp_path, "redrabbit", "urn:redrabbit")
    (right := tmp_path / "right").write_text("hush\n")
    (wrong := tmp_path / "wrong").write_text("other-hush\n")
    secured = f"certificate_file={ours[0]}&key_file={ours[1]}&server_certificate_file={theirs[0]}&username=line"
    with opcua_plc(theirs) as plc:
        with running(url(plc, map_file, f"deadline=10s&{secured}&password_file={right}")) as floor:
            floor.release.release([part("a")])
            until(lambda: floor.meter.sent == 1, "told")
        with running(url(plc, map_file, f"deadline=100ms&{secured}&password_file={wrong}")) as floor:
            floor.release.release([part("b")])
            until(lambda: floor.meter.failsafes == 1, "not let in")
        with running(url(plc, map_file, "deadline=100ms")) as floor:
            floor.release.release([part("c")])
            until(lambda: floor.meter.failsafes == 1, "not in the clear")
        assert set(plc.told("PartId")) == {"a"}
    captured = capfd.readouterr()
    assert "hush" not in captured.out + captured.err


def test_a_node_that_is_not_there_is_named(map_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One line says what does not work; the line runs on."""
    map_file.write_text("Sequence: ns=2;s=Sequence\nResultEvaluationCode: ns=2;s=Kode\n")
    with opcua_plc() as plc, running(url(plc, map_file, "deadline=500ms")) as floor:
        floor.release.release([part("a")])
        until(lambda: floor.meter.failsafes == 1, "given up")
        until(lambda: "ns=2;s=Kode" in capfd.readouterr().out, "said")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("opcua://h", "map_file"),
        ("opcua://?map_file=MAP", "expected a host"),
        ("opcua://me:hush@h?map_file=MAP", "no login in the URL"),
        ("opcua://h?map_file=/none", "/none: cannot be read"),
        ("opcua://h?map_file=MAP&password_file=/none", "username"),
        ("opcua://h?map_file=MAP&certificate_file=/none", "all three or none"),
        ("opcua://h?map_file=MAP&certificate_file=/a&key_file=/b&server_certificate_file=/c", "/a: no such file"),
        ("opcua+server://", "expected a host"),
        ("opcua+server://0.0.0.0?username=u", "both or neither"),
        ("opcua+server://0.0.0.0?key_file=/none", "both or neither"),
        ("opcua+server://0.0.0.0?map_file=/none", "unknown option"),
    ],
)
def test_bad_urls_are_one_line(map_file: Path, text: str, says: str) -> None:
    """What, where, what was expected; no password."""
    with pytest.raises(InvalidInput) as caught:
        open_release(text.replace("MAP", str(map_file)))
    line = str(caught.value)
    assert says in line and "\n" not in line and "hush" not in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("Sequence: ns=2;s=Sequence", "ResultEvaluationCode is missing"),
        ("{Sequence: ns=2;s=S, ResultEvaluationCode: ns=2;s=C, Colour: ns=2;s=F}", "unknown field 'Colour'"),
        ("{Sequence: Sequence, ResultEvaluationCode: ns=2;s=C}", "expected a node id"),
    ],
)
def test_bad_maps_are_one_line(map_file: Path, content: str, says: str) -> None:
    """Which file, which field, what was expected."""
    map_file.write_text(content)
    with pytest.raises(InvalidInput) as caught:
        open_release(f"opcua://h?map_file={map_file}")
    assert says in str(caught.value) and str(map_file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "library", "extra"),
    [
        ("opcua://h?map_file=MAP", "asyncua", "opcua"),
        ("opcua+server://0.0.0.0", "asyncua", "opcua"),
        ("modbus://h", "pymodbus", "modbus"),
        ("mqtt://h/a/b", "aiomqtt", "mqtt"),
    ],
)
def test_a_library_that_is_missing_is_named_with_how_to_get_it(
    map_file: Path, monkeypatch: pytest.MonkeyPatch, text: str, library: str, extra: str
) -> None:
    """Each is an extra of its own."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InvalidInput, match=rf"pip install 'redrabbit\[{extra}\]'"):
        open_release(text.replace("MAP", str(map_file)))
