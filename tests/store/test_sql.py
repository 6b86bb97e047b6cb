"""Statements keyed by many values: each row comes once however many keys there are, and none reads a whole table."""

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, insert
from sqlalchemy.exc import IntegrityError

from server.house import now
from server.model.action import LinkAction
from server.model.crm import Catalog
from server.model.link import Form, Redirect
from server.model.recorded_click import RecordedClick
from server.store.click_tables import clicker
from server.store.crm_tables import EntryRow
from server.store.database import Database
from server.store.recording import Recorder
from server.store.sql import MOST_KEYS, Asked, Insert, Statements
from server.store.tables import table_of
from tests.store.test_recording import KINDS, Setup, add_person, named, recorded
from tests.support.postgres import rows_read_whole

NUMBERS = [1, 2, 3, 4, 5, 31, 32, 33, MOST_KEYS - 1, MOST_KEYS, MOST_KEYS + 1, 3 * MOST_KEYS + 5]


@pytest.mark.parametrize("number", NUMBERS)
def test_each_row_comes_once_for_any_number_of_keys(database: Database, number: int) -> None:
    rows = [{"link_id": n, "generation": 0, "recipient": 2 * n, "mailing_id": 0, "clicks": 1, "first_time": 1, "last_time": 1}
            for n in range(1, 1001)]  # fmt: skip
    database.write(lambda connection: connection.execute(insert(clicker), rows))
    wanted = list(range(1, number + 1))
    pairs = [(n, 2 * n) for n in wanted]

    def ask(statements: Statements) -> None:
        one = statements.matching("SELECT link_id FROM clicker WHERE link_id IN", wanted)
        assert sorted(row.link_id for row in one) == wanted
        two = statements.matching("SELECT link_id, recipient FROM clicker WHERE (link_id, recipient) IN", [*pairs, (1, 7), (7000, 2)])
        assert sorted(tuple(row) for row in two) == pairs
        present = "SELECT link_id, recipient FROM clicker WHERE (link_id, recipient) IN"
        whose = Asked(["link", "who"], "SELECT link, who, (SELECT clicks FROM clicker WHERE link_id = link AND recipient = who) FROM asked")
        assert sorted(map(tuple, statements.of_each(whose, [*pairs, (1, 7)])), key=str) == sorted(
            [*((*pair, 1) for pair in pairs), (1, 7, None)], key=str
        )
        asked: list[tuple[str, list[Any], str]] = [
            (present, pairs, ""),
            ("SELECT link_id FROM clicker WHERE link_id IN", wanted, ""),
            (present, [], ""),
        ]
        assert [len(rows) for rows in statements.matching_each(asked)] == [number, number, 0]
        ordered = statements.matching("SELECT link_id FROM clicker WHERE link_id IN", wanted[:MOST_KEYS], " ORDER BY link_id DESC")
        assert [row.link_id for row in ordered] == wanted[:MOST_KEYS][::-1]

    database.read(lambda connection: ask(Statements(connection)))


def test_no_keys_ask_nothing_and_a_key_that_stands_twice_is_one(database: Database) -> None:
    database.write(lambda connection: Statements(connection).insert(_INTO, [(1, "a", "x"), (1, "b", "x"), (2, "a", "x")]))

    def ask(statements: Statements) -> None:
        assert list(statements.matching("SELECT no such thing IN", [])) == []
        rows = statements.matching("SELECT field FROM crm_extra_field WHERE (person_id, field) IN", [(1, "a"), (2, "a"), (1, "a")])
        assert [row.field for row in rows] == ["a", "a"]

    database.read(lambda connection: ask(Statements(connection)))


def test_what_a_driver_refuses_is_sqlalchemys_error_and_leaves_nothing(database: Database) -> None:
    def write(statements: Statements) -> None:
        with statements.together():
            statements.insert(_INTO, [(1, "a", "x"), (2, "b", "x")])
            statements.insert(_INTO, [(3, "c", "x"), (1, "a", "x")])

    with pytest.raises(IntegrityError):
        database.write(lambda connection: write(Statements(connection)))
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM crm_extra_field").scalar_one()) == 0


def with_many_actions(database: Database, people: Iterable[int]) -> Setup:
    """A link whose actions read and write every table that a click reaches, and these people."""
    database.write(lambda connection: connection.execute(insert(table_of(EntryRow)), [named(Catalog.interest, 1)]))
    kinds = [
        KINDS["set_field"].model_validate({"field": "f", "value": "{{recipient.name}}"}),
        KINDS["interests"].model_validate({"add": [1]}),
        KINDS["follow_up"].model_validate({"type": "task", "assign_to_our_contact": True}),
        KINDS["service_request"].model_validate({"title": "Call"}),
    ]
    for person_id in people:
        add_person(database, person_id)
    return Setup(database, *(LinkAction(kind=kind) for kind in kinds))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_statement_of_a_batch_reads_a_whole_table(database: Database) -> None:
    """Else a click would cost more with every click before it. A look-up by two tuples or more did (SQLite 3.40)."""
    setup = with_many_actions(database, range(1, 4))
    heard: list[str] = []
    event.listen(database.engine, "checkout", lambda driver, *_: driver.set_trace_callback(heard.append))
    recorder = Recorder(database, now)
    responses: list[Redirect | Form] = [Redirect(url="https://example.com/"), Redirect(url="https://example.com/{{shop}}"),
                 Form(url="https://example.com/?name={{recipient.name}}&age={{field.age}}")]  # fmt: skip
    for response in responses:
        setup.answer_by(response)
        clicks = [setup.click(person_id, link) for person_id in (1, 2, 3) for link in (0, 1)]
        recorded(recorder, clicks)
        assert all(result.duplicate for result in recorded(recorder, clicks))
    event.listen(database.engine, "checkout", lambda driver, *_: driver.set_trace_callback(None))
    assert len({statement for statement in heard if "FROM kept" in statement or "FROM crm_extra_field" in statement}) >= 2
    for statement in {each for each in heard if each.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))}:
        plan = database.read(lambda connection, each=statement: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}").all())  # type: ignore[misc]
        scans = [step.detail for step in plan if step.detail.startswith("SCAN") and "CONSTANT ROW" not in step.detail]
        assert not scans, statement


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_table_is_read_whole_by_a_plan_from_when_it_was_small(database_url: str) -> None:
    """A few early clicks, statistics of their tables, and then a newsletter."""
    with closing(Database(database_url)) as database:
        setup = with_many_actions(database, range(1, 301))
        recorded(Recorder(database, now), [setup.click(1), setup.click(2)])
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    before = rows_read_whole(database_url)
    with closing(Database(database_url)) as database:
        recorder = Recorder(database, now)
        early = [[1, 2]] * 40  # the driver prepares what comes often, and PostgreSQL keeps its plan
        for people in [*early, range(3, 101), range(101, 201), range(201, 301)]:
            clicks = [setup.click(person_id, person_id % 2) for person_id in people]
            results = database.submit(lambda clicks=clicks: recorder.record(clicks)).result()  # type: ignore[misc]
            assert all(isinstance(result, RecordedClick) for result in results)
    after = rows_read_whole(database_url)
    assert {table: rows - before[table] for table, rows in after.items() if rows != before[table]} == {}


_INTO = Insert("crm_extra_field", {"person_id": "bigint", "field": "text", "value": "text"})
