"""Lists of clicks and action runs: newest first over many placements, page by page, by an index however many clicks there are."""

import random
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Connection, event, select

from server.house import now
from server.model.action import ActionState, LinkAction
from server.model.click import SeenClick, Verdict, click_text
from server.model.ids import NOBODY, person_of, person_recipient
from server.model.mailing import Mailing, MessagePart
from server.model.recorded_click import RecordedClick
from server.store import action_run_list, click_tables, newest_clicks, resets
from server.store.action_run_list import ActionRunStore
from server.store.added_clickers import AddedClickerStore
from server.store.clickers import ClickerStore
from server.store.database import Database
from server.store.messages import MessageStore, StoredMessage, Use
from server.store.pages import Page
from server.store.recording import Recorder
from server.store.sql import Statements
from tests.store.test_recording import KINDS, NO_ID, NOW, Setup
from tests.support.databases import cost_of, on_one_database
from tests.support.ids import now as milliseconds_now
from tests.support.ids import uuid7_at
from tests.support.postgres import rows_read

PAGES = (1, 3, 7, 1000)


def clicked(database: Database, setup: Setup, count: int) -> list[SeenClick]:
    """Clicks by few persons on two links, in two mailings with several placements of each."""
    other = setup.mailings.create(Mailing(name="Other", create_time=NOW, update_time=NOW), NO_ID)
    uses = [Use(MessagePart.html, number, number + 1, "x", link.id) for number, link in enumerate([setup.one, setup.two] * 3)]
    placements = [
        *setup.placements,
        *MessageStore(database).track(other.id, StoredMessage("utf-8", b"x" * 9, b"", []), uses, 0, NOW).placements,
    ]
    chance = random.Random(5)
    clicks = []
    for _ in range(count):
        click = setup.click(chance.randint(1, 4), method=chance.choice(["GET", "GET", "HEAD"]))
        click.placement_id = chance.choice(placements).id
        clicks.append(click)
    assert all(not isinstance(result, Exception) for result in Recorder(database, now).record(clicks))
    setup.placements = placements
    return clicks


def every(page: Callable[..., Any], size: int) -> list[Any]:
    found: list[Any] = []
    after = None
    while True:
        some = page(after, size)
        assert len(some.items) <= size
        found += some.items
        after = some.next_key
        if after is None:
            return found


def wanted(setup: Setup, clicks: Sequence[SeenClick], link_id: int, mailing_id: int) -> list[SeenClick]:
    places = {each.id for each in setup.placements if link_id in (0, each.link_id) and mailing_id in (0, each.mailing_id)}
    return sorted((click for click in clicks if click.placement_id in places), key=lambda click: click.id, reverse=True)


@pytest.mark.parametrize("places_at_once", [1, 2, 100])
def test_pages_are_the_newest_clicks_of_all_placements_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch, places_at_once: int
) -> None:
    monkeypatch.setattr(newest_clicks, "PLACES_AT_ONCE", places_at_once)
    setup = Setup(database)
    clicks = clicked(database, setup, 40)
    store = ClickerStore(database)
    mailings = {each.mailing_id for each in setup.placements}
    for link_id, mailing_id in [(setup.one.id, 0), *((0, each) for each in mailings), *((setup.two.id, each) for each in mailings)]:
        expected = wanted(setup, clicks, link_id, mailing_id)
        assert expected
        for size in PAGES:
            for verdict in (None, Verdict.human, Verdict.prefetch):
                found = every(partial(store.clicks, link_id, mailing_id, verdict), size)
                assert [each.id for each in found] == [click_text(each.id) for each in expected if verdict in (None, each.verdict)]


def test_pages_of_runs_end_in_the_midst_of_a_click_and_go_on_there(database: Database) -> None:
    setup = Setup(
        database, *(LinkAction(kind=KINDS["set_field"].model_validate({"field": f"f{number}", "value": "x"})) for number in range(3))
    )
    clicks = clicked(database, setup, 30)
    store = ActionRunStore(database)
    acting = [each for each in wanted(setup, clicks, setup.one.id, 0) if each.verdict is Verdict.human]
    expected = [(click_text(each.id), position) for each in acting for position in (2, 1, 0)]
    for size in PAGES:
        found = every(partial(store.page, setup.one.id, 0, 0, None), size)
        assert [(each.click_id, each.position) for each in found] == expected


