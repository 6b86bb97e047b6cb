"""Links in the database: each function is one transaction, and what must be all or nothing is one function."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, func, insert, or_, select, update

from server.model.errors import DomainError, Reason, etag_mismatch
from server.model.link import ClickCounts, CountedLink, Link, LinkQuery
from server.model.text import name_key
from server.store.changes import placements_changed
from server.store.click_tables import link_count, mailing_count, mailing_link_count, reset_remains
from server.store.database import Database
from server.store.folders import MOVE_LINK, folder, folder_exists, folders_below, refuse_missing
from server.store.link_rows import (
    INSERT_ACTION,
    action_rows,
    as_link,
    columns,
    ids_for,
    insert_links,
    link,
    link_row,
    number_actions,
    numbered,
)
from server.store.pages import Key, Page, page_of
from server.store.requests import RequestId, made_before, once
from server.store.sql import Statements
from server.store.tables import PlacementRow, table_of
from server.store.types import to_microseconds

_placement = table_of(PlacementRow)

ORDERS = {"name": link.c.name_key, "create_time": link.c.create_time, "update_time": link.c.update_time}

AT_ONCE = 500
"""Links and actions that are made in one transaction: between two of them the writer takes the clicks that wait."""


class LinkStore:
    """The links of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, drafts: Sequence[Link], request: RequestId) -> list[CountedLink]:
        """Makes registered links, all or none, in their order. Raises FOLDER_NOT_FOUND and REQUEST_ID_REUSED."""
        new = [draft.model_copy(update={"actions": [action.model_copy(update={"id": 0}) for action in draft.actions]}) for draft in drafts]
        if self.made_before(request) or sum(len(draft.actions) + 1 for draft in new) <= AT_ONCE:
            return self.get(self._database.write(lambda connection: once(connection, request, partial(_make, connection, new))))
        return self._create_many(new, request)

    def _create_many(self, drafts: Sequence[Link], request: RequestId) -> list[CountedLink]:
        """What `create` does where it takes long: nobody sees anything before the last transaction, which has little to do."""
        for folder_id in {draft.folder_id for draft in drafts}:
            self._database.read(partial(refuse_missing, folder_id=folder_id))
        links = numbered(drafts, self._database.write(lambda connection: ids_for(Statements(connection), drafts)))
        actions = action_rows(links)
        for start in range(0, len(actions), AT_ONCE):
            some = actions[start : start + AT_ONCE]
            self._database.write(partial(_insert_actions, rows=some))
        rows = [link_row(each) for each in links]
        return self.get(self._database.write(lambda connection: once(connection, request, partial(insert_links, connection, rows))))

    def made_before(self, request: RequestId) -> bool:
        """Whether this very request has made something already."""
        return self._database.read(lambda connection: made_before(connection, request))

    def get(self, ids: Sequence[int]) -> list[CountedLink]:
        """The links with these ids, in this order. Raises LINK_NOT_FOUND for the first that is missing."""
        return self._database.read(lambda connection: by_ids(connection, ids))

    def page(self, query: LinkQuery, after: Key | None, size: int) -> Page[CountedLink]:
        """Registered links that pass every filter. Raises FOLDER_NOT_FOUND."""

        def work(connection: Connection) -> Page[CountedLink]:
            if query.folder_id is not None:
                refuse_missing(connection, query.folder_id)
            key = (ORDERS[query.order_by], link.c.id)
            rows, next_key = page_of(connection, _matching(query), key, after, size, query.descending)
            return Page([_link(row) for row in rows], next_key)

        return self._database.read(work)

    def change(self, link_id: int, etag: str, change: Callable[[Link], Link], user: int, now: datetime) -> CountedLink:
        """Replaces a link by what `change` makes of it. Raises LINK_NOT_FOUND, ETAG_MISMATCH, and what `change` raises."""

        def work(connection: Connection) -> CountedLink:
            current = locked(connection, link_id, etag)
            wanted = change(current)
            wanted.actions = number_actions(connection, link_id, current.actions, wanted.actions, now)
            if columns(wanted) != columns(current):
                stamp = {"updater": user, "update_time": now, "revision": current.revision + 1}
                connection.execute(update(link).where(link.c.id == link_id).values(**columns(wanted) | stamp))
                placements_changed(connection, _placement.c.link_id, link_id)
            return by_ids(connection, [link_id])[0]

        return self._database.write(work)

    def move(self, ids: Sequence[int], folder_id: int, user: int, now: datetime) -> int:
        """Moves registered links to a folder, all or none; how many have moved. Raises FOLDER_NOT_FOUND, LINK_NOT_FOUND, LINK_IS_LOCAL."""

        def work(connection: Connection) -> int:
            folder_exists(connection, folder_id)
            statements = Statements(connection)
            select_these = "SELECT id, mailing_id, folder_id FROM link WHERE id IN"
            found = {row.id: row for row in statements.matching(select_these, sorted(set(ids)), statements.for_update("id"))}
            for link_id in ids:
                if link_id not in found:
                    raise _not_found(link_id)
                if found[link_id].mailing_id:
                    raise _is_local(link_id, found[link_id].mailing_id, "has no folder")
            moved = [(folder_id, user, to_microseconds(now), row.id) for row in found.values() if row.folder_id != folder_id]
            statements.each(MOVE_LINK, moved)
            return len(moved)

        return self._database.write(work)

    def set_deleted(self, link_id: int, etag: str, deleted: bool, user: int, now: datetime) -> CountedLink:
        """Hides a link, or shows it again in its folder, or at the root if that is gone; nothing changes where it is so already.

        Raises LINK_NOT_FOUND, LINK_IS_LOCAL, ETAG_MISMATCH.
        """

        def work(connection: Connection) -> CountedLink:
            current = locked(connection, link_id, etag)
            if deleted:
                refuse_local(current, "is not deleted alone")
            if (current.delete_time is not None) != deleted:
                stamp = {"delete_time": now if deleted else None, "updater": user, "update_time": now, "revision": current.revision + 1}
                if connection.scalar(select(folder.c.id).where(folder.c.id == current.folder_id)) is None:
                    stamp["folder_id"] = 0
                connection.execute(update(link).where(link.c.id == link_id).values(**stamp))
            return by_ids(connection, [link_id])[0]

        return self._database.write(work)

    def reset(self, link_id: int, etag: str, request: RequestId, now: datetime) -> CountedLink:
        """Raises the link's generation, so that its figures read 0 at once; ResetStore removes what remains.

        Raises LINK_NOT_FOUND, ETAG_MISMATCH and REQUEST_ID_REUSED.
        """

        def work(connection: Connection) -> CountedLink:
            def make() -> list[int]:
                current = locked(connection, link_id, etag)
                generation = current.generation + 1
                stamp = {"generation": generation, "last_reset_time": now, "update_time": now, "revision": current.revision + 1}
                connection.execute(update(link).where(link.c.id == link_id).values(**stamp))
                # Before the counts: who sweeps holds what remains, and takes mailings' counts after it.
                connection.execute(reset_remains.delete().where(reset_remains.c.link_id == link_id))
                _forget_counts(connection, link_id)
                connection.execute(insert(reset_remains).values(link_id=link_id, generation=generation))
                return [link_id]

            return by_ids(connection, once(connection, request, make))[0]

        return self._database.write(work)


