"""The group commit: what one transaction does for many clicks, on each kind of database."""

import gc
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, update
from uuid_utils import uuid7

import server.actions
from server.house import now
from server.model.action import LinkAction
from server.model.click import Evidence, Prepared, SeenClick
from server.model.crm import Catalog, CatalogEntry, Person
from server.model.errors import DomainError, Reason
from server.model.ids import person_recipient
from server.model.link import CountedLink, Form, Link, Redirect
from server.model.mailing import GoogleAnalytics, Mailing, MessagePart
from server.model.recorded_click import RecordedClick
from server.model.script import Script, ScriptDecision
from server.store import click_tables
from server.store.clickers import ClickerStore
from server.store.crm_tables import EntryRow, PersonRow
from server.store.database import Database
from server.store.destinations import Destination
from server.store.links import LinkStore
from server.store.mailings import MailingStore
from server.store.messages import MessageStore, StoredMessage, Use
from server.store.recording import Recorder, Result
from server.store.requests import RequestId
from server.store.resets import ResetStore
from server.store.scripts import ScriptStore
from server.store.tables import table_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NO_ID = RequestId("", b"", NOW)
KINDS = server.actions.KINDS


class Setup:
    """A mailing with two links, and clicks on them."""

    def __init__(self, database: Database, *actions: LinkAction) -> None:
        self.database = database
        self.links = LinkStore(database)
        self.mailings = MailingStore(database)
        draft = Link.model_validate(
            {
                "name": "L",
                "response": {"tag": "redirect", "url": "https://example.com/"},
                "actions": actions,
                "create_time": NOW,
                "update_time": NOW,
            }
        )
        self.one, self.two = self.links.create([draft, draft.model_copy(update={"actions": []})], NO_ID)
        self.mailing = self.mailings.create(Mailing(name="M", create_time=NOW, update_time=NOW), NO_ID)
        uses = [Use(MessagePart.html, 0, 1, "trackedlink:1", self.one.id), Use(MessagePart.html, 2, 3, "trackedlink:2", self.two.id)]
        message = StoredMessage("utf-8", b"abcd", b"", [])
        self.placements = MessageStore(database).track(self.mailing.id, message, uses, 0, NOW).placements
        self.resets = ResetStore(database)

    def click(self, person_id: int, link: int = 0, method: str = "GET", **fields: Any) -> SeenClick:
        flags: dict[str, Any] = {"test": False, "do_not_track": False} | fields
        return SeenClick(uuid7().bytes, self.placements[link].id, person_recipient(person_id), evidence=Evidence(method=method), **flags)

    def answer_by(self, response: Redirect | Form) -> None:
        """Changes what the first link leads to, as another process would."""
        table = click_tables.metadata.tables["link"]
        changes = {"response": response, "revision": table.c.revision + 1}
        self.database.write(lambda connection: connection.execute(update(table).where(table.c.id == self.one.id).values(**changes)))

    def counts(self, link: CountedLink) -> tuple[int, int, int]:
        counts = self.links.get([link.id])[0].counts
        return counts.clicks, counts.clickers, counts.suspected

    def mailing_counts(self) -> tuple[int, int, int]:
        counts = self.mailings.get(self.mailing.id).counts
        return counts.clicks, counts.clickers, counts.suspected

    def total(self, column: str, table: str = "roll_up") -> int:
        of = click_tables.metadata.tables[table]
        return int(self.database.read(lambda connection: connection.execute(select(func.coalesce(func.sum(of.c[column]), 0))).scalar_one()))


def test_one_batch_and_one_click_at_a_time_count_alike(database: Database) -> None:
    setup = Setup(database)
    clicks = [setup.click(person_id % 5 + 1, link=person_id % 2, method="HEAD" if person_id % 7 == 0 else "GET") for person_id in range(60)]
    results = Recorder(database, now).record(clicks)
    assert all(isinstance(result, RecordedClick) and not result.duplicate for result in results)
    together = (
        setup.counts(setup.one),
        setup.counts(setup.two),
        setup.mailing_counts(),
        setup.total("clicks"),
        setup.total("first_clicks"),
    )
    assert together == ((25, 5, 5), (26, 5, 4), (51, 5, 9), 51, 10)
    other = Setup(database)
    recorder = Recorder(database, now)
    for seen in clicks:
        recorder.record([SeenClick(uuid7().bytes, other.placements[0 if seen.placement_id == setup.placements[0].id else 1].id,
                                   seen.recipient, False, False, seen.evidence)])  # fmt: skip
    assert (other.counts(other.one), other.counts(other.two), other.mailing_counts()) == together[:3]


