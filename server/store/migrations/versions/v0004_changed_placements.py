"""What has changed of where placements lead: a number for each change, for front doors that keep up with them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("placement", sa.Column("change", sa.BigInteger(), nullable=False, server_default="1"))
    op.create_index("placement_change", "placement", ["change", "id"], unique=False)
    op.create_table(
        "last_change",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
