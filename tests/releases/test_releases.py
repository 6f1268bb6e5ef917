"""Verdicts go out: to a log, to a real HTTP server, to one that hangs; the line is never held up."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest

from service.errors import InvalidInput
from service.records import FailSafe, Frame, Verdict
from service.releases import open_release
from service.releases.log import LogRelease
from service.releases.webhook import Webhook
from tests.cameras.stage import NOW, verdict_of
from tests.ledger.rows import missing


def verdicts(count: int) -> list[Verdict]:
    return [verdict_of(Frame(f"p{number}", "cells", "cam", NOW, b"")) for number in range(count)]


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent; answers the statuses it is told to, then 200."""

    daemon_threads = True

    def __init__(self) -> None:
        self.received: list[list[dict[str, object]]] = []
        self.statuses: list[int] = []
        super().__init__(("127.0.0.1", 0), _Receive)


class _Receive(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.received.append(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def url(receiver: Receiver, scheme: str = "webhook+http") -> str:
    return f"{scheme}://127.0.0.1:{receiver.server_address[1]}/verdicts?line=1"


def test_the_log_is_one_json_line_a_verdict() -> None:
    """Every line can be read by itself and says part, outcome and model."""
    output = io.StringIO()
    LogRelease(urlsplit("log://"), output).release(verdicts(2))
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [(line["part_id"], line["verdict"], line["model"]) for line in lines] == [
        ("p0", "reject", "digest"),
        ("p1", "reject", "digest"),
    ]
    assert lines[0]["captured_at"] == "2026-03-01T12:00:00+00:00"


def test_the_log_file_is_appended_to(tmp_path: Path) -> None:
    """What was there stays, and the file may be rotated away meanwhile."""
    path = tmp_path / "verdicts.jsonl"
    path.write_text("{}\n")
    release = open_release(f"log://{path}")
    release.release(verdicts(1))
    assert len(path.read_text().splitlines()) == 2
    path.rename(tmp_path / "rotated")
    release.release(verdicts(1))
    release.close()
    assert len(path.read_text().splitlines()) == 1


def test_a_full_disk_does_not_end_the_line() -> None:
    """What cannot be written is counted."""
    release = open_release("log:///dev/full")
    assert isinstance(release, LogRelease)
    release.release(verdicts(3))
    assert release.lost == 3


@pytest.mark.parametrize("scheme", ["http", "webhook+http"])
def test_verdicts_arrive_once_and_in_order(receiver: Receiver, scheme: str) -> None:
    """close() sends what still waits."""
    release = open_release(url(receiver, scheme))
    for verdict in verdicts(20):
        release.release([verdict])
    release.close()
    assert [one["part_id"] for batch in receiver.received for one in batch] == [f"p{n}" for n in range(20)]


def test_a_server_that_stumbles_is_tried_again(receiver: Receiver) -> None:
    """500, then 200: nothing is lost."""
    receiver.statuses = [500]
    release = Webhook(urlsplit(url(receiver)))
    release.release(verdicts(2))
    while not receiver.received:
        Event().wait(0.02)
    release.close()
    assert ([len(batch) for batch in receiver.received], release.lost) == ([2], 0)


@pytest.mark.parametrize("status", [302, 404])
def test_a_server_that_says_no_is_believed(receiver: Receiver, status: int) -> None:
    """Not tried again, counted as lost; redirects are not followed."""
    receiver.statuses = [status]
    release = Webhook(urlsplit(url(receiver)))
    release.release(verdicts(2))
    release.close()
    assert (receiver.received, release.lost) == ([], 2)


def test_a_server_that_hangs_costs_verdicts_and_never_the_line() -> None:
    """The queue is bounded: what does not fit is counted at once, and close() ends."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        release = Webhook(urlsplit(f"http://127.0.0.1:{deaf.getsockname()[1]}/"), waiting=5, timeout=0.5)
        for _ in range(10):
            release.release(verdicts(10))
        release.close()
    assert release.lost == 100


@pytest.mark.parametrize("text", ["ftp://x/", "log://host/x", "log:///no/such/folder/x", "https:///x", "http://[x/"])
def test_bad_urls_are_one_line(text: str) -> None:
    """Unknown schemes, missing hosts and folders: InvalidInput."""
    with pytest.raises(InvalidInput) as caught:
        open_release(text)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """Neither in the warning nor in an error."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    release = Webhook(urlsplit(f"http://user:hush@127.0.0.1:{port}/?token=hush"), timeout=0.5)
    release.release(verdicts(1))
    release.close()
    captured = capfd.readouterr()
    assert release.lost == 1
    assert "hush" not in captured.out + captured.err


def test_a_part_that_nobody_judged_is_told_apart(receiver: Receiver) -> None:
    """The same in the log and over HTTP: why, under which number, and what is to become of it."""
    parts = [missing("n", outcome=FailSafe.STOP), missing("m", trigger=None, reason="broken", outcome=FailSafe.PASS)]
    output = io.StringIO()
    LogRelease(urlsplit("log://"), output).release_not_inspected(parts)
    release = open_release(url(receiver))
    release.release_not_inspected(parts)
    release.close()
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert lines == [one for batch in receiver.received for one in batch]
    assert [(one["part_id"], one["verdict"], one["not_inspected"], one["trigger"]) for one in lines] == [
        ("n", "stop", "no_picture", 7),
        ("m", "pass", "broken", None),
    ]