@pytest.mark.parametrize("few_clicks", [0, action_run_list.FEW_CLICKS])
@pytest.mark.parametrize("size", [2, 1000])
def test_runs_of_a_state_or_a_person_are_those_of_the_others_left_out(
    database: Database, monkeypatch: pytest.MonkeyPatch, size: int, few_clicks: int
) -> None:
    monkeypatch.setattr(action_run_list, "FEW_CLICKS", few_clicks)
    setup = Setup(
        database, *(LinkAction(kind=KINDS["set_field"].model_validate({"field": f"f{number}", "value": "x"})) for number in range(2))
    )
    clicked(database, setup, 20)
    setup.links.reset(setup.one.id, "", NO_ID, now())
    clicks = clicked(database, setup, 40)
    chance = random.Random(7)
    states = {(click.id, position): chance.choice(list(ActionState)) for click in clicks for position in (0, 1)}

    def set_states(connection: Connection) -> None:
        statements = Statements(connection)
        rows = [(int(state), statements.click_id(click_id), position) for (click_id, position), state in states.items()]
        statements.each("UPDATE action_run SET state = ? WHERE click_id = ? AND position = ?", rows)

    database.write(set_states)
    store = ActionRunStore(database)
    found_some = set()
    acts = {each.id for each in setup.placements if each.link_id == setup.one.id}
    first, *_, last = (each.mailing_id for each in setup.placements)
    for link_id, mailing_id in [(setup.one.id, 0), (0, first), (setup.one.id, last), (setup.two.id, 0)]:
        of_these = wanted(setup, clicks, link_id, mailing_id)
        acting = [click for click in of_these if click.verdict is Verdict.human and click.placement_id in acts]
        for person_id in (0, 1, 2, 99):
            for state in (None, *ActionState):
                found = every(partial(store.page, link_id, mailing_id, person_id, state), size)
                assert [(each.click_id, each.position) for each in found] == [
                    (click_text(click.id), position)
                    for click in acting
                    for position in (1, 0)
                    if state in (None, states[click.id, position]) and person_id in (0, person_of(click.recipient))
                ]
                found_some |= {(person_id, state)} if found else set()
    assert len(found_some) >= 3 * 7 - 2


