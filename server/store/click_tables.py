"""The tables that a click writes. Narrow and few: half of the writer's time is COMMIT, and what costs there is dirty pages (measured).

Click rows carry the link's generation: a reset raises that of the link, so that older rows stop counting at once and go in slices.
"""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, SmallInteger, Table, Text, UniqueConstraint, text
from sqlmodel import SQLModel

from server.store.types import BIG_ID, ClickId

metadata: MetaData = SQLModel.metadata


def big(name: str, primary_key: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=False, primary_key=primary_key, autoincrement=False)


def _null(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=True)


SUSPECTED = "verdict > 1"
"""Clicks that are no human's. An index of some rows only is used by statements that say so in its words."""

UNFINISHED = "state > 2"
"""Action runs that are neither done nor skipped."""


def some(name: str, columns: Sequence[str], condition: str) -> Index:
    """An index of the rows that meet a condition: a question about few of them does not read the others, and these do not pay for it."""
    return Index(name, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


click = Table(
    "click",
    metadata,
    Column("id", ClickId, primary_key=True),
    big("placement_id"),
    big("link_id"),
    big("generation"),
    big("recipient"),
    Column("verdict", SmallInteger, nullable=False),
    Column("test", Boolean, nullable=False),
    big("evidence_id"),
    big("answer_id"),
    Index("click_of_placement", "placement_id", "generation", "id"),
    some("suspected_click", ["placement_id", "generation", "verdict", "id"], SUSPECTED),
    sqlite_with_rowid=False,
    comment="stored visits; the time of a click is in its id",
)

interned = Table(
    "interned",
    metadata,
    Column("id", BIG_ID, primary_key=True, autoincrement=True),
    Column("key", LargeBinary(16), nullable=False),
    Column("value", Text, nullable=False),
    UniqueConstraint("key", name="interned_key"),
    comment="evidence and answers of clicks, each distinct one once",
)

clicker = Table(
    "clicker",
    metadata,
    big("link_id", primary_key=True),
    big("generation", primary_key=True),
    big("recipient", primary_key=True),
    big("mailing_id", primary_key=True),
    big("clicks"),
    big("first_time"),
    big("last_time"),
    Index("clicker_of_mailing", "mailing_id", "recipient"),
    sqlite_with_rowid=False,
    comment="recipients with at least one counted click on a link in a mailing; times in microseconds",
)

link_count = Table(
    "link_count",
    metadata,
    big("link_id", primary_key=True),
    big("clicks"),
    big("clickers"),
    big("suspected"),
)

mailing_count = Table(
    "mailing_count",
    metadata,
    big("mailing_id", primary_key=True),
    big("clicks"),
    big("clickers"),
    big("suspected"),
)

mailing_link_count = Table(
    "mailing_link_count",
    metadata,
    big("mailing_id", primary_key=True),
    big("link_id", primary_key=True),
    big("clicks"),
    big("clickers"),
    big("suspected"),
    _null("first_time"),
    _null("last_time"),
    Index("mailing_count_of_link", "link_id"),
    sqlite_with_rowid=False,
)

roll_up = Table(
    "roll_up",
    metadata,
    big("placement_id", primary_key=True),
    big("generation", primary_key=True),
    big("quarter", primary_key=True),
    big("clicks"),
    big("suspected"),
    big("first_clicks"),
    sqlite_with_rowid=False,
    comment="counts per placement and 15 minutes; quarter = minutes since 1970 ÷ 15; first_clicks = new clickers of link and mailing",
)

ledger = Table(
    "ledger",
    metadata,
    big("action_id", primary_key=True),
    big("recipient", primary_key=True),
    big("scope", primary_key=True),
    Column("click_id", ClickId, nullable=False),
    sqlite_with_rowid=False,
    comment="what a repeat policy remembers; scope -1 = once per recipient, else the mailing",
)

action_run = Table(
    "action_run",
    metadata,
    Column("click_id", ClickId, primary_key=True),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    big("action_id"),
    Column("state", SmallInteger, nullable=False),
    Column("reason", Text, nullable=True),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("log", Text, nullable=True),
    some("unfinished_run", ["state", "click_id", "position"], UNFINISHED),
    sqlite_with_rowid=False,
)

script_said = Table(
    "script_said",
    metadata,
    Column("click_id", ClickId, primary_key=True),
    big("recipient"),
    Column("location", Text, nullable=True),
    Index("script_said_of_recipient", "recipient"),
    sqlite_with_rowid=False,
    comment="clicks at which a script said something that may name the recipient",
)

reset_remains = Table(
    "reset_remains",
    metadata,
    big("link_id", primary_key=True),
    big("generation"),
    comment="links with rows below this generation that are still to be removed",
)
