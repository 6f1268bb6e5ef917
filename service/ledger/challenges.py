"""What people say beside labels: which parts are challenge parts, and that they have taken on a page."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from service.errors import InvalidInput
from service.ledger.base import Base
from service.ledger.schema import acknowledgements, challenge_parts, challenge_reports, parts, values
from service.records import Acknowledgement, ChallengePart, ChallengeReport


class Challenges(Base):
    """Fulfils ports.ChallengeLedger. Durable when a call returns."""

    def register_challenge(self, part: ChallengePart) -> ChallengePart:
        """A new row, from now on in force for this line and name."""
        with self._writer.begin() as connection:
            dated = replace(part, recorded_at=self._moment(connection))
            self.append(connection, challenge_parts, [values(dated)])
        return dated

    def report_challenge(self, part_id: str, name: str, by: str) -> ChallengeReport:
        """Says that a recorded part was a pass of a challenge part of its line; the same again is no change.

        Raises InvalidInput for an unknown part or challenge part, and for a part that was reported as another.
        """
        with self._writer.begin() as connection:
            line = connection.execute(select(parts.c.line).where(parts.c.part_id == part_id)).scalar_one_or_none()
            if line is None:
                raise InvalidInput(f"challenge: there is no part {part_id!r}; report it once the line has recorded it")
            there = select(challenge_parts.c.name).where(challenge_parts.c.line == line, challenge_parts.c.name == name)
            if connection.execute(there).first() is None:
                raise InvalidInput(f"challenge: line {line} has no challenge part {name!r}; register it first")
            known = select(challenge_reports.c.name).where(challenge_reports.c.part_id == part_id)
            already = connection.execute(known).scalar_one_or_none()
            if already not in (None, name):
                raise InvalidInput(f"challenge: part {part_id!r} was reported as a pass of {already!r}")
            report = ChallengeReport(line, part_id, name, self._moment(connection), by)
            if already is None:
                self.append(connection, challenge_reports, [values(report)])
        return report

    def acknowledge(self, line: str, defect: str, by: str, note: str) -> Acknowledgement:
        """Takes on the pages of a row (ALL: of the line) that stand now."""
        with self._writer.begin() as connection:
            said = Acknowledgement(line, defect, self._moment(connection), by, note)
            self.append(connection, acknowledgements, [values(said)])
        return said
