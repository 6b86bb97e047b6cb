"""Scripts and their versions in the database, whoever writes at the same time, on both databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from server.model.errors import DomainError, Reason
from server.model.ids import MAX_ID
from server.model.script import Script
from server.store.database import Database
from server.store.requests import RequestId
from server.store.script_tables import script_version
from server.store.scripts import ScriptReference, ScriptStore, sources
from server.store.sql import Statements
from tests.support.statements import listen

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
UNNAMED = RequestId("", b"", NOW)


def create(store: ScriptStore, name: str = "Twice", source: str = "1", request: RequestId = UNNAMED, user: int = 0) -> Script:
    draft = Script(name=name, source=source, creator=user, create_time=NOW, updater=user, update_time=NOW)
    return store.create(draft, request)


def change(store: ScriptStore, script_id: int, etag: str = "", user: int = 0, **fields: Any) -> Script:
    return store.change(script_id, etag, lambda current: current.model_copy(update=fields), user, LATER)


def sources_of(database: Database, *references: ScriptReference) -> dict[ScriptReference, tuple[int, str]]:
    return database.read(lambda connection: sources(Statements(connection), references))


def reason_of(call: Callable[[], Any]) -> Reason:
    with pytest.raises(DomainError) as refusal:
        call()
    return refusal.value.reason


def test_a_new_script_is_in_version_1_and_revision_1_whatever_the_draft_says(database: Database) -> None:
    store = ScriptStore(database)
    draft = Script(id=77, name="Twice", source="1", version=9, revision=9, create_time=NOW, update_time=NOW)
    made = store.create(draft, UNNAMED)
    assert (made.id, made.version, made.revision, made.create_time) == (1, 1, 1, NOW)
    assert store.get(made.id) == store.get(made.id, 1) == made


def test_another_source_is_another_version_and_every_version_stays(database: Database) -> None:
    store = ScriptStore(database)
    first = create(store, user=3)
    second = change(store, first.id, user=4, source="2", name="Thrice")
    assert (second.version, second.revision, second.source, second.creator, second.updater) == (2, 2, "2", 3, 4)
    assert (second.create_time, second.update_time) == (NOW, LATER)
    older = store.get(first.id, 1)
    assert (older.version, older.source, older.updater, older.update_time) == (1, "1", 3, NOW)
    assert (older.name, older.etag, older.creator) == ("Thrice", second.etag, 3)
    assert store.get(first.id, 2) == second
    third = change(store, first.id, source="1")
    assert (third.version, sources_of(database, (first.id, 1), (first.id, 3))) == (3, {(first.id, 1): (1, "1"), (first.id, 3): (3, "1")})


def test_another_name_or_description_makes_no_version_but_another_revision(database: Database) -> None:
    store = ScriptStore(database)
    first = create(store)
    renamed = change(store, first.id, name="Other")
    described = change(store, first.id, description="why")
    assert [(script.version, script.revision) for script in (first, renamed, described)] == [(1, 1), (1, 2), (1, 3)]
    assert change(store, first.id, description="why") == described
    assert database.read(lambda connection: connection.scalar(select(func.count()).select_from(script_version))) == 1


def test_what_does_not_exist_is_not_found(database: Database) -> None:
    store = ScriptStore(database)
    script = create(store)
    calls: list[Callable[[], Any]] = [
        lambda: store.get(9),
        lambda: store.get(script.id, 2),
        lambda: store.get(MAX_ID, MAX_ID),
        lambda: change(store, 9, name="a"),
    ]
    assert [reason_of(call) for call in calls] == [Reason.script_not_found] * 4


def test_a_stale_etag_changes_nothing(database: Database) -> None:
    store = ScriptStore(database)
    first = create(store)
    current = change(store, first.id, first.etag, source="2")
    assert reason_of(partial(change, store, first.id, first.etag, source="3")) is Reason.etag_mismatch
    assert store.get(first.id) == current


def test_names_are_unique_in_any_case_and_a_refused_one_leaves_no_version(database: Database) -> None:
    store = ScriptStore(database)
    taken, other = create(store, "STRASSE"), create(store, "other")
    assert reason_of(partial(create, store, "straße")) is Reason.script_name_taken
    assert reason_of(partial(change, store, other.id, name="Straße", source="2")) is Reason.script_name_taken
    assert store.get(other.id) == other
    assert store.missing([(other.id, 2)]) == {(other.id, 2)}
    assert change(store, taken.id, name="straße").name == "straße"


def test_the_same_request_makes_one_script_and_another_under_its_id_is_refused(database: Database) -> None:
    store = ScriptStore(database)
    request = RequestId("0190f3c4", b"one", NOW)
    assert create(store, request=request) == create(store, request=request)
    assert reason_of(partial(create, store, request=RequestId("0190f3c4", b"other", NOW))) is Reason.request_id_reused


def test_pages_follow_the_names_without_loss_or_repetition(database: Database) -> None:
    store = ScriptStore(database)
    for name in ("b", "Å", "A", "c"):
        create(store, name)
    first = store.page(None, 3)
    assert [script.name for script in first.items] == ["A", "b", "c"]
    assert [script.name for script in store.page(first.next_key, 3).items] == ["Å"]


def test_a_click_gets_the_newest_or_the_chosen_source_and_what_is_not_there_is_left_out(database: Database) -> None:
    store = ScriptStore(database)
    one, two = create(store, "one", "a"), create(store, "two", "b")
    change(store, one.id, source="aa")
    found = sources_of(database, (one.id, 0), (one.id, 1), (one.id, 2), (one.id, 3), (two.id, 0), (99, 0), (MAX_ID, 1))
    assert found == {(one.id, 0): (2, "aa"), (one.id, 1): (1, "a"), (one.id, 2): (2, "aa"), (two.id, 0): (1, "b")}
    assert sources_of(database) == {}


def test_a_click_sees_what_its_own_transaction_has_changed(database: Database) -> None:
    def work(connection: Connection) -> dict[ScriptReference, tuple[int, str]]:
        connection.exec_driver_sql("UPDATE script SET version = 7, source = 'new'")
        return sources(Statements(connection), [(script.id, 0)])

    script = create(ScriptStore(database))
    assert database.write(work) == {(script.id, 0): (7, "new")}


def test_the_sources_of_many_scripts_cost_two_statements_and_none_cost_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ScriptStore(database)
    ids = [create(store, f"{number}").id for number in range(30)]
    asked = listen(monkeypatch)
    assert len(sources_of(database, *((script_id, version) for script_id in ids for version in (0, 1)))) == 60
    assert len(set(asked)) == 2  # each may be run for each script
    asked.clear()
    sources_of(database)
    assert asked == []


def test_what_a_link_names_and_is_not_there_is_missing(database: Database) -> None:
    store = ScriptStore(database)
    script = create(store)
    change(store, script.id, source="2")
    there, gone = {(script.id, 0), (script.id, 1), (script.id, 2)}, {(script.id, 3), (script.id + 1, 0), (script.id + 1, 1), (MAX_ID, 0)}
    assert store.missing(there | gone) == gone
    assert store.missing([]) == set()


def test_of_changes_made_at_once_each_gets_a_version_of_its_own(database: Database) -> None:
    store = ScriptStore(database)
    script = create(store)
    begin = Barrier(6)

    def one(number: int) -> int:
        begin.wait()
        return change(store, script.id, source=f"source {number}").version

    with ThreadPoolExecutor(6) as threads:
        versions = list(threads.map(one, range(6)))
    assert sorted(versions) == [2, 3, 4, 5, 6, 7]
    assert [store.get(script.id, version).source for version in versions] == [f"source {number}" for number in range(6)]
    assert store.get(script.id).revision == 7
