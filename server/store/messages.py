"""The message of a mailing in the database, with the links and placements that tracking it makes."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, select

from server.model.errors import DomainError, Reason
from server.model.link import Link, Redirect, Response
from server.model.mailing import Mailing, MessagePart, Placement, PlacementKind
from server.model.url_fields import url_fields
from server.store.database import Database
from server.store.link_rows import insert_links, link, link_row
from server.store.mailings import by_id as mailing_by_id
from server.store.mailings import locked
from server.store.new_ids import new_ids
from server.store.placements import insert_placements, of_mailing, placement
from server.store.sql import Statements
from server.store.tables import MessageRow, table_of

_message = table_of(MessageRow)

SLICE = 100
"""Placements, and local links for them, that are made in one transaction."""

_Key = tuple[int, PlacementKind, MessagePart, int]
"""A use of a link in a mailing: the link, its kind, its part, and the how-manieth it is there."""

_NewLink = tuple[str, tuple[Any, ...]]
"""The address of a local link, and its row, but for the number that it is given."""

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

        Placements are made a slice at a time: between two of them the writer takes the clicks that wait. What was made before an error is
        found again. The message is kept last, and all of it at once.
        Raises MAILING_NOT_FOUND, MAILING_DELETED, and MAILING_TYPE_MISSING when a use needs the mailing's type.
        """

        header = Use(MessagePart.header, 0, 0, "", kind=PlacementKind.unsubscribe)
        made = self._made(mailing_id, uses)
        everything = [*uses, header] if made.has_type else uses
        wanted = list(zip(everything, _ordinals(everything), strict=True))
        while missing := [(use, ordinal) for use, ordinal in wanted if made.placement(use, ordinal) is None][:SLICE]:
            urls = dict.fromkeys(use.url for use, _ in missing if use.is_local and use.url not in made.local)
            links = [(url, link_row(_local_link(mailing_id, url, user, now))) for url in urls]
            numbers = self._database.write(partial(_make, made=made, missing=missing, links=links))
            made = made.with_more(links, missing, *numbers) if numbers else self._made(mailing_id, uses)
        placements = [found for use, ordinal in wanted if (found := made.placement(use, ordinal)) is not None]
        slots = [(use.part, use.start, use.end, found.id) for use, found in zip(uses, placements, strict=False)]
        kept = replace(message, slots=slots, unsubscribe_placement_id=placements[-1].id if made.has_type else 0)
        row = _row(mailing_id, kept)

        def keep(connection: Connection) -> None:
            _refuse(locked(connection, mailing_id), uses)
            Statements(connection).each(_KEEP, [row])

        self._database.write(keep)
        return TrackedUses(placements[: len(uses)], kept)

    def _made(self, mailing_id: int, uses: Sequence[Use]) -> "_Made":
        """What there is of a mailing. Raises what `track` raises."""

        def work(connection: Connection) -> _Made:
            mailing = mailing_by_id(connection, mailing_id)
            _refuse(mailing, uses)
            found = of_mailing(connection, mailing_id)
            known = select(placement.c.url, placement.c.link_id).join(link, link.c.id == placement.c.link_id)
            rows = connection.execute(known.where(placement.c.mailing_id == mailing_id, link.c.mailing_id == mailing_id))
            local = {row.url: row.link_id for row in rows}  # by the address in the message, so that an edited link is found again
            newest = connection.execute(select(func.max(placement.c.id))).scalar() or 0
            return _Made(mailing_id, bool(mailing.mailing_type_id), newest, local, {_use_of(each): each for each in found})

        return self._database.read(work)

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


