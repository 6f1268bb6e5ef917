"""Serves the station until it is told to stop."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address
from threading import Event, Thread

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from service.errors import InvalidInput
from service.station.deps import Deps


def serve(app: FastAPI, address: str, stopping: Event, alive: Callable[[], None] = lambda: None) -> None:
    """address: HOST:PORT. Blocks until `stopping` is set, then lets answers that are on their way end. Raises InvalidInput.

    alive: called every second or two while it serves, from where requests are answered.
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
            limit_concurrency=256,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=5,
            callback_notify=come_round,
            timeout_notify=1,
            h11_max_incomplete_event_size=16_384,
        )
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, name="station")
        thread.start()
        while thread.is_alive() and not stopping.wait(0.2):
            pass
        server.should_exit = True
        thread.join()


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
