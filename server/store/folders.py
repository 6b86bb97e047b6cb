"""Folders in the database: each method is one transaction."""

import contextlib
from collections.abc import Callable, Iterator, Sequence, Set
from datetime import datetime
from itertools import count
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from server.model.errors import DomainError, Reason, etag_mismatch
from server.model.folder import Folder
from server.model.text import name_key
from server.store.database import Database, violates
from server.store.pages import Key, Page, page_of
from server.store.requests import RequestId, once
from server.store.sql import Statements
from server.store.tables import FolderRow, LinkRow, table_of
from server.store.types import to_microseconds

folder = table_of(FolderRow)
_link = table_of(LinkRow)

ORDERS = {"name": folder.c.name_key, "create_time": folder.c.create_time, "update_time": folder.c.update_time}

SLICE = 200
"""Links that move up in one transaction when their folder is deleted."""

FOLDERS_SLICE = 100
"""Sub-folders likewise."""

MOVE_LINK = "UPDATE link SET folder_id = ?, updater = ?, update_time = ?, revision = revision + 1 WHERE id = ?"
_MOVE_FOLDER = "UPDATE folder SET parent_id = ?, update_time = ?, revision = revision + 1 WHERE id = ?"

_MOST_NAME = 255
_TREE_LOCK = 7452
"""A number of PostgreSQL's advisory locks; migrations use another."""