def _make(connection: Connection, drafts: Sequence[Link]) -> list[int]:
    links = numbered(drafts, ids_for(Statements(connection), drafts))
    _insert_actions(connection, action_rows(links))
    return insert_links(connection, [link_row(each) for each in links])


def _insert_actions(connection: Connection, rows: Sequence[tuple[int, int, str]]) -> None:
    Statements(connection).insert(INSERT_ACTION, rows)


def by_ids(connection: Connection, ids: Sequence[int]) -> list[CountedLink]:
    """The links with these ids, in this order. Raises LINK_NOT_FOUND for the first that is missing."""
    found = {row.id: _link(row) for row in connection.execute(_counted().where(link.c.id.in_(set(ids))))}
    for link_id in ids:
        if link_id not in found:
            raise _not_found(link_id)
    return [found[link_id] for link_id in ids]


def locked(connection: Connection, link_id: int, etag: str) -> Link:
    """The link as it is until the transaction ends. Raises LINK_NOT_FOUND and ETAG_MISMATCH."""
    row = connection.execute(select(link).where(link.c.id == link_id).with_for_update()).first()
    if row is None:
        raise _not_found(link_id)
    current = as_link(row)
    if etag and etag != current.etag:
        raise etag_mismatch("link", link_id, current.etag)
    return current