def test_a_click_that_stands_twice_in_a_batch_or_comes_again_is_one(database: Database) -> None:
    setup = Setup(database)
    seen = setup.click(1)
    recorder = Recorder(database, now)
    assert [result.duplicate for result in recorded(recorder, [seen, seen])] == [False, True]
    assert [result.duplicate for result in recorded(Recorder(database, now), [seen])] == [True]
    assert setup.counts(setup.one) == (1, 1, 0)


def test_a_click_that_has_waited_is_not_held_up_by_itself_that_comes_again(database: Database) -> None:
    made = ScriptStore(database).create(Script(name="S", source="pass", create_time=NOW, update_time=NOW), NO_ID)
    setup = Setup(database, LinkAction(kind=KINDS["script"].model_validate({"script_id": made.id})))
    recorder = Recorder(database, now)
    seen = setup.click(1)
    assert recorder.record([seen, seen]) == recorder.record([seen]) * 2
    decided = {setup.one.actions[0].id: ScriptDecision(made.id, made.version, "https://example.org/")}
    for final in (False, True):
        again = setup.click(1)
        prepared = replace(again, prepared=Prepared(decided, final=final))
        answers = recorded(recorder, [again, prepared, again])
        assert [(result.answer.location, result.duplicate) for result in answers] == [
            ("https://example.org/", False),
            ("https://example.org/", True),
            ("https://example.org/", True),
        ]
    assert setup.counts(setup.one) == (2, 1, 0)


def test_a_click_without_identity_is_told_from_another_by_its_placement(database: Database) -> None:
    setup = Setup(database)
    recorder = Recorder(database, now)
    seen = setup.click(1)
    recorder.record([seen])
    by_another, elsewhere = replace(seen, recipient=person_recipient(2)), replace(seen, placement_id=setup.placements[1].id)
    assert reasons(recorder.record([by_another, elsewhere, seen])) == [Reason.click_id_reused, Reason.click_id_reused, None]
    setup.links.reset(setup.one.id, "", NO_ID, datetime.now(UTC))
    while setup.resets.sweep():
        pass
    assert reasons(recorder.record([elsewhere, seen, by_another])) == [Reason.click_id_reused, None, Reason.click_id_reused]
    (answer,) = recorded(recorder, [by_another])
    assert (answer.duplicate, answer.click.recipient) == (True, 0)
    assert setup.counts(setup.one) == setup.counts(setup.two) == (0, 0, 0)


def test_two_servers_that_record_the_same_people_at_once_count_each_clicker_once(database: Database) -> None:
    setup = Setup(database)
    people = range(1, 41)
    batches = [[setup.click(person_id, link=link) for person_id in people for link in (0, 1)] for _ in range(6)]
    errors: list[BaseException] = []

    def run(batch: Sequence[SeenClick]) -> None:
        recorder = Recorder(database, now)
        try:
            for start in range(0, len(batch), 8):
                recorder.record(batch[start : start + 8])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert (setup.counts(setup.one), setup.counts(setup.two), setup.mailing_counts()) == ((240, 40, 0), (240, 40, 0), (480, 40, 0))


def test_an_action_once_per_recipient_is_done_once_by_many_servers(database: Database) -> None:
    request = KINDS["service_request"].model_validate({"title": "Call"})
    setup = Setup(database, LinkAction(kind=request))
    add_person(database, 1)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            for _ in range(5):
                Recorder(database, now).record([setup.click(1)])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    made = database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM crm_service_request").scalar_one())
    assert (made, setup.counts(setup.one)) == (1, (20, 1, 0))


def test_a_click_whose_effects_the_database_refuses_is_counted_without_them_and_harms_no_other(database: Database) -> None:
    setup = Setup(database, LinkAction(kind=KINDS["set_field"].model_validate({"field": "f", "value": "v"})))
    add_person(database, 1)
    add_person(database, 2)
    forbid_person_two(database)
    results = recorded(Recorder(database, now), [setup.click(1), setup.click(2), setup.click(1, link=1)])
    assert [[outcome.state.name for outcome in result.click.actions] for result in results] == [["done"], ["failed"], []]
    assert (setup.counts(setup.one), setup.counts(setup.two)) == ((2, 2, 0), (1, 1, 0))
    fields = database.read(
        lambda connection: [tuple(row) for row in connection.exec_driver_sql("SELECT person_id, value FROM crm_extra_field")]
    )
    assert fields == [(1, "v")]


def test_a_click_that_cannot_be_stored_at_all_takes_no_other_with_it(database: Database) -> None:
    setup = Setup(database)
    forbid_clicker(database, person_recipient(2))
    clicks = [setup.click(person_id) for person_id in (1, 2, 3, 4)]
    results = Recorder(database, now).record(clicks)
    assert [isinstance(result, RecordedClick) for result in results] == [True, False, True, True]
    assert isinstance(results[1], DomainError)
    assert results[1].reason is Reason.defect
    assert setup.counts(setup.one) == (3, 3, 0)


