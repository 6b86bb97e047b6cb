"""The tables of what leaves the database, and of what callers have had applied in the embedded CRM."""

from sqlalchemy import BigInteger, Column, Index, SmallInteger, Table, Text

from server.store.click_tables import big, metadata, some
from server.store.types import ClickId

ALIVE = "state < 6"
"""Rows that are not dead: these stay, and are the oldest."""

outbox = Table(
    "outbox",
    metadata,
    Column("click_id", ClickId, primary_key=True),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    big("action_id"),
    big("link_id"),
    big("mailing_id"),
    big("recipient"),
    Column("scope", BigInteger, nullable=True),
    Column("destination", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("schedule_step", SmallInteger, nullable=False),
    big("since"),
    big("next_time"),
    big("lease_time"),
    big("fence"),
    Column("last_error", Text, nullable=False),
    Index("outbox_due", "destination", "next_time", "click_id", "position"),
    some("outbox_order", ["destination", "click_id", "position"], ALIVE),
    Index("outbox_recipient", "recipient", "destination", "click_id"),
    comment="action runs for other systems that are not done yet; times in microseconds",
)

gone_receiver = Table(
    "gone_receiver",
    metadata,
    big("action_id", primary_key=True),
    Column("url", Text, nullable=False),
    big("time"),
    comment="webhooks whose receiver answered 410 Gone",
)

crm_applied = Table(
    "crm_applied",
    metadata,
    Column("key", Text, primary_key=True),
    big("time"),
    Index("crm_applied_time", "time"),
    comment="idempotency keys of effects that the embedded CRM has applied for callers",
)
