"""Verdicts over a real broker: in order, in time or as the fail-safe; a broker that is gone or comes back; the sign of life."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from service.errors import InvalidInput
from service.records import Outcome
from service.releases import open_release
from tests.releases.floor import part, running
from tests.releases.mosquitto import Mosquitto, broker, listening
from tests.servers import free_port, program, until


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with broker(tmp_path / "broker") as server:
        yield server


def url(port: int, options: str = "deadline=5s&heartbeat=100ms") -> str:
    return f"mqtt://127.0.0.1:{port}/plant/cells?{options}"


def test_every_verdict_arrives_once_in_order_and_in_the_words_of_the_standard(mosquitto: Mosquitto) -> None:
    """Pass is OK, reject is NotOK; the sequence counts."""
    with listening(mosquitto.port) as plc, running(url(mosquitto.port)) as floor:
        floor.release.release([part("a", Outcome.PASS), part("b")])
        floor.release.release([part("c")])
        until(lambda: len(plc.results) == 3, "three results")
        assert [(one["PartId"], one["ResultEvaluation"], one["Sequence"]) for one in plc.results] == [
            ("a", 1, 1),
            ("b", 2, 2),
            ("c", 2, 3),
        ]
        assert {(one["IsPartial"], one["ResultState"], one["Missed"]) for one in plc.results} == {(False, 1, 0)}
        until(lambda: floor.meter.sent == 3, "all are counted")
        assert (floor.meter.failsafes, floor.meter.up) == (0, True)


@pytest.mark.parametrize(("options", "code"), [("", 1), ("&divert_audits=true", 3)])
def test_a_part_drawn_for_audit_looks_passed_unless_it_is_to_be_diverted(
    mosquitto: Mosquitto, options: str, code: int
) -> None:
    """Nothing of the message says that it was drawn."""
    with listening(mosquitto.port) as plc, running(url(mosquitto.port, f"deadline=5s{options}")) as floor:
        floor.release.release([part("drawn", Outcome.AUDIT)])
        until(lambda: plc.results, "a result")
    assert (plc.results[0]["ResultEvaluationCode"], plc.results[0]["ResultEvaluation"]) == (code, 1)
    assert "audit" not in str(plc.results[0])


@pytest.mark.parametrize(("failsafe", "code"), [("reject", 2), ("stop", 4), ("pass", 1)])
def test_what_a_broker_that_is_gone_has_missed_is_told_as_the_failsafe_once_it_is_back(
    mosquitto: Mosquitto, failsafe: str, code: int
) -> None:
    """One message stands for all of them, counted; the next part has its own verdict again. The line never waits."""
    with running(url(mosquitto.port, f"deadline=200ms&failsafe={failsafe}&heartbeat=100ms")) as floor:
        until(lambda: floor.meter.up, "connected")
        mosquitto.stop()
        for name in ("a", "b", "c"):
            floor.release.release([part(name)])
        until(lambda: floor.meter.failsafes == 3, "all are given up")
        assert floor.meter.up is False
        mosquitto.start()
        with listening(mosquitto.port) as plc:
            until(lambda: floor.meter.up, "back by itself")
            # The fail-safe may have come before anybody listened: the one after it shows what it stood for.
            until(lambda: _delivered(floor.release, plc.results), "a verdict after it")
        own = next(one for one in plc.results if one["Missed"] == 0)
        assert own["Sequence"] > 3
        for one in plc.results:
            if one["Missed"]:
                assert (one["ResultEvaluationCode"], one["ResultState"], one["ResultEvaluation"]) == (code, 4, 3)


def _delivered(release: object, results: list[dict[str, object]]) -> bool:
    release.release([part("next")])  # type: ignore[attr-defined]
    return any(one["Missed"] == 0 for one in results)


def test_a_broker_that_takes_and_never_answers_costs_verdicts_and_never_the_line() -> None:
    """Handing over returns at once; the deadline is counted while the connection hangs."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, running(url(deaf.getsockname()[1], "deadline=100ms")) as floor:
        floor.release.release([part("a"), part("b")])
        until(lambda: floor.meter.failsafes == 2, "given up")
        assert floor.meter.sent == 0


def test_one_release_that_is_down_does_not_delay_another(mosquitto: Mosquitto) -> None:
    """The verdict arrives over the one that works, while the other has nobody to talk to."""
    with (
        listening(mosquitto.port) as plc,
        running(url(free_port(), "deadline=100ms")) as down,
        running(url(mosquitto.port)) as works,
    ):
        for release in (down.release, works.release):
            release.release([part("a")])
        until(lambda: plc.results and down.meter.failsafes, "told by one, missed by the other")
        assert (works.meter.failsafes, down.meter.sent) == (0, 0)


def test_the_heartbeat_goes_on_without_parts_and_ends_with_the_worker_s_loop(mosquitto: Mosquitto) -> None:
    """A loop that is stuck is not online; once it comes round again it is."""
    with listening(mosquitto.port) as plc, running(url(mosquitto.port)) as floor:
        until(lambda: sum(one["online"] for one in plc.states) >= 3, "beats")
        beats = [one["heartbeat"] for one in plc.states if one["online"]]
        assert beats == sorted(set(beats))
        floor.behind = 60.0
        until(lambda: not plc.states[-1]["online"], "offline while stuck")
        floor.behind = 0.0
        until(lambda: plc.states[-1]["online"], "online again")


