"""Serves the station until it is told to stop."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from service.errors import InvalidInput
from service.station.connections import HEAD_WITHIN, MOST, Bounded
from service.station.deps import Deps


def serve(
    app: FastAPI,
    address: str,
    stopping: Event,
    alive: Callable[[], None] = lambda: None,
    tls: tuple[Path, Path] | None = None,
    connections: type[Bounded] = Bounded,
) -> None:
    """address: HOST:PORT. Blocks until `stopping` is set, then lets answers that are on their way end. Raises InvalidInput.

    alive: called every second or two while it serves, from where requests are answered. tls: certificate and key, PEM.
    """
    deps: Deps = app.state.deps

    async def come_round() -> None:
        await run_in_threadpool(
            alive
        )  # the event loop lives, and its threads, which the ledger may hold, are not all taken

    with _bound(address, deps.open_on_loopback) as listener:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http=connections,
            ws="none",
            limit_concurrency=MOST + 1,
            timeout_keep_alive=int(HEAD_WITHIN),
            timeout_graceful_shutdown=5,
            callback_notify=come_round,
            timeout_notify=1,
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
        )
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, name="station")
        thread.start()
        while thread.is_alive() and not stopping.wait(0.2):
            pass
        server.should_exit = True
        thread.join()


def tls_files(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Both, read and found to belong together; None where neither is given. Raises InvalidInput."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InvalidInput("station: expected tls_certificate and tls_key, both or neither")
    for name, file in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise InvalidInput(f"station.{name}: {file} cannot be read: {error.strerror}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput(
            f"station.tls_certificate, tls_key: expected a PEM certificate and its own key without a password: {certificate}, {key}"
        ) from error
    return certificate, key


def _no_password() -> str:
    """Nobody is there to be asked."""
    return ""


def _bound(address: str, open_to_all: bool) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if open_to_all and not _is_loopback(host):
        raise InvalidInput(
            f"station.listen: {address} is not of this machine only; expected 127.0.0.1 with open_on_loopback"
        )
    try:
        family, *_, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        return socket.create_server(where[:2], family=family, backlog=256)
    except OSError as error:
        raise InvalidInput(f"station.listen: cannot listen on {address}: {error.strerror}") from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
