"""Indexes of what is rare and asked for: clicks that are no human's, and action runs that are neither done nor skipped."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _some("suspected_click", "click", ["placement_id", "generation", "verdict", "id"], "verdict > 1")
    _some("unfinished_run", "action_run", ["state", "click_id", "position"], "state > 2")


def _some(name: str, table: str, columns: list[str], condition: str) -> None:
    op.create_index(name, table, columns, unique=False, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))
