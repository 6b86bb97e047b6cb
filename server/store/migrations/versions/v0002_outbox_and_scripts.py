"""What leaves the database (outbox), the scripts, and what an action run says of its attempts and its log."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CLICK_ID = sa.LargeBinary(16).with_variant(sa.Uuid(), "postgresql")


def upgrade() -> None:
    op.add_column("action_run", sa.Column("attempts", sa.SmallInteger(), nullable=False, server_default="0"))
    op.add_column("action_run", sa.Column("log", sa.Text(), nullable=True))
    op.create_table(
        "outbox",
        sa.Column("click_id", _CLICK_ID, nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("action_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("link_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailing_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scope", sa.BigInteger(), nullable=True),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("schedule_step", sa.SmallInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("next_time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lease_time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("click_id", "position"),
        comment="action runs for other systems that are not done yet; times in microseconds",
    )
    op.create_index("outbox_due", "outbox", ["destination", "next_time", "click_id", "position"], unique=False)
    op.create_index("outbox_order", "outbox", ["destination", "click_id", "position"], unique=False)
    op.create_index("outbox_recipient", "outbox", ["recipient", "destination", "click_id"], unique=False)
    op.create_table(
        "gone_receiver",
        sa.Column("action_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("action_id"),
        comment="webhooks whose receiver answered 410 Gone",
    )
    op.create_table(
        "crm_applied",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key"),
        comment="idempotency keys of effects that the embedded CRM has applied for callers",
    )
    op.create_index("crm_applied_time", "crm_applied", ["time"], unique=False)
    op.create_table(
        "script",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("creator", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("updater", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name_key", name="script_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "script_version",
        sa.Column("script_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("updater", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("script_id", "version"),
        comment="the sources that scripts have had, the newest too",
    )
