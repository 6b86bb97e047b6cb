"""Mailings in the database: each method is one transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, exists, func, insert, select, update

from server.model.errors import DomainError, Reason, etag_mismatch
from server.model.link import ClickCounts
from server.model.mailing import CountedMailing, Mailing, MailingLink, PlacementKind
from server.model.text import name_key
from server.store.changes import placements_changed
from server.store.click_tables import mailing_count, mailing_link_count
from server.store.database import Database
from server.store.links import by_ids
from server.store.pages import Key, Page, page_of
from server.store.placements import of_mailing, placement
from server.store.requests import RequestId, made_before, once
from server.store.tables import MailingRow, table_of
from server.store.types import from_microseconds

mailing = table_of(MailingRow)

ORDERS = {"name": mailing.c.name_key, "create_time": mailing.c.create_time, "update_time": mailing.c.update_time}


class MailingStore:
    """The mailings of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, draft: Mailing, request: RequestId) -> CountedMailing:
        """Makes a mailing. Raises REQUEST_ID_REUSED."""

        def work(connection: Connection) -> CountedMailing:
            stamp = {"creator": draft.creator, "create_time": draft.create_time, "update_time": draft.update_time, "revision": 1}
            statement = insert(mailing).values(**columns(draft) | stamp).returning(mailing.c.id)
            return by_id(connection, once(connection, request, lambda: [connection.execute(statement).scalar_one()])[0])

        return self._database.write(work)

    def made_before(self, request: RequestId) -> bool:
        """Whether this very request has made something already."""
        return self._database.read(lambda connection: made_before(connection, request))

    def get(self, mailing_id: int) -> CountedMailing:
        """The mailing. Raises MAILING_NOT_FOUND."""
        return self._database.read(lambda connection: by_id(connection, mailing_id))

    def page(self, creator: int | None, query: str, order_by: str, descending: bool, after: Key | None, size: int) -> Page[CountedMailing]:
        """Mailings that are not deleted and pass every filter."""

        def work(connection: Connection) -> Page[CountedMailing]:
            statement = _counted().where(mailing.c.delete_time.is_(None))
            if creator is not None:
                statement = statement.where(mailing.c.creator == creator)
            if query:
                statement = statement.where(mailing.c.name_key.contains(name_key(query), autoescape=True))
            rows, next_key = page_of(connection, statement, (ORDERS[order_by], mailing.c.id), after, size, descending)
            return Page([_mailing(row) for row in rows], next_key)

        return self._database.read(work)

    def change(self, mailing_id: int, etag: str, change: Callable[[Mailing], Mailing], now: datetime) -> CountedMailing:
        """Replaces a mailing by what `change` makes of it, and raises what that raises.

        Raises MAILING_NOT_FOUND, ETAG_MISMATCH, MAILING_TYPE_FIXED.
        """

        def work(connection: Connection) -> CountedMailing:
            current = locked(connection, mailing_id, etag)
            wanted = change(current)
            if current.mailing_type_id not in (0, wanted.mailing_type_id) and _can_be_left(connection, mailing_id):
                problem = f"mails of mailing {mailing_id} say how to leave mailing type {current.mailing_type_id}: it keeps that type"
                raise DomainError(Reason.mailing_type_fixed, problem, id=mailing_id)
            if columns(wanted) != columns(current):
                stamp = {"update_time": now, "revision": current.revision + 1}
                connection.execute(update(mailing).where(mailing.c.id == mailing_id).values(**columns(wanted) | stamp))
                placements_changed(connection, placement.c.mailing_id, mailing_id)
            return by_id(connection, mailing_id)

        return self._database.write(work)

    def delete(self, mailing_id: int, etag: str, now: datetime) -> CountedMailing:
        """Hides a mailing; nothing changes where it is deleted already. Raises MAILING_NOT_FOUND, ETAG_MISMATCH."""

        def work(connection: Connection) -> CountedMailing:
            current = locked(connection, mailing_id, etag)
            if current.delete_time is None:
                stamp = {"delete_time": now, "update_time": now, "revision": current.revision + 1}
                connection.execute(update(mailing).where(mailing.c.id == mailing_id).values(**stamp))
            return by_id(connection, mailing_id)

        return self._database.write(work)

    def links(self, mailing_id: int, after: Key | None, size: int) -> Page[MailingLink]:
        """The links with a placement in a mailing, by id, and their figures in it. Raises MAILING_NOT_FOUND."""

        def work(connection: Connection) -> Page[MailingLink]:
            by_id(connection, mailing_id)
            of_links = (placement.c.mailing_id == mailing_id, placement.c.link_id > 0)  # not the special ones, which have none
            statement = select(placement.c.link_id).where(*of_links).distinct()  # from link it would read all links there are
            rows, next_key = page_of(connection, statement, (placement.c.link_id,), after, size)
            return Page(_in_mailing(connection, mailing_id, [row.link_id for row in rows]), next_key)

        return self._database.read(work)