def refuse_local(found: Link, why: str) -> None:
    """Raises LINK_IS_LOCAL for a link that belongs to one mailing."""
    if found.mailing_id:
        raise _is_local(found.id, found.mailing_id, why)


def _not_found(link_id: int) -> DomainError:
    return DomainError(Reason.link_not_found, f"there is no link {link_id}", id=link_id)


def _is_local(link_id: int, mailing_id: int, why: str) -> DomainError:
    return DomainError(Reason.link_is_local, f"link {link_id} is local to mailing {mailing_id} and {why}", id=link_id)


def _link(row: Any) -> CountedLink:
    counts = ClickCounts(clicks=row.clicks, clickers=row.clickers, suspected=row.suspected)
    return CountedLink.model_construct(**{name: getattr(row, name) for name in Link.model_fields}, counts=counts)


def _counted() -> Select[Any]:
    figures = (func.coalesce(link_count.c[name], 0).label(name) for name in ("clicks", "clickers", "suspected"))
    return select(link, *figures).join_from(link, link_count, link_count.c.link_id == link.c.id, isouter=True)


def _forget_counts(connection: Connection, link_id: int) -> None:
    """Sets the figures of a link to 0, and takes its clicks out of the mailings'. Their clickers fall as its rows go."""
    connection.execute(update(link_count).where(link_count.c.link_id == link_id).values(clicks=0, clickers=0, suspected=0))
    in_mailing = mailing_link_count
    mine = (in_mailing.c.link_id == link_id, in_mailing.c.mailing_id == mailing_count.c.mailing_id)
    fallen = {
        name: mailing_count.c[name] - func.coalesce(select(in_mailing.c[name]).where(*mine).scalar_subquery(), 0)
        for name in ("clicks", "suspected")
    }
    some = or_(in_mailing.c.clicks > 0, in_mailing.c.suspected > 0)
    affected = select(in_mailing.c.mailing_id).where(in_mailing.c.link_id == link_id, some)
    in_order = select(mailing_count.c.mailing_id).where(mailing_count.c.mailing_id.in_(affected)).order_by(mailing_count.c.mailing_id)
    connection.execute(in_order.with_for_update()).all()  # as clicks on other links of the same mailings lock them
    connection.execute(update(mailing_count).where(mailing_count.c.mailing_id.in_(affected)).values(**fallen))
    zero = {"clicks": 0, "clickers": 0, "suspected": 0, "first_time": None, "last_time": None}
    connection.execute(update(in_mailing).where(in_mailing.c.link_id == link_id).values(**zero))


def _matching(query: LinkQuery) -> Select[Any]:
    statement = _counted().where(link.c.mailing_id == 0)
    if query.folder_id is not None and not query.include_subfolders:
        statement = statement.where(link.c.folder_id == query.folder_id)
    elif query.folder_id:
        statement = statement.where(link.c.folder_id.in_(folders_below(query.folder_id)))
    if query.creator is not None:
        statement = statement.where(link.c.creator == query.creator)
    if query.text:
        statement = statement.where(link.c.search_key.contains(name_key(query.text), autoescape=True))
    return statement if query.show_deleted else statement.where(link.c.delete_time.is_(None))
