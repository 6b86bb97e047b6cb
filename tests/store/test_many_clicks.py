"""Lists of clicks and action runs: newest first over many placements, page by page, by an index however many clicks there are."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, select

from server.house import now
from server.model.action import ActionState, LinkAction
from server.model.click import SeenClick, Verdict, click_text
from server.model.ids import NOBODY, person_recipient
from server.model.mailing import Mailing, MessagePart
from server.store import click_tables, newest_clicks, resets
from server.store.action_run_list import ActionRunStore
from server.store.clickers import ClickerStore
from server.store.database import Database
from server.store.messages import MessageStore, StoredMessage, Use
from server.store.recording import Recorder
from tests.store.test_recording import KINDS, NO_ID, NOW, Setup
from tests.support.databases import on_one_database

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
    one = every(partial(store.page, setup.one.id, 0, 2, ActionState.skipped), 2)
    assert {each.recipient for each in one} <= {person_recipient(2)}


@on_one_database
def test_no_list_reads_more_clicks_than_it_shows(database: Database) -> None:
    setup = Setup(database, LinkAction(kind=KINDS["set_field"].model_validate({"field": "f", "value": "x"})))
    clicked(database, setup, 10)
    heard: list[str] = []
    event.listen(database.engine, "checkout", lambda driver, *_: driver.set_trace_callback(heard.append))
    for link_id, mailing_id in ((setup.one.id, 0), (0, setup.mailing.id), (setup.one.id, setup.mailing.id)):
        ClickerStore(database).clicks(link_id, mailing_id, None, None, 5)
        ActionRunStore(database).page(link_id, mailing_id, 0, None, None, 5)
    event.listen(database.engine, "checkout", lambda driver, *_: driver.set_trace_callback(None))
    asked = {each for each in heard if "FROM click" in each}
    assert asked
    for statement in asked:
        plan = database.read(lambda connection, each=statement: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}").all())  # type: ignore[misc]
        steps = [step.detail for step in plan]
        assert not [step for step in steps if step.startswith("SCAN")], steps
        if "LIMIT" in statement:
            assert "SEARCH click USING" in steps[0], steps
            assert not [step for step in steps if "TEMP B-TREE" in step], steps


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