def test_a_replayed_click_from_before_a_reset_runs_its_actions_and_is_not_counted(database: Database) -> None:
    setup = Setup(database, LinkAction(kind=KINDS["set_field"].model_validate({"field": "f", "value": "v"})))
    add_person(database, 1)
    seen = setup.click(1, replayed=True)
    setup.links.reset(setup.one.id, "", NO_ID, datetime.now(UTC) + timedelta(seconds=1))
    (result,) = recorded(Recorder(database, now), [seen])
    assert [outcome.state.name for outcome in result.click.actions] == ["done"]
    assert (setup.counts(setup.one), setup.mailing_counts()) == ((0, 0, 0), (0, 0, 0))
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT recipient FROM click").scalar_one()) == 0


def test_a_follow_up_that_nobody_would_get_fails_and_says_why(database: Database) -> None:
    follow_up = KINDS["follow_up"].model_validate({"type": "task", "assign_to_our_contact": True})
    setup = Setup(database, LinkAction(kind=follow_up))
    add_person(database, 1)
    (result,) = recorded(Recorder(database, now), [setup.click(1)])
    assert [(outcome.state.name, outcome.reason) for outcome in result.click.actions] == [
        ("failed", "The person has no our contact, and nobody else is named")
    ]
    assert count(database, "ledger") == count(database, "crm_follow_up") == 0


def test_a_reset_is_swept_until_nothing_says_who_clicked(database: Database) -> None:
    setup = Setup(database)
    recorder = Recorder(database, now)
    clicks = [setup.click(person_id) for person_id in range(1, 701)] + [setup.click(person_id, link=1) for person_id in (1, 2)]
    recorder.record(clicks)
    assert setup.mailing_counts() == (702, 700, 0)
    setup.links.reset(setup.one.id, "", NO_ID, datetime.now(UTC))
    assert setup.counts(setup.one) == (0, 0, 0)
    assert setup.mailing_counts()[0] == 2
    recorder.record([setup.click(3), setup.click(1)])
    while setup.resets.sweep():
        pass
    assert setup.counts(setup.one) == (2, 2, 0)
    assert setup.mailing_counts() == (4, 3, 0)
    assert setup.total("clicks") == 4
    assert setup.total("clicks", "clicker") == 4
    remaining = ClickerStore(database).clicks(setup.one.id, 0, None, None, 1000).items
    assert sorted(click.recipient for click in remaining) == [person_recipient(1), person_recipient(3)]
    identified = database.read(
        lambda connection: connection.exec_driver_sql("SELECT count(*) FROM click WHERE recipient <> 0").scalar_one()
    )
    assert identified == 4
    assert [result.duplicate for result in recorded(recorder, clicks[:3])] == [True] * 3


def test_a_test_is_stored_and_counts_nowhere(database: Database) -> None:
    setup = Setup(database, LinkAction(kind=KINDS["set_field"].model_validate({"field": "f", "value": "v"})))
    add_person(database, 1)
    results = recorded(Recorder(database, now), [setup.click(1, test=True), setup.click(1, test=True, method="HEAD")])
    assert [result.click.actions for result in results] == [[], []]
    assert (setup.counts(setup.one), setup.mailing_counts(), setup.total("clicks")) == ((0, 0, 0), (0, 0, 0), 0)
    assert len(ClickerStore(database).clicks(setup.one.id, 0, None, None, 10).items) == 2


def test_do_not_track_is_written_nowhere_and_runs_only_removals(database: Database) -> None:
    entry = table_of(EntryRow)
    database.write(lambda connection: connection.execute(insert(entry), [named(Catalog.interest, 1), named(Catalog.interest, 2)]))
    interests = KINDS["interests"].model_validate({"add": [1], "remove": [2]})
    setup = Setup(database, LinkAction(kind=interests), LinkAction(kind=KINDS["set_field"].model_validate({"field": "f", "value": "v"})))
    add_person(database, 1)
    database.write(lambda connection: connection.exec_driver_sql("INSERT INTO crm_membership (entry_id, person_id) VALUES (2, 1)"))
    (result,) = recorded(Recorder(database, now), [setup.click(1, do_not_track=True)])
    assert [outcome.state.name for outcome in result.click.actions] == ["done", "skipped"]
    assert setup.counts(setup.one) == (1, 0, 0)
    assert setup.total("clicks", "clicker") == 0
    for table in ("crm_membership", "crm_extra_field", "ledger"):
        assert count(database, table) == 0
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT recipient FROM click").scalar_one()) == 0


