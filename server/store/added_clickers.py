"""Adds clickers to a selection or project, a slice at a time: between two of them the writer takes the clicks that wait."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, and_, select

from server.model.click import AddedClickers, ClickerTarget
from server.model.crm import CatalogEntry
from server.model.errors import DomainError, Reason, Violation
from server.model.ids import person_of
from server.store.click_tables import clicker
from server.store.clickers import refuse_unknown, since_reset
from server.store.crm_entries import entry_by_id, existing, insert_entry
from server.store.database import Database
from server.store.link_rows import link
from server.store.requests import RequestId, once
from server.store.sql import Statements

MOST_SKIPPED = 100
"""Skipped clickers that are named; the others are counted."""

SLICE = 500
"""Clickers that are added in one transaction."""


class AddedClickerStore:
    """Clickers and the embedded CRM of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, link_id: int, mailing_id: int, target: ClickerTarget, request: RequestId) -> AddedClickers:
        """Makes the clickers members of the target, which is made first where it is new.

        Raises LINK_NOT_FOUND, MAILING_NOT_FOUND, REFERENCE_NOT_FOUND, ENTRY_NAME_TAKEN and REQUEST_ID_REUSED. What was added before an
        error stays; sent again, it adds the rest.
        """

        entry = self._database.write(lambda connection: _entry(connection, link_id, mailing_id, target, request))
        added = AddedClickers(entry, 0, 0, 0, [])
        last = 0
        while recipients := self.recipients(link_id, mailing_id, last, SLICE):
            last = recipients[-1]
            persons, joined = self._database.write(partial(_join, target=replace(target, entry_id=entry.id), recipients=recipients))
            skipped = [each for each in recipients if person_of(each) not in persons]
            added = AddedClickers(
                entry,
                added.added_count + joined,
                added.present_count + len(persons) - joined,
                added.skipped_count + len(skipped),
                [*added.skipped, *skipped][:MOST_SKIPPED],
            )
        return added

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


def _entry(connection: Connection, link_id: int, mailing_id: int, target: ClickerTarget, request: RequestId) -> CatalogEntry:
    refuse_unknown(connection, link_id, mailing_id)
    if target.new_name:
        draft = CatalogEntry(catalog=target.catalog, name=target.new_name)
        return entry_by_id(connection, once(connection, request, lambda: [insert_entry(connection, draft)])[0])
    _refuse_missing(connection, target)
    return entry_by_id(connection, target.entry_id)


def _refuse_missing(connection: Connection, target: ClickerTarget) -> None:
    """Raises REFERENCE_NOT_FOUND unless the target exists; it then does until the transaction ends."""
    if not existing(connection, [(target.catalog, target.entry_id)], locked=True):
        problem = Violation(f"{target.catalog.value}_id", f"the CRM has no {target.catalog.value} {target.entry_id}")
        raise DomainError(Reason.reference_not_found, f"{problem.field}: {problem.description}", [problem])


def _join(connection: Connection, target: ClickerTarget, recipients: Sequence[int]) -> tuple[set[int], int]:
    """Makes those of the recipients members whom the CRM knows: who they are, and how many were no members before."""
    statements = Statements(connection)
    ids = [number for number in map(person_of, recipients) if number]
    persons = {row.id for row in statements.matching("SELECT id FROM crm_person WHERE id IN", ids, statements.for_share("id"))}
    _refuse_missing(connection, target)
    rows = [(target.entry_id, person_id) for person_id in sorted(persons)]
    return persons, sum(1 for _ in statements.inserted(_JOIN, rows, "ON CONFLICT DO NOTHING RETURNING person_id"))


def _recipients(link_id: int, mailing_id: int) -> Select[Any]:
    statement = select(clicker.c.recipient).distinct()
    if link_id:
        statement = statement.where(since_reset(link_id))
    else:
        statement = statement.join(link, and_(link.c.id == clicker.c.link_id, link.c.generation == clicker.c.generation))
    return statement.where(clicker.c.mailing_id == mailing_id) if mailing_id else statement


_JOIN = "INSERT INTO crm_membership (entry_id, person_id)"
