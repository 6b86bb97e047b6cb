"""Special links: subscriptions, what is kept for recipients, and what a message needs of it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("message", sa.Column("kept_fields", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("message", sa.Column("unsubscribe_placement_id", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "kept",
        sa.Column("mailing_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("mailing_id", "recipient"),
        sqlite_with_rowid=False,
    )
    op.create_index("kept_time", "kept", ["time"], unique=False)
    op.create_table(
        "subscription_change",
        sa.Column("recipient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailing_type_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subscribed", sa.Boolean(), nullable=False),
        sa.Column("change_time", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("recipient", "mailing_type_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("subscription_change_due", "subscription_change", ["next_time", "change_time"], unique=False)
    op.create_table(
        "crm_subscription",
        sa.Column("recipient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailing_type_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subscribed", sa.Boolean(), nullable=False),
        sa.Column("change_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("recipient", "mailing_type_id"),
        sqlite_with_rowid=False,
    )
