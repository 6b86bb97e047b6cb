"""The catalogues of the embedded CRM in the database: each method is one transaction."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from server.model.crm import Catalog, CatalogEntry
from server.model.errors import DomainError, Reason
from server.model.text import name_key
from server.store.crm_tables import EntryRow, MembershipRow, PersonRow
from server.store.database import Database, violates
from server.store.pages import Key, Page, page_of
from server.store.requests import RequestId, once
from server.store.sql import Statements
from server.store.tables import table_of

_entry = table_of(EntryRow)
_membership = table_of(MembershipRow)
_person = table_of(PersonRow)

SLICE = 500
"""Persons or memberships that are changed in one transaction when their entry is deleted."""

_NO_CONTACT = "UPDATE crm_person SET our_contact_id = 0 WHERE id = ? AND our_contact_id = ?"


class EntryStore:
    """The entries of every catalogue of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, draft: CatalogEntry, request: RequestId) -> CatalogEntry:
        """Makes an entry. Raises ENTRY_NAME_TAKEN, REQUEST_ID_REUSED.

        Raises ENTRY_NOT_FOUND when the request came before and its entry has been deleted since.
        """

        def work(connection: Connection) -> CatalogEntry:
            return entry_by_id(connection, once(connection, request, lambda: [insert_entry(connection, draft)])[0])

        return self._database.write(work)

    def page(self, catalog: Catalog | None, after: Key | None, size: int) -> Page[CatalogEntry]:
        """Entries by id; of one catalogue where it is given."""

        def work(connection: Connection) -> Page[CatalogEntry]:
            statement = select(_entry) if catalog is None else select(_entry).where(_entry.c.catalog == catalog.value)
            rows, next_key = page_of(connection, statement, (_entry.c.id,), after, size)
            return Page([_as_entry(row) for row in rows], next_key)

        return self._database.read(work)

    def delete(self, entry_id: int) -> None:
        """Deletes an entry and its memberships; a user that goes is nobody's our contact any more. Raises ENTRY_NOT_FOUND.

        Persons and memberships go a slice at a time: between two of them the writer takes the clicks that wait.
        """

        catalog = self._database.read(lambda connection: entry_by_id(connection, entry_id)).catalog
        after = 0
        while catalog is Catalog.user and (theirs := self._database.read(partial(_theirs, user_id=entry_id, after=after))):
            after = theirs[-1]
            self._database.write(partial(_forget_contact, user_id=entry_id, person_ids=theirs))
        late = after if self._database.is_sqlite else 0  # PostgreSQL may have committed persons with lower numbers meanwhile

        def work(connection: Connection) -> None:
            if not connection.execute(delete(_entry).where(_entry.c.id == entry_id)).rowcount:
                raise _not_found(entry_id)
            if catalog is Catalog.user and _theirs(connection, entry_id, late):
                raise _GotMore

        try:
            self._database.write(work)
        except _GotMore:
            self.delete(entry_id)
            return
        # Nobody sees these any more: whoever reads them asks for their entry.
        while self._database.write(partial(_remove_memberships, entry_id=entry_id)):
            pass


class _GotMore(Exception):
    """Somebody has become a deleted user's contact meanwhile."""


def _theirs(connection: Connection, user_id: int, after: int) -> list[int]:
    """Some of the persons whose contact this user is, by id."""
    of_user = select(_person.c.id).where(_person.c.our_contact_id == user_id, _person.c.id > after)
    return list(connection.scalars(of_user.order_by(_person.c.id).limit(SLICE)))


def _forget_contact(connection: Connection, user_id: int, person_ids: Sequence[int]) -> None:
    Statements(connection).each(_NO_CONTACT, [(each, user_id) for each in person_ids])


def _remove_memberships(connection: Connection, entry_id: int) -> bool:
    """Removes a slice; whether there may be more."""
    statements = Statements(connection)
    rows = statements.rows(f"SELECT person_id FROM crm_membership WHERE entry_id = ? ORDER BY person_id LIMIT {SLICE}", (entry_id,))
    statements.each("DELETE FROM crm_membership WHERE entry_id = ? AND person_id = ?", [(entry_id, row.person_id) for row in rows])
    return len(rows) == SLICE


def existing(connection: Connection, references: Collection[tuple[Catalog, int]], locked: bool = False) -> set[tuple[Catalog, int]]:
    """Those of the references that exist; `locked` keeps them until the transaction ends. Any number: they are asked for in slices."""
    statements = Statements(connection)
    ids = sorted({entry_id for _, entry_id in references})
    rows = statements.matching("SELECT id, catalog FROM crm_entry WHERE id IN", ids, statements.for_share("id") if locked else "")
    return set(references) & {(Catalog(row.catalog), row.id) for row in rows}


def insert_entry(connection: Connection, draft: CatalogEntry) -> int:
    """Makes an entry; its id. Raises ENTRY_NAME_TAKEN."""
    values = {"catalog": draft.catalog.value, "name": draft.name, "name_key": name_key(draft.name)}
    try:
        return int(connection.execute(insert(_entry).values(**values).returning(_entry.c.id)).scalar_one())
    except IntegrityError as error:
        if violates(error, "crm_entry_name", "crm_entry.catalog", "crm_entry.name_key"):
            words = draft.catalog.value.replace("_", " ")
            raise DomainError(Reason.entry_name_taken, f"there is a {words} named {draft.name!r} already", name=draft.name) from None
        raise


def entry_by_id(connection: Connection, entry_id: int) -> CatalogEntry:
    """The entry. Raises ENTRY_NOT_FOUND."""
    row = connection.execute(select(_entry).where(_entry.c.id == entry_id)).first()
    if row is None:
        raise _not_found(entry_id)
    return _as_entry(row)


def _as_entry(row: Any) -> CatalogEntry:
    return CatalogEntry.model_construct(id=row.id, catalog=Catalog(row.catalog), name=row.name)


def _not_found(entry_id: int) -> DomainError:
    return DomainError(Reason.entry_not_found, f"there is no entry {entry_id}", id=entry_id)
