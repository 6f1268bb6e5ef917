"""How cameras saw when a model took over, and who asked for that to be taken anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import select

from service.ledger.base import Base
from service.ledger.schema import camera_references, columns, values
from service.records import CameraReference

_ALL = select(*columns(camera_references, CameraReference)).order_by(camera_references.c.sequence)


class Cameras(Base):
    """Fulfils ports.CameraLedger. Durable when a call returns."""

    def camera_references(self, line: str, model: str) -> Mapping[str, CameraReference]:
        """By camera, the newest under this model (digest)."""
        query = _ALL.where(camera_references.c.line == line, camera_references.c.model == model)
        with self._reader.begin() as connection:
            return {row.camera: CameraReference(*row) for row in connection.execute(query)}

    def keep_camera_reference(self, reference: CameraReference) -> None:
        with self._writer.begin() as connection:
            dated = replace(reference, recorded_at=self._moment(connection))
            self.append(connection, camera_references, [values(dated)])
