"""Indexes by which people search for parts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_index("parts_by_camera", "parts", ["line", "camera", "captured_at"])
    for name, column, there in (
        ("parts_by_lot", "lot", sa.text("lot != ''")),
        ("parts_by_outcome", "outcome", sa.text("outcome != 'pass'")),
    ):
        op.create_index(name, "parts", ["line", column, "captured_at"], sqlite_where=there, postgresql_where=there)
    op.create_index("labels_by_word", "labels", ["label", "part_id"])
