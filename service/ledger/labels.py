"""The station's side: labels, and the bearer tokens of those who bring them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select, update

from service.errors import InvalidInput
from service.ledger.base import Base, rows_of
from service.ledger.schema import Token, columns, labels, parts, people, tokens, values
from service.ports import LabelReceipt
from service.records import Label

_THERE = select(parts.c.part_id)
_LABELS = select(*columns(labels, Label)).order_by(labels.c.sequence)
_TOKENS = select(*columns(tokens, Token))

ROLES = ("inspector", "engineer", "admin", "scrape", "camera")


class Labels(Base):
    """Fulfils ports.LabelLedger."""

    def add_labels(self, labels: Sequence[Label], client: str = "") -> Sequence[LabelReceipt]:
        """See `add_label_groups`, of which this is one group."""
        return self.add_label_groups([(labels, client)])[0]

    def add_label_groups(self, groups: Sequence[tuple[Sequence[Label], str]]) -> list[list[LabelReceipt]]:
        """Labels of several clients in one transaction, durable when it returns; a receipt for each, in order.

        `unchanged`, and no row: a label equal to that inspector's newest of the part (by labelled_at, then sequence), and
        one whose row exists already, so that an old request sent again never undoes a correction.
        A label that says the newest answer again leaves no trace of its later time: should an older, different answer of
        the same inspector arrive after it for the first time, dated between the two, that one counts as the newest.
        """
        wanted = [label.part_id for group, _ in groups for label in group]
        known: defaultdict[tuple[str, str], list[Label]] = defaultdict(list)
        rows: list[dict[str, Any]] = []
        with self._writer.begin() as connection:
            there = {row.part_id for row in rows_of(connection, _THERE, parts.c.part_id, wanted)}
            for row in rows_of(connection, _LABELS, labels.c.part_id, wanted):
                known[row.part_id, row.inspector].append(Label(*row))
            now = self._moment(connection)

            def receipt(label: Label, client: str) -> LabelReceipt:
                history = known[label.part_id, label.inspector]
                if _says_nothing_new(label, history):
                    return LabelReceipt(label.part_id, "unchanged")
                history.append(label)
                rows.append({"recorded_at": now, "client": client, **values(label)})
                return LabelReceipt(label.part_id, "recorded" if label.part_id in there else "waiting")

            receipts = [[receipt(label, client) for label in group] for group, client in groups]
            if rows:
                self.append(connection, labels, rows)
        return receipts


def _says_nothing_new(label: Label, history: Sequence[Label]) -> bool:
    if not history or label in history:
        return bool(history)
    newest = max(reversed(history), key=lambda known: known.labelled_at)  # of equal times the later row
    return newest.label == label.label


class Tokens(Base):
    def add_token(
        self, name: str, role: str, hash: str, lines: Sequence[str] = (), expires_at: float | None = None
    ) -> Token:
        """hash: SHA-256 hex of the secret; the secret itself never comes here. lines: none given is every line.

        Raises InvalidInput for an unknown role, what is no such hash, or a name that was ever given: labels bear it.
        """
        if not name or role not in ROLES:
            raise InvalidInput(f"token {name!r}: role {role!r}; expected a name and one of {', '.join(ROLES)}")
        if not re.fullmatch("[0-9a-f]{64}", hash):
            raise InvalidInput(f"token {name}: expected the SHA-256 of its secret as 64 hex digits")
        token = Token(name, role, hash, tuple(lines), self._clock(), expires_at)
        with self._writer.begin() as connection:
            taken = select(tokens.c.name).where((tokens.c.name == name) | (tokens.c.hash == hash))
            if connection.execute(taken).first():
                raise InvalidInput(f"token {name}: there is one of that name, or of that secret; choose another")
            if connection.execute(select(people.c.name).where(people.c.name == name)).first():
                raise InvalidInput(f"token {name}: a user has this name, and labels bear it; choose another")
            connection.execute(insert(tokens), values(token))
        return token

    def token(self, hash: str) -> Token | None:
        """The token in force with this hash: not revoked, not expired."""
        with self._reader.begin() as connection:
            row = connection.execute(_TOKENS.where(tokens.c.hash == hash)).one_or_none()
        token = Token(*row) if row else None
        if token is None or token.revoked_at is not None:
            return None
        return token if token.expires_at is None or self._clock() < token.expires_at else None

    def tokens(self) -> Sequence[Token]:
        """All that were ever given, by name."""
        with self._reader.begin() as connection:
            return [Token(*row) for row in connection.execute(_TOKENS.order_by(tokens.c.name))]

    def revoke_token(self, name: str) -> None:
        """At once and for ever; again is no change. Raises InvalidInput for an unknown name."""
        with self._writer.begin() as connection:
            if not connection.execute(select(tokens.c.name).where(tokens.c.name == name)).first():
                raise InvalidInput(f"token {name!r}: there is none of that name")
            still = update(tokens).where(tokens.c.name == name, tokens.c.revoked_at.is_(None))
            connection.execute(still.values(revoked_at=self._clock()))
