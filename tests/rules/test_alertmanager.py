"""What reaches whom, through a real Alertmanager with the deployed configuration: once for a cause, and with all that is needed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from email.message import Message as EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MailHandler

from exporters.rules import FILES, Alert, Links
from tests.servers import Receiver, alertmanager, alertmanager_config, free_port, until

QUIET = 3.0
"""Seconds in which nothing must come; what comes, comes within one."""


class Desk:
    """An Alertmanager that is told of alerts as Prometheus tells it."""

    def __init__(self, receiver: Receiver, port: int) -> None:
        self.receiver = receiver
        self._url = f"http://127.0.0.1:{port}/api/v2/alerts"

    def tell(self, *alerts: dict[str, str], over: bool = False, **annotations: str) -> None:
        now = datetime.now(UTC)
        ends = now - timedelta(seconds=1) if over else now + timedelta(hours=1)
        rows = [
            {
                "labels": labels,
                "annotations": annotations,
                "startsAt": (now - timedelta(minutes=1)).isoformat(),
                "endsAt": ends.isoformat(),
            }
            for labels in alerts
        ]
        httpx.post(self._url, json=rows).raise_for_status()

    def pages(self) -> list[list[str]]:
        """The alerts of each notification to the pager that says anything fires."""
        posts = [post for post in list(self.receiver.posts) if post.path == "/pager"]
        return [post.names for post in posts if post.names]


Open = Callable[..., Desk]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Open]:
    """Opens one, after `change` was made to the configuration."""
    with ExitStack() as opened:

        def start(change: Callable[[dict[str, Any]], None] = lambda _: None) -> Desk:
            receiver = opened.enter_context(closing(Receiver()))
            config = alertmanager_config(receiver)
            change(config)
            return Desk(receiver, opened.enter_context(alertmanager(tmp_path / "alertmanager", config)))

        yield start


def alert(name: str, line: str = "a", severity: str = "page", **labels: str) -> dict[str, str]:
    return {"alertname": name, "line": line, "severity": severity, **labels}


def test_one_cause_makes_one_page(desk: Open) -> None:
    """Three defects of a line that fall together, seen by two rules and a challenge part: one notification. Another line has its own."""
    watch = desk()
    recall = [alert("DefectRecallBelowThreshold", defect=defect, by="evidence") for defect in ("crack", "dent", "all")]
    watch.tell(*recall, alert("DefectRecallBelowThreshold", defect="crack", by="window"), alert("ChallengePartMissed"))
    until(lambda: watch.pages(), "the page")
    time.sleep(QUIET)
    assert watch.pages() == [["ChallengePartMissed", *["DefectRecallBelowThreshold"] * 4]]
    watch.tell(alert("DefectRecallBelowThreshold", line="b"))
    until(lambda: len(watch.pages()) == 2, "the other line's page")


@pytest.mark.parametrize(
    "cause", [alert("CameraDown", camera="left"), alert("WorkerDown"), alert("CameraDegraded", by="frozen")]
)
def test_a_page_waits_behind_its_cause(desk: Open, cause: dict[str, str]) -> None:
    """The cause is told alone; once it is over and recall is still low, that is told. Another line is not concerned."""
    watch = desk()
    watch.tell(cause)
    until(lambda: watch.pages(), "the cause")
    watch.tell(alert("DefectRecallBelowThreshold", defect="crack"), alert("DefectRecallBelowThreshold", line="b"))
    until(lambda: len(watch.pages()) == 2, "the other line's page")
    time.sleep(QUIET)
    assert watch.pages() == [[cause["alertname"]], ["DefectRecallBelowThreshold"]]
    watch.tell(cause, over=True)
    until(lambda: len(watch.pages()) == 3, "the page that had waited")


def test_a_camera_that_sees_worse_hides_no_page(desk: Open) -> None:
    """As a ticket it is a cause to look at; recall that falls by it is told."""
    watch = desk()
    watch.tell(alert("CameraDegraded", severity="ticket", by="sharpness"), alert("DefectRecallBelowThreshold"))
    until(lambda: watch.pages() == [["DefectRecallBelowThreshold"]], "the page")


def test_a_worker_that_is_down_is_told_once(desk: Open) -> None:
    """Its camera and the labels that nobody gives are not told beside."""
    watch = desk()
    watch.tell(alert("WorkerDown", by="scrape"), alert("WorkerDown", by="heartbeat"))
    until(lambda: watch.pages(), "the worker")
    watch.tell(
        alert("CameraDown"),
        alert("ReleaseDown", release="modbus://plc:502"),
        alert("DefectRecallUnknown", severity="ticket"),
        alert("DefectRecallAtRisk", severity="ticket"),
    )
    time.sleep(QUIET)
    assert watch.pages() == [["WorkerDown", "WorkerDown"]] and len(watch.receiver.posts) == 1


def test_a_planned_stop_mutes_what_only_says_that_the_line_stands(desk: Open) -> None:
    """Whatever says that defects escape, or that nobody watches, is told all the same."""

    def always(config: dict[str, Any]) -> None:
        config["time_intervals"][0]["time_intervals"] = [{"weekdays": ["sunday:saturday"]}]

    watch = desk(always)
    watch.tell(
        alert("WorkerDown", line="c"),
        alert("CameraDown", line="d"),
        alert("ReleaseDown", line="f", release="modbus://plc:502"),
        alert("DefectRecallUnknown", severity="ticket", line="e"),
    )
    watch.tell(alert("DefectRecallBelowThreshold"), alert("ExporterDown", line=""))
    until(lambda: len(watch.pages()) == 2, "both pages")
    time.sleep(QUIET)
    assert sorted(watch.pages()) == [["DefectRecallBelowThreshold"], ["ExporterDown"]]
    assert {post.path for post in watch.receiver.posts} == {"/pager"}


class Mailbox(MailHandler):
    """Keeps what was mailed."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: list[str] = []

    def handle_message(self, message: EmailMessage) -> None:
        self.letters.append(message.as_string())