@dataclass(frozen=True, slots=True)
class _Made:
    """The local links of a mailing by the address in the message, and its placements by their use; `newest` placement of all there are."""

    mailing_id: int
    has_type: bool
    newest: int
    local: dict[str, int]
    placements: dict[_Key, Placement]

    def placement(self, use: Use, ordinal: int) -> Placement | None:
        """The placement of the how-manieth use."""
        link_id = self.local.get(use.url) if use.is_local else use.link_id
        return None if link_id is None else self.placements.get((link_id, use.kind, use.part, ordinal))

    def with_more(
        self, links: Sequence[_NewLink], uses: Sequence[tuple[Use, int]], link_ids: Sequence[int], placement_ids: Sequence[int]
    ) -> "_Made":
        """What there is once these links and placements have these numbers."""
        local = self.local | {url: link_id for (url, _), link_id in zip(links, link_ids, strict=True)}
        new = [
            Placement.model_construct(
                id=placement_id,
                mailing_id=self.mailing_id,
                link_id=local[use.url] if use.is_local else use.link_id,
                kind=use.kind,
                part=use.part,
                ordinal=ordinal,
                url=use.url,
            )
            for (use, ordinal), placement_id in zip(uses, placement_ids, strict=True)
        ]
        return replace(self, newest=new[-1].id, local=local, placements=self.placements | {_use_of(each): each for each in new})


def _refuse(mailing: Mailing, uses: Sequence[Use]) -> None:
    """Raises MAILING_DELETED, and MAILING_TYPE_MISSING when a use needs the mailing's type."""
    if mailing.delete_time is not None:
        raise DomainError(Reason.mailing_deleted, f"mailing {mailing.id} is deleted", id=mailing.id)
    if not mailing.mailing_type_id and any(use.kind is PlacementKind.unsubscribe for use in uses):
        problem = "has no mailing type to unsubscribe from: set mailing_type_id first"
        raise DomainError(Reason.mailing_type_missing, f"mailing {mailing.id} {problem}", id=mailing.id)


def _make(
    connection: Connection, made: _Made, missing: Sequence[tuple[Use, int]], links: Sequence[_NewLink]
) -> tuple[Sequence[int], Sequence[int]] | None:
    """Makes local links and placements; their numbers, or None when somebody else has made some of this mailing meanwhile."""
    locked(connection, made.mailing_id)
    statements = Statements(connection)
    if statements.rows(_ANY_NEWER, (made.newest, made.mailing_id)):
        return None
    link_ids = new_ids(statements, "link", len(links))
    insert_links(connection, [(link_id, *row[1:]) for link_id, (_, row) in zip(link_ids, links, strict=True)])
    ids = made.local | {url: link_id for (url, _), link_id in zip(links, link_ids, strict=True)}
    rows = [
        (made.mailing_id, ids[use.url] if use.is_local else use.link_id, int(use.kind), int(use.part), ordinal, use.url)
        for use, ordinal in missing
    ]
    return link_ids, insert_placements(connection, rows)


def _local_link(mailing_id: int, url: str, user: int, now: datetime) -> Link:
    stamp: dict[str, Any] = {"creator": user, "updater": user, "create_time": now, "update_time": now, "folder_id": 0}
    name, response = _NOT_IN_A_NAME.sub("", url)[:255], Redirect.model_construct(tag="redirect", url=url)
    return Link.model_construct(name=name, response=response, actions=[], mailing_id=mailing_id, **stamp)


def _ordinals(uses: Sequence[Use]) -> list[int]:
    """The how-manieth use of its link in its part each use is."""
    seen: dict[tuple[str | int, PlacementKind, MessagePart], int] = defaultdict(int)
    ordinals = []
    for use in uses:
        key = (use.url if use.is_local else use.link_id, use.kind, use.part)
        ordinals.append(seen[key])
        seen[key] += 1
    return ordinals


def _use_of(found: Placement) -> _Key:
    return (found.link_id, found.kind, found.part, found.ordinal)


def _row(mailing_id: int, message: StoredMessage) -> tuple[Any, ...]:
    slots = [[int(part), start, end, placement_id] for part, start, end, placement_id in message.slots]
    kept = (json.dumps(slots), json.dumps(list(message.kept_fields)), message.unsubscribe_placement_id)
    return (mailing_id, message.charset, message.html, message.text, *kept)


# By number, of which few are newer, and not by the mailing's index, which may have any number.
_ANY_NEWER = "SELECT 1 FROM placement WHERE id > ? AND mailing_id + 0 = ? LIMIT 1"
_KEEP = """
INSERT INTO message (mailing_id, charset, html, text, slots, kept_fields, unsubscribe_placement_id) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (mailing_id) DO UPDATE SET charset = excluded.charset, html = excluded.html, text = excluded.text, slots = excluded.slots,
  kept_fields = excluded.kept_fields, unsubscribe_placement_id = excluded.unsubscribe_placement_id
"""
