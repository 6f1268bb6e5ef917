"""A real PostgreSQL server on a free loopback port with a data folder of its own; each test gets a database of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests.servers import free_port, until


def _program(name: str) -> str:
    """Debian keeps the server's programs off the path."""
    found = [str(file) for file in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    if not found and (elsewhere := shutil.which(name)):
        found = [elsewhere]
    if not found:
        pytest.fail(f"{name} is missing: `make debian` installs it, or says how")
    return found[-1]


def _as_somebody(command: Sequence[str]) -> Sequence[str]:
    """The server refuses to run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


@dataclass
class Postgres:
    """One server. It may be killed and started again: what was committed is there."""

    folder: Path
    fsync: str = "fsync=off"
    port: int = field(default_factory=free_port)
    _numbers: Iterator[int] = field(default_factory=count)

    def initialise(self) -> None:
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._run(
            "initdb", "--pgdata=data", "--username=redrabbit", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"
        )

    def start(self) -> None:
        # Without fsync a test's database is made three times as fast; what a killed server had committed is in the kernel's hands.
        settings = f"-c {self.fsync} -p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c max_connections=200"
        self._run("pg_ctl", "start", "--pgdata=data", "--log=log", "--wait", f"--options={settings}")

    def stop(self, how: str = "fast") -> None:
        """how: fast, or immediate, which is a crash."""
        self._run("pg_ctl", "stop", "--pgdata=data", "--wait", f"--mode={how}")

    def kill(self) -> None:
        """As the kernel would, without a word to anybody."""
        pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        os.kill(pid, 9)
        until(lambda: not Path(f"/proc/{pid}").exists(), "the server is gone")

    def database(self, *options: str) -> str:
        """The URL of an empty one."""
        name = f"ledger_{next(self._numbers)}"
        self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", "--username=redrabbit", *options, name)
        return f"postgresql://redrabbit@127.0.0.1:{self.port}/{name}"

    def sql(self, url: str, statement: str) -> str:
        """As the server's owner; rows as text."""
        return self._run("psql", url, "--no-psqlrc", "--tuples-only", "--no-align", "--command", statement)

    def _run(self, name: str, *arguments: str) -> str:
        command = _as_somebody([_program(name), *arguments])
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def running(fsync: str = "fsync=off") -> Iterator[Postgres]:
    """A server; its folder lies where another user may go, which pytest's own do not."""
    folder = Path(tempfile.mkdtemp(prefix="redrabbit-postgres-"))
    server = Postgres(folder, fsync)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        if (folder / "data/postmaster.pid").exists():
            server.stop("immediate")
        shutil.rmtree(folder)
