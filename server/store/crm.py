"""Persons of the embedded CRM in the database: each method is one transaction."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from server.model.crm import Catalog, NamedReference, Person, address_key
from server.model.crm_actions import CrmAction, CrmResult
from server.model.errors import DomainError, Reason, Violation
from server.model.ids import person_recipient
from server.store.crm_apply import apply_actions
from server.store.crm_entries import existing
from server.store.crm_tables import EntryRow, ExtraFieldRow, MembershipRow, PersonRow
from server.store.database import Database, violates
from server.store.outgoing import unname_events
from server.store.pages import Key, Page, page_of
from server.store.requests import RequestId, once
from server.store.script_words import forget_words_of
from server.store.sql import Statements
from server.store.tables import table_of

_person = table_of(PersonRow)
_entry = table_of(EntryRow)
_membership = table_of(MembershipRow)
_extra_field = table_of(ExtraFieldRow)

_LISTS = {Catalog.interest: "interests", Catalog.selection: "selections", Catalog.project: "projects"}
"""The lists on a person's card, by the catalogue that they are taken from."""


class CrmStore:
    """The persons of one database, and whether what is named exists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_person(self, draft: Person, request: RequestId) -> Person:
        """Makes a person; memberships are taken by id. Raises REFERENCE_NOT_FOUND, PERSON_EMAIL_TAKEN, REQUEST_ID_REUSED.

        Raises PERSON_NOT_FOUND when the request came before and its person has been deleted since.
        """

        def work(connection: Connection) -> Person:
            return _by_id(connection, once(connection, request, lambda: [_insert(connection, draft)])[0])

        return self._database.write(work)

    def person(self, person_id: int) -> Person:
        """The person's card. Raises PERSON_NOT_FOUND."""
        return self._database.read(lambda connection: _by_id(connection, person_id))

    def persons(self, ids: Sequence[int]) -> tuple[list[Person], list[int]]:
        """The persons with these ids, in this order, and the ids that there is no person for."""
        statement = select(_person).where(_person.c.id.in_(set(ids)))
        cards = self._database.read(lambda connection: _cards(connection, connection.execute(statement).all()))
        found = {person.id: person for person in cards}
        return [found[person_id] for person_id in ids if person_id in found], [person_id for person_id in ids if person_id not in found]

    def page_of_persons(self, member_of: int, after: Key | None, size: int) -> Page[Person]:
        """Persons by id; only members of one selection, project or interest unless member_of is 0."""

        def work(connection: Connection) -> Page[Person]:
            statement, key = select(_person), _person.c.id
            if member_of:
                key = _membership.c.person_id
                statement = statement.join_from(_person, _membership, key == _person.c.id).where(_membership.c.entry_id == member_of)
            rows, next_key = page_of(connection, statement, (key,), after, size)
            return Page(_cards(connection, rows), next_key)

        return self._database.read(work)

    def delete_person(self, person_id: int) -> None:
        """Deletes a person, the card, and what was written down of them at clicks. Raises PERSON_NOT_FOUND.

        Follow-ups and service requests stay, since they are the colleagues'.
        """

        def work(connection: Connection) -> None:
            # The person first: clicks hold it while they change its card, and what they wrote is seen once they are through.
            if not connection.execute(delete(_person).where(_person.c.id == person_id)).rowcount:
                raise _not_found(person_id)
            statements, recipient = Statements(connection), person_recipient(person_id)
            unname_events(statements, recipient)
            for table in (_extra_field, _membership):
                connection.execute(delete(table).where(table.c.person_id == person_id))
            forget_words_of(statements, recipient)

        self._database.write(work)

    def missing(self, references: Collection[tuple[Catalog, int]]) -> set[tuple[Catalog, int]]:
        """Those of the references that do not exist."""
        return set(references) - self._database.read(lambda connection: existing(connection, references))

    def apply(self, actions: Sequence[CrmAction], now: datetime) -> list[CrmResult]:
        """What became of each action, in order: applied once by its key, wholly or not at all."""
        return apply_actions(self._database, actions, now)


