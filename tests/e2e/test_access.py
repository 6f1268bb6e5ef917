"""People as whoever sets a station up makes them: on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Run


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("a red rabbit\nand more\n")
    return file


def test_users_come_and_go(run: Run, secret: Path) -> None:
    """Made, listed, given another password, disabled; each stands in the trail, and no password anywhere."""
    assert (
        run("user", "add", "ines", "--role", "inspector", "--line", "a", "--password-file", str(secret)).returncode == 0
    )
    assert run("user", "password", "ines", "--password-file", str(secret)).returncode == 0
    assert run("user", "list").stdout.split() == ["ines", "inspector", "a", "good"]
    assert run("user", "disable", "ines").returncode == 0
    assert run("user", "list").stdout.split()[-1] == "disabled"
    said = run("trail").stdout
    order = ["disabled a user", "gave a user another password", "made a user: ines, inspector, a"]
    assert [said.index(words) for words in order] == sorted(said.index(words) for words in order)
    assert "red rabbit" not in said


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("user", "add", "x", "--role", "king"), "role 'king'; expected a name and one of"),
        (("user", "add", "../x", "--role", "admin"), "expected a name of up to 63"),
        (("user", "password", "nobody"), "none of that name"),
        (("user", "disable", "nobody"), "none of that name"),
    ],
)
def test_what_is_wrong_with_a_user_is_said(run: Run, secret: Path, command: tuple[str, ...], words: str) -> None:
    """One line, status 2, and no user."""
    more = () if command[1] == "disable" else ("--password-file", str(secret))
    done = run(*command, *more)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_short_password_is_none(run: Run, secret: Path) -> None:
    """Its length is told, not what it is."""
    secret.write_text("short")
    done = run("user", "add", "ines", "--role", "inspector", "--password-file", str(secret))
    assert done.returncode == 2 and "5 letters; expected 8" in done.stderr and "short" not in done.stderr


def test_a_name_is_a_users_or_a_tokens(run: Run, secret: Path) -> None:
    """Labels bear it: it must say who."""
    run("token", "add", "eva", "--role", "engineer")
    assert "token has this name" in run("user", "add", "eva", "--role", "admin", "--password-file", str(secret)).stderr
    run("user", "add", "max", "--role", "admin", "--password-file", str(secret))
    assert "user has this name" in run("token", "add", "max", "--role", "engineer").stderr
