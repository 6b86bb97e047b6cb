"""What is kept for recipients: the last value of each name, for as long as mails are out, and not longer."""

from datetime import UTC, datetime, timedelta

import pytest

from server.model.mailing import Mailing
from server.store import kept
from server.store.database import Database
from server.store.kept import KEPT, KeptStore, kept_key
from server.store.mailings import MailingStore
from server.store.requests import RequestId

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DAY = timedelta(days=1)


def mailing(database: Database, send_time: datetime | None = None) -> int:
    draft = Mailing(name="M", send_time=send_time, create_time=NOW, update_time=NOW)
    return MailingStore(database).create(draft, RequestId("", b"", NOW)).id


def test_of_each_name_the_last_value_is_kept_and_tests_apart(database: Database) -> None:
    store, of = KeptStore(database), mailing(database)
    store.keep(of, {4: {"id": "1", "nul": "\0"}}, NOW)
    store.keep(of, {4: {"id": "2", "shop": "Å"}, kept_key(4, True): {"id": "test"}}, NOW + DAY)
    found, test = store.of(of, 4), store.of(of, kept_key(4, True))
    assert found is not None
    assert (found.fields, found.time) == ({"id": "2", "nul": "\0", "shop": "Å"}, NOW + DAY)
    assert test is not None
    assert test.fields == {"id": "test"}
    assert store.of(of, 5) is None


def test_what_is_older_than_mails_may_be_is_purged_a_slice_at_a_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SLICE", 2)
    store = KeptStore(database)
    unsent, early, late = mailing(database), mailing(database, NOW), mailing(database, NOW + 10 * DAY)
    for of in (unsent, early, late):
        store.keep(of, {2: {}, 4: {}}, NOW)
    store.keep(early, {6: {}}, NOW + DAY)
    assert not store.purge(NOW + KEPT)
    assert store.purge(NOW + KEPT + DAY)
    assert store.purge(NOW + KEPT + DAY)
    assert not store.purge(NOW + KEPT + DAY)
    left = {(of, number) for of in (unsent, early, late) for number in (2, 4, 6) if store.of(of, number)}
    assert left == {(early, 6), (late, 2), (late, 4)}
    assert store.purge(NOW + KEPT + 11 * DAY)
    assert not store.purge(NOW + KEPT + 11 * DAY)
    assert not any(store.of(of, number) for of in (unsent, early, late) for number in (2, 4, 6))
