"""Scripts and their versions in the database: each method is one transaction."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from server.model.errors import DomainError, Reason, etag_mismatch
from server.model.script import Script
from server.model.text import name_key
from server.store.database import Database, violates
from server.store.pages import Key, Page, page_of
from server.store.requests import RequestId, once
from server.store.script_tables import ScriptRow, script_version
from server.store.sql import Statements
from server.store.tables import table_of

script = table_of(ScriptRow)

ScriptReference = tuple[int, int]
"""A script's id and the version that is wanted, 0 = the newest."""


class ScriptStore:
    """The scripts of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, draft: Script, request: RequestId) -> Script:
        """Makes a script, in version 1. Raises SCRIPT_NAME_TAKEN and REQUEST_ID_REUSED."""

        def work(connection: Connection) -> Script:
            return by_id(connection, once(connection, request, lambda: [_insert(connection, draft)])[0])

        return self._database.write(work)

    def get(self, script_id: int, version: int = 0) -> Script:
        """The script as it is now (version 0), or with the source of one of its versions. Raises SCRIPT_NOT_FOUND."""

        def work(connection: Connection) -> Script:
            current = by_id(connection, script_id)
            return current if version in (0, current.version) else _as_it_was(connection, current, version)

        return self._database.read(work)

    def page(self, after: Key | None, size: int) -> Page[Script]:
        """Scripts by name."""

        def work(connection: Connection) -> Page[Script]:
            rows, next_key = page_of(connection, select(script), (script.c.name_key, script.c.id), after, size)
            return Page([_as_script(row) for row in rows], next_key)

        return self._database.read(work)

    def change(self, script_id: int, etag: str, change: Callable[[Script], Script], user: int, now: datetime) -> Script:
        """Replaces name, description and source by what `change` makes of them; another source is another version.

        Raises SCRIPT_NOT_FOUND, SCRIPT_NAME_TAKEN, ETAG_MISMATCH, and what `change` raises.
        """

        def work(connection: Connection) -> Script:
            current = _locked(connection, script_id, etag)
            wanted = change(current)
            if _columns(wanted) != _columns(current):
                version = current.version + (wanted.source != current.source)
                stamp = {"version": version, "updater": user, "update_time": now, "revision": current.revision + 1}
                with _name_taken(wanted):
                    connection.execute(update(script).where(script.c.id == script_id).values(**_columns(wanted) | stamp))
                if version != current.version:
                    _keep_version(connection, script_id, version, wanted.source, user, now)
            return by_id(connection, script_id)

        return self._database.write(work)

    def missing(self, references: Iterable[ScriptReference]) -> set[ScriptReference]:
        """Those of the references that name no script, or no version of it."""
        wanted = set(references)
        return wanted - self._database.read(lambda connection: _existing(Statements(connection), wanted))


def sources(statements: Statements, references: Iterable[ScriptReference]) -> dict[ScriptReference, tuple[int, str]]:
    """The version and the source that each reference names, for the way of a click; what does not exist is left out.

    At most two statements for the references of a batch, none when there are none.
    """
    wanted = set(references)
    newest, numbered = _split(wanted)
    select_newest = "SELECT id, version, source FROM script WHERE id IN"
    select_numbered = "SELECT script_id, version, source FROM script_version WHERE (script_id, version) IN"
    found = {(row.id, 0): (row.version, row.source) for row in statements.matching(select_newest, newest)}
    return found | {(row.script_id, row.version): (row.version, row.source) for row in statements.matching(select_numbered, numbered)}


def by_id(connection: Connection, script_id: int) -> Script:
    """The script as it is now. Raises SCRIPT_NOT_FOUND."""
    row = connection.execute(select(script).where(script.c.id == script_id)).first()
    if row is None:
        raise _not_found(script_id)
    return _as_script(row)


def _existing(statements: Statements, references: Iterable[ScriptReference]) -> set[ScriptReference]:
    newest, numbered = _split(references)
    select_numbered = "SELECT script_id, version FROM script_version WHERE (script_id, version) IN"
    found = {(row.id, 0) for row in statements.matching("SELECT id FROM script WHERE id IN", newest)}
    return found | {(row.script_id, row.version) for row in statements.matching(select_numbered, numbered)}


def _split(references: Iterable[ScriptReference]) -> tuple[list[int], list[ScriptReference]]:
    """The ids of scripts that are wanted as they are now, and the references that name a version."""
    ordered = sorted(references)
    return [script_id for script_id, version in ordered if not version], [reference for reference in ordered if reference[1]]


def _locked(connection: Connection, script_id: int, etag: str) -> Script:
    """The script as it is until the transaction ends. Raises SCRIPT_NOT_FOUND and ETAG_MISMATCH."""
    row = connection.execute(select(script).where(script.c.id == script_id).with_for_update()).first()
    if row is None:
        raise _not_found(script_id)
    current = _as_script(row)
    if etag and etag != current.etag:
        raise etag_mismatch("script", script_id, current.etag)
    return current


def _as_it_was(connection: Connection, current: Script, version: int) -> Script:
    """The script with the source of a version, and who made that when; names are not kept by version. Raises SCRIPT_NOT_FOUND."""
    statement = select(script_version).where(script_version.c.script_id == current.id, script_version.c.version == version)
    row = connection.execute(statement).first()
    if row is None:
        message = f"script {current.id} has no version {version}, the newest is {current.version}"
        raise DomainError(Reason.script_not_found, message, id=current.id, version=version)
    kept = {"source": row.source, "version": row.version, "updater": row.updater, "update_time": row.update_time}
    return current.model_copy(update=kept)


def _insert(connection: Connection, draft: Script) -> int:
    stamp = {"creator": draft.creator, "create_time": draft.create_time, "updater": draft.updater, "update_time": draft.update_time}
    statement = insert(script).values(**_columns(draft) | stamp | {"version": 1, "revision": 1}).returning(script.c.id)
    with _name_taken(draft):
        script_id = int(connection.execute(statement).scalar_one())
    _keep_version(connection, script_id, 1, draft.source, draft.updater, draft.update_time)
    return script_id


def _keep_version(connection: Connection, script_id: int, version: int, source: str, user: int, now: datetime | None) -> None:
    values = {"script_id": script_id, "version": version, "source": source, "updater": user, "update_time": now}
    connection.execute(insert(script_version).values(**values))


@contextlib.contextmanager
def _name_taken(wanted: Script) -> Iterator[None]:
    """Raises SCRIPT_NAME_TAKEN where the database finds another script of this name: it decides, whoever else writes."""
    try:
        yield
    except IntegrityError as error:
        if not violates(error, "script_name", "script.name_key"):
            raise
        message = f"there is a script with the name {wanted.name!r} already, compared without regard to case"
        raise DomainError(Reason.script_name_taken, message, name=wanted.name) from None


def _columns(wanted: Script) -> dict[str, Any]:
    """What a caller may change of a script, as columns."""
    return {
        "name": wanted.name,
        "name_key": name_key(wanted.name),
        "description": wanted.description,
        "source": wanted.source,
    }


def _as_script(row: Any) -> Script:
    return Script.model_construct(**{name: getattr(row, name) for name in Script.model_fields})


def _not_found(script_id: int) -> DomainError:
    return DomainError(Reason.script_not_found, f"there is no script {script_id}", id=script_id)