def test_the_broker_says_by_the_last_will_that_the_inspector_is_dead(mosquitto: Mosquitto) -> None:
    """Its process is gone without a word: whoever asks later is told too."""
    program = (
        "import time\n"
        "from service.releases import open_release\n"
        "from service.releases.floor import Surroundings\n"
        "from tests.releases.floor import Counting\n"
        f"open_release({url(mosquitto.port)!r}, Surroundings(Counting(), lambda: 0.0))\n"
        "time.sleep(600)\n"
    )
    with listening(mosquitto.port) as plc:
        inspector = subprocess.Popen([sys.executable, "-c", program])
        try:
            until(lambda: plc.states and plc.states[-1]["online"], "online")
        finally:
            inspector.kill()
            inspector.wait()
        until(lambda: not plc.states[-1]["online"], "the last will")
    with listening(mosquitto.port) as later:
        until(lambda: later.states, "the retained state")
    assert later.states[0]["online"] is False


def test_closing_says_offline_and_sends_what_waits(mosquitto: Mosquitto) -> None:
    """A worker that stops in order leaves nothing unsaid."""
    with listening(mosquitto.port) as plc:
        with running(url(mosquitto.port)) as floor:
            until(lambda: floor.meter.up, "connected")
            floor.release.release([part(f"p{number}") for number in range(20)])
        until(lambda: plc.states and not plc.states[-1]["online"], "offline")
        assert [one["PartId"] for one in plc.results] == [f"p{number}" for number in range(20)]


def test_a_password_is_read_from_its_file_and_never_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With it one is let in, with another the release says that it does not work, and why."""
    passwords = tmp_path / "passwords"
    passwords.write_text("line:hush\n")
    subprocess.run([program("mosquitto_passwd"), "-U", str(passwords)], check=True)
    (right := tmp_path / "right").write_text("hush\n")
    (wrong := tmp_path / "wrong").write_text("other-hush\n")
    with broker(tmp_path / "broker", f"allow_anonymous false\npassword_file {passwords}") as server:
        with running(url(server.port, f"username=line&password_file={right}")) as floor:
            until(lambda: floor.meter.up, "let in")
        with running(url(server.port, f"username=line&password_file={wrong}&deadline=100ms")) as floor:
            floor.release.release([part("a")])
            until(lambda: floor.meter.failsafes == 1, "not let in")
    captured = capfd.readouterr()
    assert "hush" not in captured.out + captured.err
    assert "release does not work" in captured.out


def test_tls_with_a_private_authority(tmp_path: Path) -> None:
    """The broker's certificate is checked: with the authority one is connected, without it not."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca := str(tmp_path / "ca.pem"))
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(key := str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(certificate := str(tmp_path / "certificate.pem"))
    more = f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}"
    with broker(tmp_path / "broker", more) as server:
        with running(f"mqtts://127.0.0.1:{server.port}/plant/cells?deadline=5s&ca_file={ca}") as floor:
            floor.release.release([part("a")])
            until(lambda: floor.meter.sent == 1, "told")
        with running(f"mqtts://127.0.0.1:{server.port}/plant/cells?deadline=100ms") as floor:
            floor.release.release([part("a")])
            until(lambda: floor.meter.failsafes == 1, "not trusted")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mqtt:///plant/cells", "expected a host"),
        ("mqtt://h/cells", "a group and a node"),
        ("mqtt://h/a/+", "a group and a node"),
        ("mqtt://me:hush@h/a/b", "no login in the URL"),
        ("mqtt://h/a/b?deadline=250", "ms, s"),
        ("mqtt://h/a/b?deadline=0s", "deadline"),
        ("mqtt://h/a/b?failsafe=maybe", "failsafe"),
        ("mqtt://h/a/b?dedline=1s", "unknown option 'dedline'"),
        ("mqtt://h/a/b?password_file=/none", "username"),
        ("mqtt://h/a/b?username=u&password_file=/none", "/none: cannot be read"),
        ("mqtt://h/a/b?ca_file=/none", "mqtt:// is plain"),
        ("mqtts://h/a/b?ca_file=/none", "TLS files"),
        ("mqtts://h/a/b?certificate_file=/none", "both or neither"),
    ],
)
def test_bad_urls_are_one_line(text: str, says: str) -> None:
    """What, where, what was expected; no password."""
    with pytest.raises(InvalidInput) as caught:
        open_release(text)
    line = str(caught.value)
    assert says in line and "\n" not in line and "hush" not in line


def test_a_release_that_is_only_checked_connects_to_nobody() -> None:
    """`redrabbit check` beside a worker that runs must not look like a second one."""
    before = threading.enumerate()
    release = open_release(url(free_port()))
    assert threading.enumerate() == before
    release.close()
