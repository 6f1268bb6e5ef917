"""The station over https, with a certificate of its own."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
import trustme

from service.errors import InvalidInput
from service.station.access import SECURE_COOKIE
from service.station.serving import serve, tls_files
from tests.servers import free_port, until
from tests.station.conftest import Station


def _pem(folder: Path, authority: trustme.CA, name: str) -> tuple[Path, Path]:
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    issued.private_key_pem.write_to_path(str(key))
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return certificate, key


def test_the_station_speaks_https(start: Callable[..., Station], tmp_path: Path) -> None:
    """With its own certificate; the cookie is then for https alone."""
    authority = trustme.CA()
    tls = tls_files(*_pem(tmp_path, authority, "station"))
    station = start(open_on_loopback=False)
    address, stopping = f"127.0.0.1:{free_port()}", Event()
    thread = Thread(target=serve, args=(station.app, address, stopping), kwargs={"tls": tls})
    thread.start()
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    try:
        with closing(httpx.Client(base_url=f"https://{address}", verify=trusted)) as client:
            until(lambda: _answers(client), "https")
            form = {"token": station.token("eva", "engineer")}
            said = client.post("/sign-in", data=form, headers={"Origin": f"https://{address}"}).headers["set-cookie"]
            assert said.startswith(f"{SECURE_COOKIE}=") and "Secure" in said
            assert client.get("/").status_code == 200
    finally:
        stopping.set()
        thread.join()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").is_success
    except httpx.HTTPError:
        return False


def test_certificates_that_are_none(tmp_path: Path) -> None:
    """One without the other, a file that is not there, rubbish, and a key of another certificate: each is said before anything starts."""
    authority = trustme.CA()
    certificate, key = _pem(tmp_path, authority, "one")
    _, other = _pem(tmp_path, authority, "other")
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("x")
    for files, words in (
        ((certificate, None), "both or neither"),
        ((tmp_path / "none", key), "cannot be read"),
        ((rubbish, key), "expected a PEM certificate"),
        ((certificate, other), "its own key"),
    ):
        with pytest.raises(InvalidInput, match=words):
            tls_files(*files)
