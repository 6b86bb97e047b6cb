"""Indexes of what is rare and asked for: clicks that are no human's, runs that are neither done nor skipped, the outbox without its dead.

In the order in which a click writes these tables: locked in another, an older server that records clicks meanwhile and this would wait for
each other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.drop_index("outbox_order", "outbox")
    _some("outbox_order", "outbox", ["destination", "click_id", "position"], "state < 6")
    _some("unfinished_run", "action_run", ["state", "click_id", "position"], "state > 2")
    _some("suspected_click", "click", ["placement_id", "generation", "verdict", "id"], "verdict > 1")


def _some(name: str, table: str, columns: list[str], condition: str) -> None:
    op.create_index(name, table, columns, unique=False, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))
