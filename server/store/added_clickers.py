"""Adds clickers to a selection or project, set-wise and in one transaction, however many they are."""

from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, literal, not_, select
from sqlalchemy.dialects import postgresql, sqlite

from server.model.click import AddedClickers, ClickerTarget
from server.model.crm import CatalogEntry
from server.model.errors import DomainError, Reason, Violation
from server.store.click_tables import clicker
from server.store.clickers import refuse_unknown, since_reset
from server.store.crm_entries import entry_by_id, existing, insert_entry
from server.store.crm_tables import MembershipRow, PersonRow
from server.store.database import Database
from server.store.link_rows import link
from server.store.requests import RequestId, once
from server.store.tables import table_of

MOST_SKIPPED = 100
"""Skipped clickers that are named; the others are counted."""

_person = table_of(PersonRow)
_membership = table_of(MembershipRow)


class AddedClickerStore:
    """Clickers and the embedded CRM of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, link_id: int, mailing_id: int, target: ClickerTarget, request: RequestId) -> AddedClickers:
        """Makes the clickers members of the target, which is made first where it is new.

        Raises LINK_NOT_FOUND, MAILING_NOT_FOUND, REFERENCE_NOT_FOUND, ENTRY_NAME_TAKEN and REQUEST_ID_REUSED.
        """

        def work(connection: Connection) -> AddedClickers:
            refuse_unknown(connection, link_id, mailing_id)
            entry = _entry(connection, target, request)
            who = _recipients(link_id, mailing_id).subquery()
            known = exists().where(_person.c.id == who.c.recipient / 2)
            is_person = and_(who.c.recipient % 2 == 0, known)
            total = _count(connection, select(func.count()).select_from(who))
            persons = _count(connection, select(func.count()).select_from(who).where(is_person))
            skipped = connection.execute(select(who.c.recipient).where(not_(is_person)).order_by(who.c.recipient).limit(MOST_SKIPPED))
            members = _count(connection, _members(entry))
            _join(connection, entry, select(who.c.recipient / 2).where(is_person))
            added = _count(connection, _members(entry)) - members
            return AddedClickers(entry, added, persons - added, total - persons, list(skipped.scalars()))

        return self._database.write(work)

    def remember(self, target: ClickerTarget, request: RequestId) -> None:
        """Remembers what the request is for. Raises REQUEST_ID_REUSED when it came before and was for something else."""
        self._database.write(lambda connection: once(connection, request, lambda: [target.entry_id]))

    def recipients(self, link_id: int, mailing_id: int, after: int, most: int) -> list[int]:
        """Who clicked, as recipient numbers, in their order. Raises LINK_NOT_FOUND and MAILING_NOT_FOUND."""

        def work(connection: Connection) -> list[int]:
            refuse_unknown(connection, link_id, mailing_id)
            statement = _recipients(link_id, mailing_id).where(clicker.c.recipient > after)
            return list(connection.execute(statement.order_by(clicker.c.recipient).limit(most)).scalars())

        return self._database.read(work)


def _entry(connection: Connection, target: ClickerTarget, request: RequestId) -> CatalogEntry:
    if target.new_name:
        draft = CatalogEntry(catalog=target.catalog, name=target.new_name)
        return entry_by_id(connection, once(connection, request, lambda: [insert_entry(connection, draft)])[0])
    if not existing(connection, [(target.catalog, target.entry_id)], locked=True):
        problem = Violation(f"{target.catalog.value}_id", f"the CRM has no {target.catalog.value} {target.entry_id}")
        raise DomainError(Reason.reference_not_found, f"{problem.field}: {problem.description}", [problem])
    return entry_by_id(connection, target.entry_id)


def _recipients(link_id: int, mailing_id: int) -> Select[Any]:
    statement = select(clicker.c.recipient).distinct()
    if link_id:
        statement = statement.where(since_reset(link_id))
    else:
        statement = statement.join(link, and_(link.c.id == clicker.c.link_id, link.c.generation == clicker.c.generation))
    return statement.where(clicker.c.mailing_id == mailing_id) if mailing_id else statement


def _members(entry: CatalogEntry) -> Select[Any]:
    return select(func.count()).select_from(_membership).where(_membership.c.entry_id == entry.id)


def _join(connection: Connection, entry: CatalogEntry, person_ids: Select[Any]) -> None:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    rows = person_ids.add_columns(literal(entry.id)).order_by(person_ids.selected_columns[0])
    statement = insert(_membership).from_select(["person_id", "entry_id"], rows)
    connection.execute(statement.on_conflict_do_nothing())


def _count(connection: Connection, statement: Select[Any]) -> int:
    return int(connection.execute(statement).scalar_one())