class FolderStore:
    """The folders of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, draft: Folder, request: RequestId) -> Folder:
        """Makes a folder. Raises FOLDER_NOT_FOUND (the parent), FOLDER_NAME_TAKEN and REQUEST_ID_REUSED."""

        def work(connection: Connection) -> Folder:
            return by_id(connection, once(connection, request, lambda: [_insert(connection, draft)])[0])

        return self._database.write(work)

    def get(self, folder_id: int) -> Folder:
        """The folder. Raises FOLDER_NOT_FOUND."""
        return self._database.read(lambda connection: by_id(connection, folder_id))

    def page(self, parent_id: int | None, order_by: str, descending: bool, after: Key | None, size: int) -> Page[Folder]:
        """The direct sub-folders of a folder, or all folders. Raises FOLDER_NOT_FOUND."""

        def work(connection: Connection) -> Page[Folder]:
            statement = select(folder)
            if parent_id is not None:
                refuse_missing(connection, parent_id)
                statement = statement.where(folder.c.parent_id == parent_id)
            rows, next_key = page_of(connection, statement, (ORDERS[order_by], folder.c.id), after, size, descending)
            return Page([_as_folder(row) for row in rows], next_key)

        return self._database.read(work)

    def change(self, folder_id: int, etag: str, change: Callable[[Folder], Folder], now: datetime) -> Folder:
        """Replaces name and description by what `change` makes of them. Raises FOLDER_NOT_FOUND, FOLDER_NAME_TAKEN, ETAG_MISMATCH."""

        def work(connection: Connection) -> Folder:
            _hold_tree(connection)
            current = by_id(connection, folder_id, etag)
            wanted = change(current)
            if (wanted.name, wanted.description) != (current.name, current.description):
                _write(connection, wanted, now)
            return by_id(connection, folder_id)

        return self._database.write(work)

    def move(self, folder_id: int, parent_id: int, etag: str, now: datetime) -> Folder:
        """Moves a folder with all that is in it. Raises FOLDER_NOT_FOUND, FOLDER_CYCLE, FOLDER_NAME_TAKEN, ETAG_MISMATCH."""

        def work(connection: Connection) -> Folder:
            _hold_tree(connection)
            current = by_id(connection, folder_id, etag)
            folder_exists(connection, parent_id)
            if connection.scalar(select(folder.c.id).where(folder.c.id == parent_id, folder.c.id.in_(folders_below(folder_id)))):
                message = f"folder {folder_id} cannot be moved into folder {parent_id}, which is the same or lies below it"
                raise DomainError(Reason.folder_cycle, message, id=folder_id, parent_id=parent_id)
            if parent_id != current.parent_id:
                _write(connection, current.model_copy(update={"parent_id": parent_id}), now)
            return by_id(connection, folder_id)

        return self._database.write(work)

    def delete(self, folder_id: int, force: bool, etag: str, user: int, now: datetime) -> None:
        """Deletes a folder; with force, what is in it moves up. Raises FOLDER_NOT_FOUND, FOLDER_NOT_EMPTY, ETAG_MISMATCH.

        Deleted links are no contents, but move up likewise, so that no link names a folder that does not exist. Many move a slice at a
        time, the folder goes last: between two slices the writer takes the clicks that wait. What has moved before an error stays.
        """

        def look(connection: Connection) -> None:
            by_id(connection, folder_id, etag)
            if not force:
                _refuse_contents(connection, folder_id)

        self._database.read(look)
        while self._database.write(lambda connection: _links_up(connection, folder_id, force, etag, user, now)):
            pass
        while force and self._database.write(lambda connection: _folders_up(connection, folder_id, etag, now)):
            pass

        def work(connection: Connection) -> None:
            _hold_tree(connection)
            # Held before its contents are counted: who puts a link into it holds it as well, and is done or comes too late.
            connection.execute(select(folder.c.id).where(folder.c.id == folder_id).with_for_update())
            current = by_id(connection, folder_id, etag)
            if not force:
                _refuse_contents(connection, folder_id)
            connection.execute(delete(folder).where(folder.c.id == folder_id))  # before its sub-folders move: one may have its name
            _move_up(connection, current, _children(connection, folder_id), now)
            inside = _link.c.folder_id == folder_id
            # In the order in which clicks hold links, or the two could wait for each other.
            connection.execute(select(_link.c.id).where(inside).order_by(_link.c.id).with_for_update()).all()
            stamp = {"folder_id": current.parent_id, "updater": user, "update_time": now, "revision": _link.c.revision + 1}
            connection.execute(update(_link).where(inside).values(**stamp))

        self._database.write(work)


def by_id(connection: Connection, folder_id: int, etag: str = "") -> Folder:
    """The folder. Raises FOLDER_NOT_FOUND, and ETAG_MISMATCH when another revision is named."""
    row = connection.execute(select(folder).where(folder.c.id == folder_id)).first()
    if row is None:
        raise _not_found(folder_id)
    current = _as_folder(row)
    if etag and etag != current.etag:
        raise etag_mismatch("folder", folder_id, current.etag)
    return current


def folder_exists(connection: Connection, folder_id: int) -> None:
    """Raises FOLDER_NOT_FOUND unless the folder exists; it then does until the transaction ends. 0 is the root, which always does."""
    if folder_id and connection.execute(select(folder.c.id).where(folder.c.id == folder_id).with_for_update(read=True)).first() is None:
        raise _not_found(folder_id)


def refuse_missing(connection: Connection, folder_id: int) -> None:
    """Raises FOLDER_NOT_FOUND unless the folder exists now: for reading, which makes nobody wait."""
    if folder_id:
        by_id(connection, folder_id)


def folders_below(folder_id: int) -> Select[Any]:
    """The ids of a folder and of all folders below it, to any depth."""
    tree = select(folder.c.id).where(folder.c.id == folder_id).cte("tree", recursive=True)
    return select(tree.union(select(folder.c.id).join(tree, folder.c.parent_id == tree.c.id)).c.id)


def _hold_tree(connection: Connection) -> None:
    """Lets one transaction at a time change the tree: two moves at once could make a cycle. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_TREE_LOCK)))


def _insert(connection: Connection, draft: Folder) -> int:
    _hold_tree(connection)
    folder_exists(connection, draft.parent_id)
    stamp = {"create_time": draft.create_time, "update_time": draft.update_time, "revision": 1}
    statement = insert(folder).values(**_columns(draft) | stamp).returning(folder.c.id)
    with _name_taken(draft):
        return int(connection.execute(statement).scalar_one())


def _write(connection: Connection, wanted: Folder, now: datetime) -> None:
    stamp = {"update_time": now, "revision": folder.c.revision + 1}
    with _name_taken(wanted):
        connection.execute(update(folder).where(folder.c.id == wanted.id).values(**_columns(wanted) | stamp))


@contextlib.contextmanager
def _name_taken(wanted: Folder) -> Iterator[None]:
    """Raises FOLDER_NAME_TAKEN where the database finds a sibling of this name: it decides, whoever else writes."""
    try:
        yield
    except IntegrityError as error:
        if not violates(error, "folder_sibling_name", "folder.parent_id", "folder.name_key"):
            raise
        place = f"folder {wanted.parent_id}" if wanted.parent_id else "the root"
        message = f"{place} has a folder with the name {wanted.name!r} already, compared without regard to case"
        raise DomainError(Reason.folder_name_taken, message, parent_id=wanted.parent_id, name=wanted.name) from None


