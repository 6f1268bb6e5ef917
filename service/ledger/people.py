"""People who sign in, their sessions, and who did what."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from service.errors import InvalidInput
from service.ledger.base import Base
from service.ledger.labels import ROLES
from service.ledger.schema import columns, deeds, people, sessions, tokens, values
from service.records import Deed, Person, RecordedDeed

SEEN_EVERY = 60.0
"""Seconds after which a session is written down as seen again: not each request waits for the disk."""

_PEOPLE = select(people.c.sequence, *columns(people, Person))
_NEWEST = people.c.sequence.in_(select(func.max(people.c.sequence)).group_by(people.c.name))
_DEEDS = select(deeds.c.sequence, deeds.c.recorded_at, *columns(deeds, Deed)).order_by(deeds.c.sequence.desc())


class People(Base):
    """Fulfils ports.PeopleLedger."""

    def put_person(self, person: Person) -> None:
        """Says anew who somebody is, which ends every session of his. Raises InvalidInput for an unknown role or a name that a token
        has: labels bear it."""
        if not person.name or person.role not in ROLES or person.role == "camera":
            allowed = ", ".join(role for role in ROLES if role != "camera")
            raise InvalidInput(f"user {person.name!r}: role {person.role!r}; expected a name and one of {allowed}")
        with self._writer.begin() as connection:
            if connection.execute(select(tokens.c.name).where(tokens.c.name == person.name)).first():
                raise InvalidInput(f"user {person.name}: a token has this name, and labels bear it; choose another")
            self.append(connection, people, [{"recorded_at": self._moment(connection), **values(person)}])

    def people(self) -> Sequence[Person]:
        """As last said of each, by name; the disabled ones too."""
        with self._reader.begin() as connection:
            rows = connection.execute(_PEOPLE.where(_NEWEST).order_by(people.c.name))
            return [Person(*fields) for _, *fields in rows]

    def person(self, name: str) -> Person | None:
        with self._reader.begin() as connection:
            found = _newest(connection, name)
        return found[1] if found else None

    def begin_session(self, name: str, hash: str) -> None:
        if not re.fullmatch("[0-9a-f]{64}", hash):
            raise InvalidInput("session: expected the SHA-256 of its secret as 64 hex digits")
        with self._writer.begin() as connection:
            found = _newest(connection, name)
            if found is None:
                raise InvalidInput(f"user {name!r}: there is none of that name who may sign in")
            now = self._clock()
            connection.execute(insert(sessions), {"hash": hash, "person": found[0], "began_at": now, "seen_at": now})

    def session(self, hash: str, idle: float) -> Person | None:
        now = self._clock()
        whose = select(sessions.c.seen_at, people.c.sequence, people.c.name).where(
            sessions.c.hash == hash, people.c.sequence == sessions.c.person
        )
        with self._reader.begin() as connection:
            row = connection.execute(whose).one_or_none()
            found = _newest(connection, row.name) if row else None
        if row is None or found is None or found[0] != row.sequence or now - row.seen_at > idle:
            return None
        if now - row.seen_at > SEEN_EVERY:
            with self._writer.begin() as connection:
                connection.execute(update(sessions).where(sessions.c.hash == hash).values(seen_at=now))
        return found[1]

    def end_session(self, hash: str) -> None:
        with self._writer.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.hash == hash))

    def note(self, deed: Deed) -> None:
        with self._writer.begin() as connection:
            self.append(connection, deeds, [{"recorded_at": self._moment(connection), **values(deed)}])

    def deeds(self, before: int | None, limit: int, who: str = "") -> Sequence[RecordedDeed]:
        query = _DEEDS.limit(limit)
        query = query if before is None else query.where(deeds.c.sequence < before)
        query = query.where(deeds.c.who == who) if who else query
        with self._reader.begin() as connection:
            return [RecordedDeed(at, when, Deed(*fields)) for at, when, *fields in connection.execute(query)]


def _newest(connection: Connection, name: str) -> tuple[int, Person] | None:
    """What was last said of somebody; None for nobody, or somebody disabled."""
    row = connection.execute(_PEOPLE.where(people.c.name == name).order_by(people.c.sequence.desc()).limit(1)).first()
    if row is None:
        return None
    sequence, *fields = row
    person = Person(*fields)
    return None if person.disabled else (sequence, person)
