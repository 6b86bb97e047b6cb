"""The embedded CRM in the database: what holds when several come at once, and how many statements a page costs."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, event, func, insert, select

from server.model.crm import Catalog, CatalogEntry, NamedReference, Person
from server.model.errors import DomainError, Reason
from server.store.crm import CrmStore
from server.store.crm_entries import EntryStore
from server.store.crm_tables import EntryRow, ExtraFieldRow, MembershipRow, PersonRow
from server.store.database import Database
from server.store.requests import RequestId
from server.store.tables import table_of

T = TypeVar("T")

NO_REQUEST = RequestId("", b"", datetime(2026, 1, 1, tzinfo=UTC))


def at_once(*calls: Callable[[], T]) -> list[T | DomainError]:
    """What calls return or raise when all of them begin together."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | DomainError:
        barrier.wait()
        try:
            return call()
        except DomainError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def count(database: Database, row: Any) -> int:
    return database.read(lambda connection: connection.execute(select(func.count()).select_from(table_of(row))).scalar_one())


def entry(database: Database, catalog: Catalog, name: str) -> int:
    return EntryStore(database).create(CatalogEntry(catalog=catalog, name=name), NO_REQUEST).id


def test_of_persons_with_one_address_made_at_once_one_is_made_and_the_others_are_told(database: Database) -> None:
    store = CrmStore(database)
    drafts = [Person(name=f"Person {number}", email=f"{'Ola' if number % 2 else 'OLA'}@example.com") for number in range(8)]
    results = at_once(*(partial(store.create_person, draft, NO_REQUEST) for draft in drafts))
    refused = [result for result in results if isinstance(result, DomainError)]
    assert [error.reason for error in refused] == [Reason.person_email_taken] * 7
    assert count(database, PersonRow) == 1


def test_of_entries_with_one_name_made_at_once_one_is_made_and_the_others_are_told(database: Database) -> None:
    store = EntryStore(database)
    drafts = [CatalogEntry(catalog=Catalog.interest, name=name) for name in ("Ål", "ål", "ÅL", "åL") * 2]
    results = at_once(*(partial(store.create, draft, NO_REQUEST) for draft in drafts))
    refused = [result for result in results if isinstance(result, DomainError)]
    assert [error.reason for error in refused] == [Reason.entry_name_taken] * 7
    assert count(database, EntryRow) == 1


def test_one_request_sent_several_times_at_once_makes_one_person(database: Database) -> None:
    store = CrmStore(database)
    request = RequestId(str(uuid.uuid4()), b"the same", datetime(2026, 1, 1, tzinfo=UTC))
    draft = Person(name="Ola", email="ola@example.com")
    results = at_once(*[partial(store.create_person, draft, request)] * 8)
    assert len({result.id if isinstance(result, Person) else result.reason for result in results}) == 1
    assert count(database, PersonRow) == 1


def test_a_person_made_while_its_entries_are_deleted_has_them_all_or_is_refused_and_no_membership_dangles(database: Database) -> None:
    store, entries = CrmStore(database), EntryStore(database)
    for number in range(20):
        interest, user = entry(database, Catalog.interest, f"Interest {number}"), entry(database, Catalog.user, f"User {number}")
        draft = Person(name="Ola", our_contact_id=user, interests=[NamedReference(id=interest, name="")])
        deletes = [partial(entries.delete, entry_id) for entry_id in (interest, user)]
        result, *_ = at_once(partial(store.create_person, draft, NO_REQUEST), *deletes)
        assert result is not None
        if isinstance(result, DomainError):
            assert result.reason is Reason.reference_not_found
        else:
            assert result.interests[0].id == interest
            assert store.person(result.id).our_contact_id == 0
    assert count(database, MembershipRow) == 0


def test_a_deleted_person_leaves_no_membership_and_no_field(database: Database) -> None:
    interest = NamedReference(id=entry(database, Catalog.interest, "Skiing"), name="")
    store = CrmStore(database)
    gone, _ = [store.create_person(Person(name="Ola", extra_fields={"a": "b"}, interests=[interest]), NO_REQUEST) for _ in range(2)]
    store.delete_person(gone.id)
    assert (count(database, MembershipRow), count(database, ExtraFieldRow)) == (1, 1)


def test_a_page_of_a_thousand_persons_with_whole_cards_costs_as_many_statements_as_one_of_ten(database: Database) -> None:
    interest, project = entry(database, Catalog.interest, "Skiing"), entry(database, Catalog.project, "Spring")

    def fill(connection: Connection) -> None:
        numbers = range(1, 1101)
        persons = [{"id": n, "name": f"Person {n}", "email": "", "email_key": None, "our_contact_id": 0} for n in numbers]
        connection.execute(insert(table_of(PersonRow)), persons)
        memberships = [{"entry_id": entry_id, "person_id": n} for n in numbers for entry_id in (interest, project)]
        connection.execute(insert(table_of(MembershipRow)), memberships)
        connection.execute(insert(table_of(ExtraFieldRow)), [{"person_id": n, "field": "number", "value": str(n)} for n in numbers])

    database.write(fill)
    store = CrmStore(database)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

    def cost(ask: Callable[[], T]) -> tuple[T, int]:
        statements.clear()
        return ask(), len(statements)

    (page, dear), (small, cheap) = cost(lambda: store.page_of_persons(0, None, 1000)), cost(lambda: store.page_of_persons(0, None, 10))
    assert dear == cheap
    assert (len(page.items), page.next_key, len(small.items)) == (1000, (1000,), 10)
    assert all([found.id for found in (*person.interests, *person.projects)] == [interest, project] for person in page.items)
    assert [person.extra_fields for person in page.items] == [{"number": str(n)} for n in range(1, 1001)]
    members, dear = cost(lambda: store.page_of_persons(project, (100,), 1000))
    assert (dear, members.items[0].id, members.items[-1].id, members.next_key) == (cheap, 101, 1100, None)
    (found, missing), dear = cost(lambda: store.persons(range(1200, 200, -1)))
    assert (dear, found[0].id, len(found), len(missing)) == (cheap, 1100, 900, 100)


def test_more_references_than_a_statement_takes_parameters_can_be_asked_for(database: Database) -> None:
    known = (Catalog.interest, entry(database, Catalog.interest, "Skiing"))
    asked = {(Catalog.interest, known[1] + number) for number in range(70_000)}
    assert CrmStore(database).missing(asked) == asked - {known}
    assert CrmStore(database).missing([(Catalog.project, known[1])]) == {(Catalog.project, known[1])}
    assert CrmStore(database).missing([]) == set()