def test_every_way_of_telling_says_what_happened_where_and_what_to_do(desk: Open, tmp_path: Path) -> None:
    """PagerDuty, Opsgenie, Slack, e-mail and a plain webhook: each has line, defect, figure and links; secrets come from files."""
    mailbox, port = Mailbox(), free_port()
    secret = tmp_path / "secret"

    def everybody(config: dict[str, Any]) -> None:
        receivers = {receiver["name"]: receiver for receiver in config["receivers"]}
        base = f"http://{watch_address}"
        secret.write_text(f"{base}/slack")
        receivers["slack"]["slack_configs"][0]["api_url_file"] = str(secret)
        (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
        pagerduty, opsgenie = (
            receivers["pagerduty"]["pagerduty_configs"][0],
            receivers["opsgenie"]["opsgenie_configs"][0],
        )
        pagerduty |= {"routing_key_file": str(tmp_path / "key"), "url": f"{base}/pagerduty"}
        opsgenie |= {"api_key_file": str(tmp_path / "key"), "api_url": f"{base}/opsgenie"}
        webhook = receivers["webhook"]["webhook_configs"][0]
        webhook["http_config"]["authorization"]["credentials_file"] = str(tmp_path / "key")
        config["global"]["smtp_smarthost"] = f"127.0.0.1:{port}"
        names = ("pagerduty", "opsgenie", "slack", "email", "webhook")
        config["route"]["routes"] = [
            {"matchers": ['severity="page"'], "receiver": name, "continue": True, "group_wait": "0s"} for name in names
        ]

    with ExitStack() as opened:
        receiver = opened.enter_context(closing(Receiver()))
        watch_address = receiver.address
        controller = Controller(mailbox, hostname="127.0.0.1", port=port)
        controller.start()
        opened.callback(controller.stop)
        config = alertmanager_config(receiver)
        everybody(config)
        watch = Desk(receiver, opened.enter_context(alertmanager(tmp_path / "alertmanager", config)))
        rule = next(one for one in FILES["quality"] if isinstance(one, Alert))
        links = {
            name: text.replace("{{ $labels.line | urlquery }}", "a") for name, text in Links().annotations(rule).items()
        }
        watch.tell(
            alert(rule.name, defect="crack"),
            summary="a, crack: defects escape",
            description="recall of crack fell below 80%. Passed parts at risk: 920",
            **links,
        )
        until(
            lambda: (
                {post.path.split("/")[1] for post in receiver.posts} >= {"pagerduty", "opsgenie", "slack", "webhook"}
            ),
            "all four",
        )
        until(lambda: mailbox.letters, "the letter")
    told = {post.path.split("/")[1]: post for post in receiver.posts}
    letter = mailbox.letters[0].replace("=\n", "").replace("=3D", "=")
    for text in (*(told[name].body for name in ("pagerduty", "opsgenie", "slack", "webhook")), letter):
        for words in (
            "a, crack: defects escape",
            "at risk: 920",
            "/runbook#defectrecallbelowthreshold",
            "/d/redrabbit-line",
        ):
            assert words in text.replace("\\u0026", "&"), (words, text)
    assert json.loads(told["pagerduty"].body)["payload"]["severity"] == "critical"
    assert told["pagerduty"].body.count("0123456789abcdef") == 2
    assert told["opsgenie"].headers["Authorization"] == "GenieKey 0123456789abcdef0123456789abcdef"
    assert told["webhook"].headers["Authorization"] == "Bearer 0123456789abcdef0123456789abcdef"
    assert "Subject: a, crack: defects escape" in letter