def cards(connection: Connection, person_ids: Collection[int]) -> dict[int, Person]:
    """The cards of these persons, those whom the embedded CRM knows, by id."""
    rows = connection.execute(select(_person).where(_person.c.id.in_(set(person_ids) - {0}))).all()
    return {person.id: person for person in _cards(connection, rows)}


def _insert(connection: Connection, draft: Person) -> int:
    _check_references(connection, draft)
    values = {
        "name": draft.name,
        "email": draft.email,
        "email_key": address_key(draft.email) if draft.email else None,  # any number of persons may have no address
        "our_contact_id": draft.our_contact_id,
    }
    try:
        person_id = int(connection.execute(insert(_person).values(**values).returning(_person.c.id)).scalar_one())
    except IntegrityError as error:
        if violates(error, "crm_person_email", "crm_person.email_key"):
            raise DomainError(Reason.person_email_taken, "another person has this e-mail address") from None
        raise
    entry_ids = sorted({reference.id for field in _LISTS.values() for reference in getattr(draft, field)})
    if entry_ids:
        connection.execute(insert(_membership), [{"entry_id": entry_id, "person_id": person_id} for entry_id in entry_ids])
    fields = [{"person_id": person_id, "field": field, "value": value} for field, value in draft.extra_fields.items() if value]
    if fields:
        connection.execute(insert(_extra_field), fields)
    return person_id


def _check_references(connection: Connection, draft: Person) -> None:
    """Raises REFERENCE_NOT_FOUND with the path of every id that is not there; those that are stay until the transaction ends."""
    named = dict(_references(draft))
    found = existing(connection, set(named.values()), locked=True)
    violations = [
        Violation(path, f"the CRM has no {catalog.value} {entry_id}")
        for path, (catalog, entry_id) in named.items()
        if (catalog, entry_id) not in found
    ]
    if violations:
        raise DomainError(Reason.reference_not_found, f"{violations[0].field}: {violations[0].description}", violations)


def _references(draft: Person) -> Iterator[tuple[str, tuple[Catalog, int]]]:
    if draft.our_contact_id:
        yield "person.our_contact_id", (Catalog.user, draft.our_contact_id)
    for catalog, field in _LISTS.items():
        for index, reference in enumerate(getattr(draft, field)):
            yield f"person.{field}[{index}].id", (catalog, reference.id)


def _by_id(connection: Connection, person_id: int) -> Person:
    cards = _cards(connection, connection.execute(select(_person).where(_person.c.id == person_id)).all())
    if not cards:
        raise _not_found(person_id)
    return cards[0]


def _cards(connection: Connection, rows: Sequence[Any]) -> list[Person]:
    """The cards of these rows, in their order: two statements, however many there are."""
    ids = [row.id for row in rows]
    lists: dict[tuple[int, str], list[NamedReference]] = defaultdict(list)
    fields: dict[int, dict[str, str]] = defaultdict(dict)
    if ids:
        entries = select(_membership.c.person_id, _entry).join_from(_membership, _entry, _entry.c.id == _membership.c.entry_id)
        for row in connection.execute(entries.where(_membership.c.person_id.in_(ids)).order_by(_entry.c.id)):
            lists[row.person_id, row.catalog].append(NamedReference.model_construct(id=row.id, name=row.name))
        for row in connection.execute(select(_extra_field).where(_extra_field.c.person_id.in_(ids)).order_by(_extra_field.c.field)):
            fields[row.person_id][row.field] = row.value
    return [
        Person.model_construct(
            id=row.id,
            name=row.name,
            email=row.email,
            our_contact_id=row.our_contact_id,
            extra_fields=fields[row.id],
            interests=lists[row.id, Catalog.interest],
            selections=lists[row.id, Catalog.selection],
            projects=lists[row.id, Catalog.project],
        )
        for row in rows
    ]


def _not_found(person_id: int) -> DomainError:
    return DomainError(Reason.person_not_found, f"there is no person {person_id}", id=person_id)