def locked(connection: Connection, mailing_id: int, etag: str = "") -> Mailing:
    """The mailing as it is until the transaction ends. Raises MAILING_NOT_FOUND and ETAG_MISMATCH."""
    row = connection.execute(select(mailing).where(mailing.c.id == mailing_id).with_for_update()).first()
    if row is None:
        raise _not_found(mailing_id)
    current = as_mailing(row)
    if etag and etag != current.etag:
        raise etag_mismatch("mailing", mailing_id, current.etag)
    return current


def columns(wanted: Mailing) -> dict[str, Any]:
    """What a caller may change of a mailing, as columns."""
    return {
        "name": wanted.name,
        "name_key": name_key(wanted.name),
        "language": wanted.language,
        "send_time": wanted.send_time,
        "public_url": wanted.public_url,
        "track_all_links": wanted.track_all_links,
        "google_analytics": wanted.google_analytics,
        "mailing_type_id": wanted.mailing_type_id,
        "test": wanted.test,
        "delivered_count": wanted.delivered_count,
    }


def as_mailing(row: Any) -> Mailing:
    """A row of the table as a plain mailing."""
    return Mailing.model_construct(**{name: getattr(row, name) for name in Mailing.model_fields})


def by_id(connection: Connection, mailing_id: int) -> CountedMailing:
    """The mailing with its figures. Raises MAILING_NOT_FOUND."""
    row = connection.execute(_counted().where(mailing.c.id == mailing_id)).first()
    if row is None:
        raise _not_found(mailing_id)
    return _mailing(row)


def _can_be_left(connection: Connection, mailing_id: int) -> bool:
    """Whether mails of it may be out from which recipients can unsubscribe by its mailing type."""
    is_unsubscribe = placement.c.kind == PlacementKind.unsubscribe.value
    statement = select(exists().where(placement.c.mailing_id == mailing_id, is_unsubscribe))
    return bool(connection.execute(statement).scalar_one())


def _not_found(mailing_id: int) -> DomainError:
    return DomainError(Reason.mailing_not_found, f"there is no mailing {mailing_id}", id=mailing_id)


def _counted() -> Select[Any]:
    figures = (func.coalesce(mailing_count.c[name], 0).label(name) for name in ("clicks", "clickers", "suspected"))
    return select(mailing, *figures).join_from(mailing, mailing_count, mailing_count.c.mailing_id == mailing.c.id, isouter=True)


def _mailing(row: Any) -> CountedMailing:
    counts = ClickCounts(clicks=row.clicks, clickers=row.clickers, suspected=row.suspected)
    return CountedMailing.model_construct(**{name: getattr(row, name) for name in Mailing.model_fields}, counts=counts)


def _in_mailing(connection: Connection, mailing_id: int, link_ids: Sequence[int]) -> list[MailingLink]:
    count = mailing_link_count
    rows = connection.execute(select(count).where(count.c.mailing_id == mailing_id, count.c.link_id.in_(link_ids)))
    figures = {row.link_id: row for row in rows}
    uses = of_mailing(connection, mailing_id, link_ids)
    return [
        MailingLink.model_construct(
            link=link,
            counts=ClickCounts(clicks=row.clicks, clickers=row.clickers, suspected=row.suspected) if row else ClickCounts(),
            first_click_time=from_microseconds(row.first_time) if row and row.first_time is not None else None,
            last_click_time=from_microseconds(row.last_time) if row and row.last_time is not None else None,
            placements=[use for use in uses if use.link_id == link.id],
        )
        for link in by_ids(connection, link_ids)
        for row in (figures.get(link.id),)
    ]