@pytest.mark.parametrize("change", ["link", "mailing"])
def test_a_change_made_by_another_process_is_seen_by_the_next_click(database: Database, change: str) -> None:
    setup = Setup(database)
    recorder = Recorder(database, now)
    recorder.record([setup.click(1)])
    if change == "link":
        table = click_tables.metadata.tables["link"]
        values = {"response": Redirect(url="https://example.com/new")}
        database.write(lambda connection: connection.execute(update(table).values(revision=table.c.revision + 1, **values)))
        expected = "https://example.com/new"
    else:
        analytics = GoogleAnalytics(source="s")
        table = click_tables.metadata.tables["mailing"]
        database.write(lambda connection: connection.execute(update(table).values(revision=2, google_analytics=analytics)))
        expected = "https://example.com/?utm_medium=email&utm_source=s"
    assert recorded(recorder, [setup.click(1)])[0].answer.location == expected


def count(database: Database, table: str) -> int:
    statement = f"SELECT count(*) FROM {table}"
    return int(database.read(lambda connection: connection.exec_driver_sql(statement).scalar_one()))


def recorded(recorder: Recorder, batch: Sequence[SeenClick]) -> list[RecordedClick]:
    results = recorder.record(batch)
    assert all(isinstance(result, RecordedClick) for result in results)
    return [result for result in results if isinstance(result, RecordedClick)]


def reasons(results: Sequence[Result]) -> list[Reason | None]:
    """Why each was refused; None for one that was not."""
    return [result.reason if isinstance(result, DomainError) else None for result in results]


def add_person(database: Database, person_id: int) -> None:
    values = Person(name=f"Person {person_id}").model_dump(include={"name", "email", "our_contact_id"}) | {
        "id": person_id,
        "email_key": None,
    }
    database.write(lambda connection: connection.execute(insert(table_of(PersonRow)).values(**values)))


def named(catalog: Catalog, entry_id: int) -> dict[str, object]:
    entry = CatalogEntry(catalog=catalog, name=f"{catalog.value} {entry_id}")
    return {"id": entry_id, "catalog": catalog.value, "name": entry.name, "name_key": entry.name}


def forbid_clicker(database: Database, recipient: int) -> None:
    """Makes the database refuse to store a clicker, as a damaged page or a full index might."""
    if database.is_sqlite:
        trigger = f"CREATE TRIGGER no BEFORE INSERT ON clicker WHEN NEW.recipient = {recipient} BEGIN SELECT RAISE(ABORT, 'no'); END"
    else:
        trigger = f"ALTER TABLE clicker ADD CONSTRAINT no CHECK (recipient <> {recipient})"
    database.write(lambda connection: connection.exec_driver_sql(trigger))


def forbid_person_two(database: Database) -> None:
    """Makes the database refuse an extra field of person 2, as a broken rule of a future version might."""
    if database.is_sqlite:
        trigger = "CREATE TRIGGER no BEFORE INSERT ON crm_extra_field WHEN NEW.person_id = 2 BEGIN SELECT RAISE(ABORT, 'no'); END"
    else:
        trigger = "ALTER TABLE crm_extra_field ADD CONSTRAINT no CHECK (person_id <> 2)"
    database.write(lambda connection: connection.exec_driver_sql(trigger))


def with_places(database: Database, number: int) -> Setup:
    """A mailing with so many places, each of another link."""
    setup = Setup(database)
    drafts = [setup.two.model_copy(update={"id": 0}) for _ in range(number)]
    links = setup.links.create(drafts, NO_ID)
    uses = [Use(MessagePart.html, at, at + 1, f"trackedlink:{link.id}", link.id) for at, link in enumerate(links)]
    message = StoredMessage("utf-8", b"a" * number, b"", [])
    setup.placements = MessageStore(database).track(setup.mailing.id, message, uses, 0, NOW).placements
    return setup


def test_when_too_many_places_are_remembered_only_the_oldest_are_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.store.destinations.MOST_CACHED", 8)
    setup = with_places(database, 12)
    recorder = Recorder(database, now)
    read: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda _c, _cu, statement, *_: read.append(statement))

    def reads(number: int) -> bool:
        read.clear()
        assert isinstance(recorder.record([setup.click(1, number)])[0], RecordedClick)
        return any("FROM link" in statement for statement in read)

    assert [reads(number) for number in range(12)] == [True] * 12
    assert not reads(8)
    assert reads(0)


def test_what_is_remembered_of_many_places_is_no_work_for_the_search_for_garbage(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.store.destinations.MOST_FRESH", 4)
    setup = with_places(database, 12)
    recorder = Recorder(database, now)
    for number in range(12):
        recorder.record([setup.click(1, number)])
    placement_ids = {placement.id for placement in setup.placements}
    looked_at = [each for each in gc.get_objects() if isinstance(each, Destination) and each.placement_id in placement_ids]
    assert 0 < len(looked_at) <= 4
