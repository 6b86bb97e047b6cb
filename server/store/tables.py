"""The tables of folders, links, mailings and what belongs to them.

A resource's table subclasses its model; the others are rows that only the store sees.

The one order of locks, which every transaction on PostgreSQL keeps, or two would wait for each other:

    a request_id · the tree of folders · the leases of a destination (advisory locks)
    folder · script · link · mailing
    reset_remains · the recipients who click (advisory locks, tally.py)
    crm_person · crm_entry · crm_applied
    outbox · ledger · interned
    clicker · link_count · mailing_count · mailing_link_count · roll_up
    address · kept · crm_subscription · crm_extra_field · crm_membership
    gone_receiver · action_run · click · script_said
    last_change · placement · message
    id_giver

Rows of one table are locked in the order of their key: an UPDATE or DELETE of several takes them as it finds them, so they are selected
FOR UPDATE in order first, and FOR SHARE likewise. Whoever skips what is locked waits for nobody, nor does whoever makes a row under an id
that nobody knows yet. What only reads locks nothing. tests/rpc/test_writes_at_once.py runs every write beside every other.
"""

from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import JSON, Boolean, Column, Index, LargeBinary, SmallInteger, String, Table, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

import server.actions  # noqa: F401  (joins the kinds of action to one union, before a table of links is made)
from server.model.action import LinkAction
from server.model.folder import Folder
from server.model.link import Link, Response
from server.model.mailing import GoogleAnalytics, Mailing, MessagePart, Placement, PlacementKind
from server.store.types import BIG_ID, AsJson, UtcMicroseconds

NEVER_REUSED = {"sqlite_autoincrement": True}
"""SQLite would give a deleted row's id to the next one, and an old token to someone else."""


def given_id() -> Any:
    return Field(default=None, sa_column=Column(BIG_ID, primary_key=True, autoincrement=True))


def key_id() -> Any:
    return Field(sa_column=Column(BIG_ID, primary_key=True, autoincrement=False))


def number(**options: Any) -> Any:
    return Field(default=0, sa_column=Column(BIG_ID, nullable=False, **options))


def small() -> Any:
    return Field(default=1, sa_column=Column(SmallInteger, nullable=False))


def time(nullable: bool = False) -> Any:
    return Field(default=None, sa_column=Column(UtcMicroseconds, nullable=nullable))


def table_of(model: type[SQLModel]) -> Table:
    """The table of a row class, for statements of SQLAlchemy Core."""
    table: Table = model.__table__  # type: ignore[attr-defined]
    return table


class FolderRow(Folder, table=True):
    __tablename__ = "folder"
    __table_args__ = (UniqueConstraint("parent_id", "name_key", name="folder_sibling_name"), NEVER_REUSED)
    id: int = given_id()
    parent_id: int = number()
    name_key: str = Field(sa_column=Column(Text, nullable=False))
    create_time: datetime | None = time()
    update_time: datetime | None = time()


class LinkRow(Link, table=True):
    __tablename__ = "link"
    __table_args__ = (Index("link_folder", "folder_id"), Index("link_mailing", "mailing_id", "id"), NEVER_REUSED)
    id: int = given_id()
    folder_id: int = number()
    response: Response = Field(sa_column=Column(AsJson(TypeAdapter(Link.model_fields["response"].rebuild_annotation())), nullable=False))
    actions: list[LinkAction] = Field(sa_column=Column(AsJson(TypeAdapter(list[LinkAction])), nullable=False))
    mailing_id: int = number()
    creator: int = number()
    updater: int = number()
    create_time: datetime | None = time()
    update_time: datetime | None = time()
    last_reset_time: datetime | None = time(nullable=True)
    delete_time: datetime | None = time(nullable=True)
    name_key: str = Field(sa_column=Column(Text, nullable=False))
    search_key: str = Field(sa_column=Column(Text, nullable=False))


class LinkActionRow(SQLModel, table=True):
    """Which action ids were given, to which link and for which kind; what an action does stands in its link."""

    __tablename__ = "link_action"
    __table_args__ = (NEVER_REUSED,)
    id: int = given_id()
    link_id: int = number(index=True)
    tag: str = Field(sa_column=Column(String(32), nullable=False))


