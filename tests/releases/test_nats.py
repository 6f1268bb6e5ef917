"""Verdicts over a real nats-server: in order, in time or as the fail-safe; a server that is gone and comes back; the sign of life."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from service.errors import InvalidInput
from service.releases import open_release
from tests.jetstream import Nats
from tests.jetstream import running as running_server
from tests.releases.floor import part, running
from tests.servers import until


class Listener:
    """A PLC's gateway: what it heard, in order."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []


@contextmanager
def listening(server: Nats, **options: Any) -> Iterator[Listener]:
    heard, there, ended = Listener(), Event(), Event()

    async def listen() -> None:
        import nats

        async def take(message: Any) -> None:
            kind = heard.results if ".verdicts." in message.subject else heard.states
            kind.append(json.loads(message.data))

        client = await nats.connect(f"nats://{server.address}", **options)
        await client.subscribe("plant.*.cells", cb=take)
        await client.flush()
        there.set()
        while not ended.is_set():
            await asyncio.sleep(0.02)
        await client.close()

    thread = Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    assert there.wait(30)
    try:
        yield heard
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nats]:
    with running_server(tmp_path / "nats") as started:
        yield started


def _url(server: Nats, options: str = "deadline=5s&heartbeat=100ms") -> str:
    return f"nats://{server.address}/plant/cells?{options}"


def test_every_verdict_arrives_once_in_order(server: Nats) -> None:
    """And counts once the server has it; closing says that nobody inspects any more."""
    with listening(server) as plc:
        with running(_url(server)) as floor:
            until(lambda: floor.meter.up, "connected")
            for name in "abc":
                floor.release.release([part(name)])
            until(lambda: floor.meter.sent == 3, "all are counted")
            until(lambda: sum(one["online"] for one in plc.states) >= 3, "beats")
            floor.behind = 60.0
            until(lambda: not plc.states[-1]["online"], "offline while the worker's loop is stuck")
            floor.behind = 0.0
            until(lambda: plc.states[-1]["online"], "online again")
        until(lambda: not plc.states[-1]["online"], "offline at the end")
    assert [(one["PartId"], one["Sequence"], one["Missed"]) for one in plc.results] == [
        ("a", 1, 0),
        ("b", 2, 0),
        ("c", 3, 0),
    ]
    assert floor.meter.failsafes == 0


def test_what_a_server_that_is_gone_has_missed_is_told_as_the_failsafe(server: Nats) -> None:
    """Late, and as one message, once it is back; nothing is sent late, and the next part has its own verdict."""
    with running(_url(server, "deadline=200ms&failsafe=stop&heartbeat=100ms")) as floor:
        until(lambda: floor.meter.up, "connected")
        server.stop()
        for name in "abc":
            floor.release.release([part(name)])
        until(lambda: floor.meter.failsafes == 3 and floor.meter.up is False, "all are given up")
        server.start()
        with listening(server) as plc:

            def own() -> bool:
                floor.release.release([part("next")])
                return any(one["Missed"] == 0 for one in plc.results)

            until(own, "a verdict after it")
    assert not {"a", "b"} & {one["PartId"] for one in plc.results}
    for one in plc.results:
        assert (one["ResultEvaluationCode"] == 4) == (one["Missed"] > 0)


def test_a_token_in_a_file_is_needed_and_not_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (right := tmp_path / "right").write_text("hush-hush\n")
    (wrong := tmp_path / "wrong").write_text("hush-other\n")
    with running_server(tmp_path / "nats", "authorization {token: hush-hush}") as server:
        with running(_url(server, f"deadline=5s&token_file={right}")) as floor:
            until(lambda: floor.meter.up, "let in")
        with running(_url(server, f"deadline=100ms&token_file={wrong}")) as floor:
            floor.release.release([part("a")])
            until(lambda: floor.meter.failsafes == 1, "not let in")
    said = capfd.readouterr()
    assert "hush" not in said.out + said.err and "release does not work" in said.out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nats:///plant/cells", "expected a host"),
        ("nats://h/cells", "a group and a node"),
        ("nats://h/a/b.c", "a group and a node"),
        ("nats://h/a/>", "a group and a node"),
        ("nats://me:hush@h/a/b", "no login in the URL"),
        ("nats://h/a/b?deadline=250", "ms, s"),
        ("nats://h/a/b?token_file=/none", "/none: cannot be read"),
        ("nats+tls://h/a/b?ca_file=/etc/hostname", "expected certificates in PEM"),
    ],
)
def test_bad_urls_are_one_line(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_release(text)
    line = str(caught.value)
    assert says in line and "\n" not in line and "hush" not in line