@on_one_database
def test_no_list_reads_more_clicks_than_it_shows(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action_run_list, "FEW_CLICKS", 0)
    setup = Setup(database, LinkAction(kind=KINDS["set_field"].model_validate({"field": "f", "value": "x"})))
    clicked(database, setup, 10)
    heard: list[str] = []
    event.listen(database.engine, "checkout", lambda driver, *_: driver.set_trace_callback(heard.append))
    for link_id, mailing_id in ((setup.one.id, 0), (0, setup.mailing.id), (setup.one.id, setup.mailing.id)):
        for verdict in (None, *Verdict):
            ClickerStore(database).clicks(link_id, mailing_id, verdict, None, 5)
        for state in (None, *ActionState):
            for person_id in (0, 1):
                ActionRunStore(database).page(link_id, mailing_id, person_id, state, None, 5)
    event.listen(database.engine, "checkout", lambda driver, *_: driver.set_trace_callback(None))
    asked = {each for each in heard if "FROM click" in each or "FROM action_run" in each}
    indexes = set()
    for statement in asked:
        plan = database.read(lambda connection, each=statement: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}").all())  # type: ignore[misc]
        steps = [step.detail for step in plan]
        assert not [step for step in steps if step.startswith("SCAN") and "subquery" not in step and "CONSTANT ROW" not in step], steps
        if "LIMIT" in statement and " IN (" not in statement:  # those that a page shows are put in order by themselves
            assert not [step for step in steps if "TEMP B-TREE" in step], steps
            indexes.add(steps[0].split(" USING ")[1].partition(" (")[0])
    assert {each.split()[-1] for each in indexes} == {"click_of_placement", "suspected_click", "unfinished_run", "KEY"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_list_reads_more_on_postgresql_than_it_shows(database_url: str) -> None:
    """2,000 clicks by as many persons, and pages of five."""
    with closing(Database(database_url)) as database:
        setup = Setup(database, LinkAction(kind=KINDS["set_field"].model_validate({"field": "f", "value": "x"})))
        clicks = [setup.click(person_id) for person_id in range(1, 2001)]
        for number, click in enumerate(clicks):  # each in a millisecond of its own
            click.id = UUID(uuid7_at(milliseconds_now() - 10_000 + number)).bytes
        assert all(isinstance(result, RecordedClick) for result in Recorder(database, now).record(clicks))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE action_run SET state = 3 WHERE click_id IN (SELECT click_id FROM action_run ORDER BY click_id LIMIT 5)")
        connection.execute("VACUUM ANALYZE")
    one, of = setup.one.id, setup.mailing.id
    pages: list[Callable[[Database], Page[Any]]] = [
        lambda database: ClickerStore(database).clickers(one, 0, None, 5),
        lambda database: ClickerStore(database).clickers(one, 0, (person_recipient(1500), of), 5),
        lambda database: ClickerStore(database).clickers(0, of, None, 5),
        lambda database: ClickerStore(database).clickers(one, of, None, 5),
        lambda database: ClickerStore(database).clicks(one, 0, None, None, 5),
        lambda database: ClickerStore(database).clicks(0, of, Verdict.prefetch, None, 5),
        lambda database: ActionRunStore(database).page(one, 0, 0, None, None, 5),
        lambda database: ActionRunStore(database).page(0, of, 0, ActionState.failed, None, 5),
        lambda database: ActionRunStore(database).page(0, of, 0, ActionState.dead, None, 5),
        lambda database: ActionRunStore(database).page(0, of, 1000, None, None, 5),
        lambda database: Page(AddedClickerStore(database).recipients(one, 0, person_recipient(1500), 5)),
    ]
    for number, page in enumerate(pages):
        before = rows_read(database_url)
        with closing(Database(database_url)) as database:
            assert len(page(database).items) == {5: 0, 8: 0, 9: 1}.get(number, 5)
        assert rows_read(database_url) - before < 100, number


@on_one_database
@pytest.mark.parametrize("places_at_once", [1, 100])
def test_a_later_page_costs_what_the_first_does(database_url: str, monkeypatch: pytest.MonkeyPatch, places_at_once: int) -> None:
    """SQLite seeks by the first bound of a side that a statement gives, and reads from there."""
    monkeypatch.setattr(newest_clicks, "PLACES_AT_ONCE", places_at_once)
    with closing(Database(database_url)) as database:
        setup = Setup(database, LinkAction(kind=KINDS["set_field"].model_validate({"field": "f", "value": "x"})))
        oldest = sorted(click.id for click in clicked(database, setup, 1500))
    of = setup.placements[-1].mailing_id
    clicks = [cost_of(database_url, lambda database, key=key: ClickerStore(database).clicks(0, of, None, key, 5))  # type: ignore[misc]
              for key in (None, (oldest[100],))]  # fmt: skip
    runs = [cost_of(database_url, lambda database, key=key: ActionRunStore(database).page(setup.one.id, 0, 0, None, key, 5))  # type: ignore[misc]
            for key in (None, (oldest[100], 0))]  # fmt: skip
    assert clicks[1] < 1.5 * clicks[0]
    assert runs[1] < 1.5 * runs[0]


def test_a_sweep_in_slices_strips_identity_from_every_click_of_every_placement(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resets, "SLICE", 3)
    setup = Setup(database)
    clicks = clicked(database, setup, 40)
    setup.links.reset(setup.one.id, "", NO_ID, NOW)
    Recorder(database, now).record([setup.click(1, link=0), setup.click(2, link=1)])
    while setup.resets.sweep():
        pass
    table = click_tables.click
    of = {
        row.id: row.recipient for row in database.read(lambda connection: connection.execute(select(table.c.id, table.c.recipient)).all())
    }
    stripped = {click.id for click in wanted(setup, clicks, setup.one.id, 0)}
    assert {click.id for click in clicks} < set(of)
    assert {click_id for click_id, recipient in of.items() if recipient == NOBODY} == stripped
