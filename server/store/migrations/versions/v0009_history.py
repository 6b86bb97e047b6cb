"""Whether a database was put back: its histories, and how often each server has given ids in the last one."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "history",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("put_back", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        comment="each run of ids: after a restore another one begins; the last is the one that counts",
    )
    op.create_table(
        "id_giver",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="how often each server has given ids in the last history",
    )
