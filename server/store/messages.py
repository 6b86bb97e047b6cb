"""The message of a mailing in the database, with the links and placements that tracking it makes, in one transaction."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from server.model.errors import DomainError, Reason
from server.model.link import Link, Redirect
from server.model.mailing import MessagePart, Placement
from server.store.database import Database
from server.store.links import insert_link, link
from server.store.mailings import locked
from server.store.placements import insert_placements, of_mailing, placement
from server.store.tables import MessageRow, table_of

_message = table_of(MessageRow)


@dataclass(frozen=True, slots=True)
class Use:
    """An address of a message that is to be tracked: bytes [start, end) of its part; link_id 0 = a local link for its URL."""

    part: MessagePart
    start: int
    end: int
    url: str
    link_id: int = 0


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it came, and where its placements stand: (part, start, end, placement id)."""

    charset: str
    html: bytes
    text: bytes
    slots: Sequence[tuple[MessagePart, int, int, int]]


class MessageStore:
    """The messages of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def registered(self, link_ids: Collection[int]) -> set[int]:
        """Those of the ids that are registered links and not deleted."""
        statement = select(link.c.id).where(link.c.id.in_(link_ids), link.c.mailing_id == 0, link.c.delete_time.is_(None))
        return self._database.read(lambda connection: set(connection.execute(statement).scalars()))

    def track(
        self, mailing_id: int, charset: str, html: bytes, text: bytes, uses: Sequence[Use], user: int, now: datetime
    ) -> list[Placement]:
        """The placement of each use, in order; makes what does not exist, and keeps the message.

        Raises MAILING_NOT_FOUND and MAILING_DELETED.
        """

        def work(connection: Connection) -> list[Placement]:
            if locked(connection, mailing_id).delete_time is not None:
                raise DomainError(Reason.mailing_deleted, f"mailing {mailing_id} is deleted", id=mailing_id)
            local = _local_links(connection, mailing_id, uses, user, now)
            wanted = _placements(mailing_id, uses, local)
            insert_placements(connection, wanted)
            made = {_use_of(found): found for found in of_mailing(connection, mailing_id)}
            placements = [made[_use_of(use)] for use in wanted]
            slots = [[int(use.part), use.start, use.end, found.id] for use, found in zip(uses, placements, strict=True)]
            _keep(connection, mailing_id, {"charset": charset, "html": html, "text": text, "slots": slots})
            return placements

        return self._database.write(work)

    def get(self, mailing_id: int) -> StoredMessage:
        """The message that was tracked last. Raises MESSAGE_MISSING."""
        statement = select(_message).where(_message.c.mailing_id == mailing_id)
        row = self._database.read(lambda connection: connection.execute(statement).first())
        if row is None:
            raise DomainError(Reason.message_missing, f"mailing {mailing_id} has no message yet: send it to TrackMessage", id=mailing_id)
        slots = [(MessagePart(part), start, end, placement_id) for part, start, end, placement_id in row.slots]
        return StoredMessage(row.charset, bytes(row.html), bytes(row.text), slots)


def _local_links(connection: Connection, mailing_id: int, uses: Sequence[Use], user: int, now: datetime) -> dict[str, int]:
    """The local link of each distinct URL. It is found by the address in the message, so that an edited link is found again."""
    known = select(placement.c.url, placement.c.link_id).join(link, link.c.id == placement.c.link_id)
    rows = connection.execute(known.where(placement.c.mailing_id == mailing_id, link.c.mailing_id == mailing_id))
    local = {row.url: row.link_id for row in rows}
    stamp: dict[str, Any] = {
        "mailing_id": mailing_id,
        "creator": user,
        "updater": user,
        "create_time": now,
        "update_time": now,
        "folder_id": 0,
    }
    for use in uses:
        if not use.link_id and use.url not in local:
            draft = Link.model_construct(
                name=use.url[:255], response=Redirect.model_construct(tag="redirect", url=use.url), actions=[], **stamp
            )
            local[use.url] = insert_link(connection, draft)
    return local


def _placements(mailing_id: int, uses: Sequence[Use], local: dict[str, int]) -> list[Placement]:
    """The placement that each use wants: the how-manieth use of this link in this part it is."""
    seen: dict[tuple[int, MessagePart], int] = defaultdict(int)
    wanted = []
    for use in uses:
        link_id = use.link_id or local[use.url]
        wanted.append(Placement(mailing_id=mailing_id, link_id=link_id, part=use.part, ordinal=seen[link_id, use.part], url=use.url))
        seen[link_id, use.part] += 1
    return wanted


def _use_of(found: Placement) -> tuple[int, MessagePart, int]:
    return (found.link_id, found.part, found.ordinal)


def _keep(connection: Connection, mailing_id: int, values: dict[str, object]) -> None:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(_message).values(mailing_id=mailing_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["mailing_id"], set_=values))
