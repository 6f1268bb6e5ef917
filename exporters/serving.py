"""Serves a registry over HTTP, and builds the exporter's registry: the one list of what the ledger is asked for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Metric, disable_created_metrics

from exporters import audit, challenge, drift, evidence, freshness, models, quality, thresholds
from exporters.families import CONTENT_TYPE, exposition
from exporters.scrape import Collectors
from service.clients import Clients
from service.errors import InvalidInput
from service.pulse import Pulse
from service.records import Snapshot
from service.thresholds import WatchedThresholds

SIMULTANEOUS = 8
PATIENCE = 10.0
"""Seconds that a client may take to ask, or to take its answer."""


Collect = Callable[[Snapshot], Iterable[Metric]]


def collectors(watched: WatchedThresholds) -> Sequence[tuple[str, Collect]]:
    """What the exporter is made of, by name, in the order of the page."""
    return (
        ("quality", quality.collect),
        ("evidence", evidence.collect),
        ("audit", audit.collect),
        ("challenge", challenge.collect),
        ("drift", drift.collect),
        ("freshness", freshness.collect),
        ("models", models.collect),
        ("thresholds", partial(thresholds.collect, watched)),
    )


def snapshot_metrics(snapshot: Callable[[], Snapshot], watched: WatchedThresholds) -> CollectorRegistry:
    """Everything that the ledger and thresholds.yaml say, computed at each scrape."""
    registry = CollectorRegistry()
    registry.register(Collectors(snapshot, collectors(watched)))
    return registry


class MetricsServer:
    """A server in a thread of its own; `close` ends it."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server
        self._thread = Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_metrics(
    address: str, registry: CollectorRegistry, pulse: Pulse | None = None, come_round: Callable[[], None] = lambda: None
) -> MetricsServer:
    """address: HOST:PORT; port 0 takes a free one. Answers /metrics, and /healthz and /readyz by the pulse. Raises InvalidInput.

    come_round: called several times a second while the server has room for a request.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    kind = _Server6 if ":" in host else _Server
    try:
        server = kind((host, int(port)), _Quiet)
    except OSError as error:
        raise InvalidInput(f"metrics: cannot listen on {address}: {error.strerror}") from error
    server.come_round = come_round
    server.set_app(_application(registry, pulse or Pulse()))
    return MetricsServer(server)


def _application(registry: CollectorRegistry, pulse: Pulse) -> Callable[..., Iterable[bytes]]:
    plain = [("Content-Type", "text/plain; charset=utf-8")]

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start("405 Method Not Allowed", [*plain, ("Allow", "GET, HEAD")])
            return [b"only GET\n"]
        if path == "/metrics":
            start("200 OK", [("Content-Type", CONTENT_TYPE)])
            return [exposition(registry.collect())]
        if path not in ("/healthz", "/readyz"):
            start("404 Not Found", plain)
            return [b"there are /metrics, /healthz and /readyz\n"]
        well = pulse.ready if path == "/readyz" else pulse.alive
        start("200 OK" if well else "503 Service Unavailable", plain)
        return [b"ok\n" if well else b"no sign of life\n"]

    return application


class _Server(ThreadingMixIn, WSGIServer):
    """So many clients at once and no more: who comes on top while all are answered is hung up on, and asks again at the next scrape."""

    daemon_threads = True
    block_on_close = False
    come_round: Callable[[], None]

    def __init__(self, *arguments: Any) -> None:
        self.clients = Clients(SIMULTANEOUS, PATIENCE)
        super().__init__(*arguments)

    def service_actions(self) -> None:
        """Of every round of the loop that serves. While all places are taken, by scrapes that hang perhaps, it does not come round."""
        self.clients.cut_off_late()
        if not self.clients.full:
            self.come_round()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self.clients.let_in(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread is to be had
            self.clients.leave(request)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.clients.leave(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone; the base class prints a traceback."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    timeout = PATIENCE
    server: _Server

    def get_environ(self) -> dict[str, Any]:
        """Asked for once the request is here as a whole."""
        self.server.clients.has_sent(self.connection)
        return super().get_environ()

    def log_message(self, format: str, *arguments: Any) -> None:
        """No line per scrape."""