class MailingRow(Mailing, table=True):
    __tablename__ = "mailing"
    __table_args__ = (NEVER_REUSED,)
    id: int = given_id()
    send_time: datetime | None = time(nullable=True)
    google_analytics: GoogleAnalytics | None = Field(sa_column=Column(AsJson(TypeAdapter(GoogleAnalytics)), nullable=True))
    mailing_type_id: int = number()
    delivered_count: int = number()
    creator: int = number()
    create_time: datetime | None = time()
    update_time: datetime | None = time()
    delete_time: datetime | None = time(nullable=True)
    name_key: str = Field(sa_column=Column(Text, nullable=False))


class MessageRow(SQLModel, table=True):
    """The message of a mailing as it came, and where its placements stand: (part, start, end, placement id).

    kept_fields: the merge fields whose values are kept for each recipient. unsubscribe_placement_id: of the header, 0 without one.
    """

    __tablename__ = "message"
    mailing_id: int = key_id()
    charset: str = Field(sa_column=Column(String(32), nullable=False))
    html: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    text: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    slots: Any = Field(sa_column=Column(JSON, nullable=False))
    kept_fields: Any = Field(sa_column=Column(JSON, nullable=False))
    unsubscribe_placement_id: int = number()


class PlacementRow(Placement, table=True):
    __tablename__ = "placement"
    __table_args__ = (
        UniqueConstraint("mailing_id", "link_id", "kind", "part", "ordinal", name="placement_use"),
        Index("placement_link", "link_id"),
        Index("placement_change", "change", "id"),
        NEVER_REUSED,
    )
    id: int = given_id()
    mailing_id: int = number()
    link_id: int = number()
    kind: PlacementKind = small()
    part: MessagePart = small()
    url: str = Field(sa_column=Column(Text, nullable=False))
    change: int = number(server_default="1")


class LastChangeRow(SQLModel, table=True):
    """The number of the last change of where placements lead, in one row; without it 1."""

    __tablename__ = "last_change"
    id: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    number: int = number()


class AddressRow(SQLModel, table=True):
    """A recipient known only by e-mail: one row per distinct address."""

    __tablename__ = "address"
    __table_args__ = (UniqueConstraint("key", name="address_key"), NEVER_REUSED)
    id: int = given_id()
    key: str = Field(sa_column=Column(Text, nullable=False))
    address: str = Field(sa_column=Column(Text, nullable=False))


class KeptRow(SQLModel, table=True):
    """What a recipient of a mailing brought and special links or merge fields in URLs need: the values, and when their URLs were minted."""

    __tablename__ = "kept"
    __table_args__ = (Index("kept_time", "time"), {"sqlite_with_rowid": False})
    mailing_id: int = key_id()
    recipient: int = key_id()
    time: int = number()
    fields: str = Field(sa_column=Column(Text, nullable=False))


class SubscriptionChangeRow(SQLModel, table=True):
    """What a recipient wants and a remote CRM has still to be told."""

    __tablename__ = "subscription_change"
    __table_args__ = (Index("subscription_change_due", "next_time", "change_time"), {"sqlite_with_rowid": False})
    recipient: int = key_id()
    mailing_type_id: int = key_id()
    subscribed: bool = Field(sa_column=Column(Boolean, nullable=False))
    change_time: int = number()
    attempts: int = number()
    next_time: int = number()


class RequestRow(SQLModel, table=True):
    """A request_id that was used: what it was for, and what it made."""

    __tablename__ = "request"
    id: str = Field(sa_column=Column(String(36), primary_key=True))
    digest: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False))
    resource_ids: Any = Field(sa_column=Column(JSON, nullable=False))
    create_time: datetime = Field(sa_column=Column(UtcMicroseconds, nullable=False, index=True))


class SigningKeyRow(SQLModel, table=True):
    """The fingerprint of a key that tokens may be signed with: a server whose key file lacks one refuses to start."""

    __tablename__ = "signing_key"
    id: str = Field(sa_column=Column(String(1), primary_key=True))
    fingerprint: str = Field(sa_column=Column(String(64), nullable=False))
