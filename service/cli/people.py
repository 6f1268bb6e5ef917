"""`user`, `trail`: who signs in to the station, and who did what."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import building
from service.cli.running import DEFAULT, Config
from service.errors import InvalidInput
from service.records import Deed, Person

if TYPE_CHECKING:
    from service.ledger.store import SqlLedger

SHORTEST = 8
LONGEST = 1000

user_commands = typer.Typer(help="People who sign in to the station.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Who; labels bear this name.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="Read the password from this file's first line.", show_default="asked for")
]


def register(app: typer.Typer) -> None:
    app.add_typer(user_commands, name="user")
    app.command()(trail)


def by() -> str:
    """Who sits at this machine, for the trail."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        return ""


def noted(ledger: SqlLedger, what: str, about: str) -> None:
    """Into the trail."""
    ledger.note(Deed(by(), "command line", what, about))


@user_commands.command("add")
def add(
    name: Name,
    role: Annotated[str, typer.Option(help="inspector, engineer, admin or scrape.")],
    line: Annotated[list[str] | None, typer.Option(help="Only this line. May be given again.")] = None,
    password_file: PasswordFile = None,
    config: Config = DEFAULT,
) -> None:
    """Make a user, or give one another role, other lines and another password; his sessions end."""
    from service.ledger.store import open_ledger
    from service.station.desk import valid_inspector

    settings = building.settings(config)
    if not valid_inspector(name):
        raise InvalidInput(f"user {name!r}: expected a name of up to 63 letters, digits, spaces and . @ -")
    person = Person(name, role, tuple(line or ()), _hashed(name, password_file), disabled=False, by=by())
    with closing(open_ledger(settings.ledger, time.time)) as ledger:
        ledger.put_person(person)
        noted(ledger, "made a user", f"{name}, {role}, {_lines(person.lines)}")
    typer.echo(f"{name}: {role}, {_lines(person.lines)}")


@user_commands.command("list")
def list_people(config: Config = DEFAULT) -> None:
    """Who may sign in, as what, and for which lines."""
    from service.ledger.store import open_ledger

    with closing(open_ledger(building.settings(config).ledger, time.time, read_only=True)) as ledger:
        for person in ledger.people():
            state = "disabled" if person.disabled else "good"
            typer.echo(f"{person.name:24} {person.role:10} {_lines(person.lines):24} {state}")


@user_commands.command("password")
def password(name: Name, password_file: PasswordFile = None, config: Config = DEFAULT) -> None:
    """Give a user another password; his sessions end."""
    settings = building.settings(config)
    hashed = _hashed(name, password_file)
    _changed(settings.ledger, name, "gave a user another password", lambda person: replace(person, password=hashed))
    typer.echo(f"{name}: another password; sessions ended")


@user_commands.command("disable")
def disable(name: Name, config: Config = DEFAULT) -> None:
    """Let a user in no more; his sessions end now. `user add` lets him in again."""
    settings = building.settings(config)
    _changed(settings.ledger, name, "disabled a user", lambda person: replace(person, disabled=True))
    typer.echo(f"{name}: disabled")


def trail(
    who: Annotated[str, typer.Option(help="Of this name only.")] = "",
    most: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 100,
    config: Config = DEFAULT,
) -> None:
    """Print who did what, the newest first: sign-ins, users, tokens, acknowledgements, challenge parts, lists fetched, models ordered."""
    from service.ledger.store import open_ledger

    with closing(open_ledger(building.settings(config).ledger, time.time, read_only=True)) as ledger:
        for row in ledger.deeds(None, most, who):
            when = datetime.fromtimestamp(row.recorded_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            one = row.deed
            typer.echo(f"{when}  {one.who or '-':20} {one.source:16} {one.what}{': ' * bool(one.about)}{one.about}")


def _changed(url: str, name: str, what: str, change: Callable[[Person], Person]) -> None:
    from service.ledger.store import open_ledger

    with closing(open_ledger(url, time.time)) as ledger:
        person = ledger.person(name)
        if person is None:
            raise InvalidInput(f"user {name!r}: there is none of that name, or he is disabled")
        ledger.put_person(replace(change(person), by=by()))
        noted(ledger, what, name)


def _hashed(name: str, file: Path | None) -> str:
    from service.station.sessions import HASHER

    if file is None:
        found = typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True)
    else:
        try:
            found = (file.read_text(encoding="utf-8").splitlines() or [""])[0]
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"--password-file {file}: cannot be read: {error}") from error
    if not SHORTEST <= len(found) <= LONGEST:
        raise InvalidInput(f"user {name}: a password of {len(found)} letters; expected {SHORTEST} to {LONGEST}")
    return HASHER.hash(found)


def _lines(lines: Sequence[str]) -> str:
    return ",".join(lines) or "every line"
