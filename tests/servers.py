"""Real Prometheus and Alertmanager on free loopback ports, and a receiver that keeps what would have reached the pager."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import httpx
import pytest
import yaml

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    """The path of a server's program; the test fails, and says how to get it, where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: `make debian` installs it, or says how")
    return found


def until(condition: Callable[[], object], what: str | Callable[[], str], patience: float = PATIENCE) -> None:
    """Waits until the condition holds; fails with what was waited for, which may be told as it is by then."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what() if callable(what) else what}"
        time.sleep(0.1)


def awaited(work: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns. In a thread of its own: a browser that another test has opened keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@dataclass(frozen=True, slots=True)
class Post:
    """One notification. names: of its alerts that fire, where it is a webhook's."""

    path: str
    body: str
    headers: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        found = (alert for alert in json.loads(self.body)["alerts"] if alert["status"] == "firing")
        return sorted(alert["labels"]["alertname"] for alert in found)


class Receiver:
    """Stands where the pager would be. alerts: every alert that was ever sent, in order of arrival."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.posts: list[Post] = []
        alerts, posts = self.alerts, self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                posts.append(Post(self.path, body, dict(self.headers)))
                alerts.extend(json.loads(body).get("alerts", ()))
                self.send_response(202)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def names(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in list(self.alerts)}

    def named(self, name: str, status: str = "firing") -> dict[str, Any] | None:
        """The first alert of that name and status that arrived."""
        found = (a for a in list(self.alerts) if a["labels"]["alertname"] == name and a["status"] == status)
        return next(found, None)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True, slots=True)
class Stack:
    """prometheus, alertmanager: their URLs."""

    receiver: Receiver
    prometheus: str
    alertmanager: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query's result."""
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": expression}, timeout=10).json()
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@contextmanager
def _running(command: Sequence[str], folder: Path, ready: str) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            until(lambda: process.poll() is not None or _answers(ready), f"{ready} answers")
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def alertmanager_config(receiver: Receiver) -> dict[str, Any]:
    """The deployed configuration, quick, and with the receiver in the pager's place."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "deploy/alertmanager/alertmanager.yml").read_text())
    for route in _routes(config["route"]):
        route |= {"group_wait": "1s", "group_interval": "1s"}
    for one in config["receivers"]:
        for webhook in one.get("webhook_configs", ()):
            webhook["url"] = f"http://{receiver.address}/{one['name']}"
    return config


def _routes(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield route
    for child in route.get("routes", ()):
        yield from _routes(child)


def _configure_prometheus(
    folder: Path,
    targets: Mapping[str, Sequence[str]],
    alertmanager: int,
    plants: Mapping[str, str],
    plant: str,
    federated: Sequence[str],
) -> None:
    """The deployed configuration, quick, without a token, and with other targets."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    asked = {job["job_name"]: job for job in config["scrape_configs"]}
    asked["redrabbit-station"].pop("authorization")
    wanted = {job: list(targets.get(job, ())) for job in asked}
    asked["alertmanager"] = config["alerting"]["alertmanagers"][0]
    wanted["alertmanager"] = [f"127.0.0.1:{alertmanager}"]
    (folder / "targets").mkdir()
    for name, job in asked.items():
        groups = [
            {"targets": [target], "labels": {"plant": plants[target]} if target in plants else {}}
            for target in wanted[name]
        ]
        (folder / job["file_sd_configs"][0]["files"][0]).write_text(yaml.safe_dump(groups))
    if plant:
        config["global"]["external_labels"] = {"plant": plant}
    if federated:
        (job,) = yaml.safe_load((ROOT / "deploy/prometheus/federation.yml").read_text())["scrape_configs"]
        (folder / job["file_sd_configs"][0]["files"][0]).write_text(yaml.safe_dump([{"targets": list(federated)}]))
        config["scrape_configs"].append(job)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))


@contextmanager
def alertmanager(folder: Path, config: Mapping[str, Any]) -> Iterator[int]:
    """With the deployed templates. Yields its port."""
    port = free_port()
    folder.mkdir(parents=True)
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    shutil.copytree(ROOT / "deploy/alertmanager/templates", folder / "templates")
    command = [
        program("prometheus-alertmanager"),
        "--config.file=config.yml",
        "--storage.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with _running(command, folder, f"http://127.0.0.1:{port}/-/ready"):
        yield port


def _hurried(rules: str, hurry: int) -> str:
    """The rules with their waiting times divided."""
    units = {"s": 1, "m": 60, "h": 3600}

    def shorter(found: re.Match[str]) -> str:
        return f"{found[1]}: {-(-int(found[2]) * units[found[3]] // hurry)}s"

    return re.sub(r"\b(for|keep_firing_for): (\d+)([smh])$", shorter, rules, flags=re.MULTILINE)


@contextmanager
def stack(
    folder: Path,
    targets: Mapping[str, Sequence[str]],
    plants: Mapping[str, str] | None = None,
    hurry: int = 1,
    plant: str = "",
    federated: Sequence[str] = (),
) -> Iterator[Stack]:
    """targets: {job: [HOST:PORT]}, the jobs as in deploy/prometheus/prometheus.yml. plants: {HOST:PORT: label `plant`}. hurry: how many times
    shorter the rules wait. plant: the external label. federated: HOST:PORT of the Prometheus servers that this one asks for their sums."""
    own = free_port()
    with ExitStack() as opened:
        receiver = Receiver()
        opened.callback(receiver.close)
        watcher = opened.enter_context(alertmanager(folder / "alertmanager", alertmanager_config(receiver)))
        (folder / "prometheus").mkdir(parents=True)
        _configure_prometheus(folder / "prometheus", targets, watcher, plants or {}, plant, federated)
        (folder / "prometheus/rules").mkdir()
        for file in (ROOT / "deploy/prometheus/rules").glob("*.yml"):
            (folder / "prometheus/rules" / file.name).write_text(_hurried(file.read_text(), hurry))
        prometheus = [
            program("prometheus"),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--rules.alert.resend-delay=5s",  # sent again soon where Alertmanager was not found yet; four of these unheard end it
            f"--web.listen-address=127.0.0.1:{own}",
        ]
        opened.enter_context(_running(prometheus, folder / "prometheus", f"http://127.0.0.1:{own}/-/ready"))
        yield Stack(receiver, f"http://127.0.0.1:{own}", f"http://127.0.0.1:{watcher}")