def _refuse_contents(connection: Connection, folder_id: int) -> None:
    folders = connection.scalar(select(func.count()).where(folder.c.parent_id == folder_id))
    links = connection.scalar(select(func.count()).where(_link.c.folder_id == folder_id, _link.c.delete_time.is_(None)))
    if folders or links:
        message = f"folder {folder_id} holds folders ({folders}) or links ({links}); send force to move them up"
        raise DomainError(Reason.folder_not_empty, message, id=folder_id, folders=folders, links=links)


def _links_up(connection: Connection, folder_id: int, force: bool, etag: str, user: int, now: datetime) -> bool:
    """Moves a slice of the links of a folder to its parent, without `force` of the deleted ones; whether there may be more."""
    _hold_tree(connection)
    current = by_id(connection, folder_id, etag)
    folder_exists(connection, current.parent_id)
    statements = Statements(connection)
    only = "" if force else " AND delete_time IS NOT NULL"
    held = "" if statements.is_sqlite else " FOR UPDATE"
    rows = statements.rows(f"SELECT id FROM link WHERE folder_id = ?{only} ORDER BY id LIMIT {SLICE}{held}", (folder_id,))
    statements.each(MOVE_LINK, [(current.parent_id, user, to_microseconds(now), row.id) for row in rows])
    return len(rows) == SLICE


def _folders_up(connection: Connection, folder_id: int, etag: str, now: datetime) -> bool:
    """Moves a slice of the sub-folders to the parent, but for one with the folder's own name; whether there are more."""
    _hold_tree(connection)
    current = by_id(connection, folder_id, etag)
    children = _children(connection, folder_id, name_key(current.name), FOLDERS_SLICE)
    _move_up(connection, current, children, now)
    return len(children) == FOLDERS_SLICE


def _children(connection: Connection, folder_id: int, but: str = "", most: int | None = None) -> list[Folder]:
    statement = select(folder).where(folder.c.parent_id == folder_id, folder.c.name_key != but).order_by(folder.c.id).limit(most)
    return [_as_folder(row) for row in connection.execute(statement)]


def _move_up(connection: Connection, gone: Folder, moving: Sequence[Folder], now: datetime) -> None:
    """Moves these sub-folders of a folder to its parent. One whose name is taken there gets a number; the others keep their names."""
    keys = [name_key(child.name) for child in moving]
    there = set(connection.scalars(select(folder.c.name_key).where(folder.c.parent_id == gone.parent_id, folder.c.name_key.in_(keys))))
    keeping = [child.id for child, key in zip(moving, keys, strict=True) if key not in there]
    stamp = (gone.parent_id, to_microseconds(now))
    Statements(connection).each(_MOVE_FOLDER, [(*stamp, child_id) for child_id in keeping])
    if not there:
        return
    in_both = or_(folder.c.parent_id == gone.parent_id, folder.c.parent_id == gone.id)
    taken = set(connection.scalars(select(folder.c.name_key).where(in_both)))
    for child, key in zip(moving, keys, strict=True):
        if key in there:
            name = _numbered(child.name, taken)
            taken.add(name_key(name))
            _write(connection, child.model_copy(update={"name": name, "parent_id": gone.parent_id}), now)


def _numbered(name: str, taken: Set[str]) -> str:
    candidates = (name[: _MOST_NAME - len(suffix)] + suffix for suffix in (f" ({number})" for number in count(2)))
    return next(candidate for candidate in candidates if name_key(candidate) not in taken)


def _columns(wanted: Folder) -> dict[str, Any]:
    return {
        "name": wanted.name,
        "name_key": name_key(wanted.name),
        "description": wanted.description,
        "parent_id": wanted.parent_id,
    }


def _as_folder(row: Any) -> Folder:
    return Folder.model_construct(**{name: getattr(row, name) for name in Folder.model_fields})


def _not_found(folder_id: int) -> DomainError:
    return DomainError(Reason.folder_not_found, f"there is no folder {folder_id}", id=folder_id)
