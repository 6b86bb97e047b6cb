"""The tables of scripts."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Table, Text, UniqueConstraint
from sqlmodel import Field

from server.model.script import Script
from server.store.click_tables import big, metadata
from server.store.tables import NEVER_REUSED, given_id, number, time
from server.store.types import UtcMicroseconds


class ScriptRow(Script, table=True):
    __tablename__ = "script"
    __table_args__ = (UniqueConstraint("name_key", name="script_name"), NEVER_REUSED)
    id: int = given_id()
    name: str = Field(sa_column=Column(Text, nullable=False))
    name_key: str = Field(sa_column=Column(Text, nullable=False))
    description: str = Field(sa_column=Column(Text, nullable=False))
    source: str = Field(sa_column=Column(Text, nullable=False))
    version: int = number()
    creator: int = number()
    updater: int = number()
    create_time: datetime | None = time()
    update_time: datetime | None = time()
    revision: int = number()


script_version = Table(
    "script_version",
    metadata,
    big("script_id", primary_key=True),
    big("version", primary_key=True),
    Column("source", Text, nullable=False),
    Column("updater", BigInteger, nullable=False),
    Column("update_time", UtcMicroseconds, nullable=False),
    comment="the sources that scripts have had, the newest too",
)
