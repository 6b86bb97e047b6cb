"""The message of a mailing in the database, with the links and placements that tracking it makes, in one transaction."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from server.model.errors import DomainError, Reason
from server.model.link import Link, Redirect, Response
from server.model.mailing import MessagePart, Placement, PlacementKind
from server.model.url_fields import url_fields
from server.store.database import Database
from server.store.link_rows import insert_link, link
from server.store.mailings import locked
from server.store.placements import insert_placements, of_mailing, placement
from server.store.tables import MessageRow, table_of

_message = table_of(MessageRow)
_NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Use:
    """An address of a message that is to be tracked: bytes [start, end) of its part.

    link_id 0 = a local link for its URL, or none when it is of another kind than a link.
    """

    part: MessagePart
    start: int
    end: int
    url: str
    link_id: int = 0
    kind: PlacementKind = PlacementKind.link

    @property
    def is_local(self) -> bool:
        """Whether the mailing gets a link of its own for it."""
        return self.kind is PlacementKind.link and not self.link_id


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it came, and where its placements stand: (part, start, end, placement id).

    `special` are the placements of special links by id, with that of the header. Of the recipients the values of kept_fields are kept;
    `filled_urls` are the URLs with merge fields to which its links lead now.
    """

    charset: str
    html: bytes
    text: bytes
    slots: Sequence[tuple[MessagePart, int, int, int]]
    kept_fields: Sequence[str] = ()
    unsubscribe_placement_id: int = 0
    special: Mapping[int, PlacementKind] = field(default_factory=dict)
    filled_urls: Sequence[str] = ()

    @property
    def placement_ids(self) -> list[int]:
        """The placements for which each recipient gets a URL, ascending."""
        return sorted({placement_id for *_, placement_id in self.slots} | ({self.unsubscribe_placement_id} - {0}))


@dataclass(frozen=True, slots=True)
class TrackedUses:
    """What tracking a message gave: the placement of each use, and the message as it is stored."""

    placements: Sequence[Placement]
    message: StoredMessage


class MessageStore:
    """The messages of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def registered(self, link_ids: Collection[int]) -> dict[int, Response]:
        """Those of the ids that are registered links and not deleted, and what each is answered by."""
        statement = select(link.c.id, link.c.response).where(link.c.id.in_(link_ids), link.c.mailing_id == 0, link.c.delete_time.is_(None))
        return self._database.read(lambda connection: {row.id: row.response for row in connection.execute(statement)})

    def track(self, mailing_id: int, message: StoredMessage, uses: Sequence[Use], user: int, now: datetime) -> TrackedUses:
        """The placement of each use, in order; makes what does not exist, and keeps the message, whose slots and placements it gives.

        Raises MAILING_NOT_FOUND, MAILING_DELETED, and MAILING_TYPE_MISSING when a use needs the mailing's type.
        """

        def work(connection: Connection) -> TrackedUses:
            mailing = locked(connection, mailing_id)
            if mailing.delete_time is not None:
                raise DomainError(Reason.mailing_deleted, f"mailing {mailing_id} is deleted", id=mailing_id)
            if not mailing.mailing_type_id and any(use.kind is PlacementKind.unsubscribe for use in uses):
                problem = "has no mailing type to unsubscribe from: set mailing_type_id first"
                raise DomainError(Reason.mailing_type_missing, f"mailing {mailing_id} {problem}", id=mailing_id)
            local = _local_links(connection, mailing_id, uses, user, now)
            wanted = _placements(mailing_id, uses, local)
            header = Placement(mailing_id=mailing_id, kind=PlacementKind.unsubscribe, part=MessagePart.header)
            insert_placements(connection, [*wanted, header] if mailing.mailing_type_id else wanted)
            made = {_use_of(found): found for found in of_mailing(connection, mailing_id)}
            placements = [made[_use_of(use)] for use in wanted]
            slots = [(use.part, use.start, use.end, found.id) for use, found in zip(uses, placements, strict=True)]
            header_id = made[_use_of(header)].id if mailing.mailing_type_id else 0
            kept = replace(message, slots=slots, unsubscribe_placement_id=header_id)
            _keep(connection, mailing_id, kept)
            return TrackedUses(placements, kept)

        return self._database.write(work)

    def get(self, mailing_id: int) -> StoredMessage:
        """The message that was tracked last. Raises MESSAGE_MISSING."""

        def work(connection: Connection) -> StoredMessage:
            row = connection.execute(select(_message).where(_message.c.mailing_id == mailing_id)).first()
            if row is None:
                problem = f"mailing {mailing_id} has no message yet: send it to TrackMessage"
                raise DomainError(Reason.message_missing, problem, id=mailing_id)
            kinds = select(placement.c.id, placement.c.kind).where(
                placement.c.mailing_id == mailing_id, placement.c.kind != PlacementKind.link.value
            )
            special = {found.id: PlacementKind(found.kind) for found in connection.execute(kinds)}
            slots = [(MessagePart(part), start, end, placement_id) for part, start, end, placement_id in row.slots]
            content = (row.charset, bytes(row.html), bytes(row.text), slots)
            urls = _filled_urls(connection, {placement_id for *_, placement_id in slots})
            kept = list(dict.fromkeys([*row.kept_fields, *(name for url in urls for name in url_fields(url) if name != "mailing.name")]))
            return StoredMessage(*content, kept, row.unsubscribe_placement_id, special, urls)

        return self._database.read(work)


def _filled_urls(connection: Connection, placement_ids: Collection[int]) -> list[str]:
    """The URLs with merge fields to which these placements lead: links may have been edited since the message was tracked."""
    used = select(placement.c.link_id).where(placement.c.id.in_(placement_ids))
    responses = connection.execute(select(link.c.response).where(link.c.id.in_(used))).scalars()
    return [answer.url for answer in responses if isinstance(answer, Redirect) and url_fields(answer.url)]


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
        if use.is_local and use.url not in local:
            draft = Link.model_construct(
                name=_NOT_IN_A_NAME.sub("", use.url)[:255],
                response=Redirect.model_construct(tag="redirect", url=use.url),
                actions=[],
                **stamp,
            )
            local[use.url] = insert_link(connection, draft)
    return local


def _placements(mailing_id: int, uses: Sequence[Use], local: dict[str, int]) -> list[Placement]:
    """The placement that each use wants: the how-manieth use of this link in this part it is."""
    seen: dict[tuple[int, PlacementKind, MessagePart], int] = defaultdict(int)
    wanted = []
    for use in uses:
        link_id = local[use.url] if use.is_local else use.link_id
        ordinal = seen[link_id, use.kind, use.part]
        wanted.append(Placement(mailing_id=mailing_id, link_id=link_id, kind=use.kind, part=use.part, ordinal=ordinal, url=use.url))
        seen[link_id, use.kind, use.part] += 1
    return wanted


def _use_of(found: Placement) -> tuple[int, PlacementKind, MessagePart, int]:
    return (found.link_id, found.kind, found.part, found.ordinal)


def _keep(connection: Connection, mailing_id: int, message: StoredMessage) -> None:
    values = {
        "charset": message.charset,
        "html": message.html,
        "text": message.text,
        "slots": [[int(part), start, end, placement_id] for part, start, end, placement_id in message.slots],
        "kept_fields": list(message.kept_fields),
        "unsubscribe_placement_id": message.unsubscribe_placement_id,
    }
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(_message).values(mailing_id=mailing_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["mailing_id"], set_=values))
