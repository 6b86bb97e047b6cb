"""Effects that callers have applied in the embedded CRM: what they cost, what one bad value harms, and how long keys are remembered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from server.model.crm import Catalog, CatalogEntry, Person
from server.model.crm_actions import NOT_TAKEN, EffectsOutcome
from server.store.crm import CrmStore
from server.store.crm_apply import KEPT, MOST_REMOVED
from server.store.crm_entries import EntryStore
from server.store.database import Database
from server.store.outbox_tables import crm_applied
from server.store.requests import RequestId
from server.store.types import to_microseconds
from tests.support.effects import action, follow_up, join, outcomes_of, service_request, set_field
from tests.support.statements import listen

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
NO_REQUEST = RequestId("", b"", NOW)
APPLIED = ("applied", "")


def person(database: Database, name: str = "Ola") -> int:
    return CrmStore(database).create_person(Person(name=name), NO_REQUEST).id


def entry(database: Database, catalog: Catalog, name: str) -> int:
    return EntryStore(database).create(CatalogEntry(catalog=catalog, name=name), NO_REQUEST).id


def count(database: Database, table: Any) -> int:
    return database.read(lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_fifty_actions_cost_as_many_statements_as_one(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    user, selection = entry(database, Catalog.user, "Liv"), entry(database, Catalog.selection, "Tour")
    people = [person(database, f"Person {number}") for number in range(50)]
    store = CrmStore(database)
    statements = listen(monkeypatch)

    def cost(some: list[int], round_number: int) -> int:
        statements.clear()
        actions = [
            action(
                f"{round_number}-{person_id}",
                person_id,
                set_field(person_id, "a", "b"),
                join(person_id, Catalog.selection, selection),
                follow_up(person_id, user),
                service_request(person_id),
            )
            for person_id in some
        ]
        assert outcomes_of(store.apply(actions, NOW)) == [APPLIED] * len(some)
        return len(statements)

    assert cost(people[:1], 1) == cost(people, 2) >= 8


@pytest.mark.parametrize("value", ["\ud800", "\0"])
def test_a_value_that_the_database_refuses_harms_its_own_action_only(database: Database, value: str) -> None:
    store, person_id = CrmStore(database), person(database)
    actions = [action(f"key-{number}", person_id, set_field(person_id, f"field-{number}", "fine")) for number in range(9)]
    actions[6] = action("key-6", person_id, set_field(person_id, "before", "x"), set_field(person_id, "field-6", value))
    taken = database.is_sqlite and value == "\0"  # which SQLite stores
    results = outcomes_of(store.apply(actions, NOW))
    assert results == [APPLIED] * 6 + [APPLIED if taken else ("refused", NOT_TAKEN)] + [APPLIED] * 2
    if not taken:
        assert store.person(person_id).extra_fields == {f"field-{number}": "fine" for number in range(9) if number != 6}
    assert [result.outcome for result in store.apply(actions[:6], NOW)] == [EffectsOutcome.applied] * 6
    assert count(database, crm_applied) == (9 if taken else 8)


def test_keys_older_than_30_days_go_a_thousand_at_a_time_and_younger_ones_stay(database: Database) -> None:
    store, person_id = CrmStore(database), person(database)
    old = [{"key": f"old-{number}", "time": to_microseconds(NOW - KEPT - timedelta(seconds=1))} for number in range(MOST_REMOVED + 5)]
    young = [{"key": "young", "time": to_microseconds(NOW - KEPT + timedelta(seconds=1))}]
    database.write(lambda connection: connection.execute(insert(crm_applied), old + young))
    store.apply([action("new-1", person_id)], NOW)
    assert count(database, crm_applied) == 5 + len(young) + 1
    store.apply([action("new-2", person_id), action("young", person_id, set_field(person_id, "young", "again"))], NOW)
    assert count(database, crm_applied) == len(young) + 2
    assert store.person(person_id).extra_fields == {"asked": "new-2"}
