"""Nothing but clicks holds SQLite's one writer for long: each write of the service, as large as it may be, takes turns with them."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from uuid_utils import uuid7

from tests.support import actions
from tests.support.campaign import Campaign
from tests.support.server import serving
from tests.support.stubs import Stubs
from tests.support.writer import watched_writer
from trackedlinks.v1 import (
    action_service_pb2,
    click_service_pb2,
    crm_service_pb2,
    embedded_crm_service_pb2,
    folder_service_pb2,
    link_pb2,
    link_service_pb2,
    mailing_pb2,
)

LIMIT = 150_000
"""What SQLite and Python do in 10 ms, in instructions of SQLite's machine (measured on a core of 2026)."""

MANY = 5_000
"""Of what there may be any number of: many slices."""

Run = Callable[[], Awaitable[object]]


class Site:
    """A server at work, and its database to put many rows into."""

    def __init__(self, stubs: Stubs, path: Path) -> None:
        self.stubs = stubs
        self.at_work = Campaign(stubs)
        self._path = path

    def fill(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Runs the statement for each row, as somebody else would have done before."""
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.executemany(statement, rows)

    def persons(self, contact: int = 0) -> None:
        """Many persons, by number from 1."""
        self.fill("INSERT INTO crm_person (name, email, our_contact_id) VALUES ('N', '', ?)", ((contact,) for _ in range(1, MANY)))

    async def links(self, many: int, **fields: Any) -> list[int]:
        """New links."""
        drafts = [link_pb2.Link(name="L", redirect=link_pb2.Redirect(url="https://example.com/"), **fields) for _ in range(many)]
        made = await self.stubs.links.BatchCreateLinks(link_service_pb2.BatchCreateLinksRequest(links=drafts, request_id=str(uuid4())))
        return [link.id for link in made.links]

    async def folder(self) -> int:
        """A new folder."""
        request = folder_service_pb2.CreateFolderRequest()
        request.folder.name = f"Folder {uuid4()}"
        return int((await self.stubs.folders.CreateFolder(request)).id)


async def track_message(site: Site) -> Run:
    mailing = await site.at_work.mailing()
    html = "".join(f'<a href="https://example.com/some/path/{n}?a=b">x</a>' for n in range(1900)).encode()
    html += b"x" * (2 * 1024 * 1024 - len(html))
    return lambda: site.at_work.track(mailing.id, html)


async def batch_create_links(site: Site) -> Run:
    return lambda: site.links(500, actions=[actions.set_field(f"f{n}", "v") for n in range(20)])


async def move_links(site: Site) -> Run:
    ids, folder = [*await site.links(500), *await site.links(500)], await site.folder()
    return lambda: site.stubs.links.MoveLinks(link_service_pb2.MoveLinksRequest(ids=ids, folder_id=folder))


async def mint_urls(site: Site) -> Run:
    mailing = await site.at_work.mailing()
    await site.at_work.track(mailing.id, b'{{ a }}<a href="https://example.com/{{ c }}">x</a><a href="trackedlink:view-online">V</a>')
    fields = [{"a": "x" * 3_000, "c": str(n)} for n in range(1000)]
    who = [mailing_pb2.Recipient(email=f"p{n}@example.com", merge_fields=each) for n, each in enumerate(fields)]
    return lambda: site.at_work.send(mailing.id, who)


async def add_clickers(site: Site) -> Run:
    link, selection = await site.at_work.link(), await site.at_work.entry("SELECTION", "S")
    site.persons()
    site.fill("INSERT INTO clicker VALUES (?, 0, ?, 0, 1, 1, 1)", ((link.id, 2 * n) for n in range(1, MANY + 100)))
    request = click_service_pb2.AddClickersRequest(link_id=link.id, selection_id=selection, request_id=str(uuid4()))
    return lambda: site.stubs.clicks.AddClickers(request)


async def delete_folder(site: Site) -> Run:
    folder = await site.folder()
    (link,) = await site.links(1, folder_id=folder)
    columns = "name, folder_id, response, actions, mailing_id, creator, updater, create_time, update_time, revision, generation"
    columns += ", name_key, search_key"
    site.fill(f"INSERT INTO link ({columns}) SELECT {columns} FROM link WHERE id = ?", ((link,) for _ in range(MANY)))
    columns = "name, description, parent_id, create_time, update_time, revision, name_key"
    values = "(?, '', ?, 1, 1, 1, ?)"
    site.fill(f"INSERT INTO folder ({columns}) VALUES {values}", ((f"F{n}", folder, f"f{n}") for n in range(MANY // 10)))
    return lambda: site.stubs.folders.DeleteFolder(folder_service_pb2.DeleteFolderRequest(id=folder, force=True))


async def delete_selection(site: Site) -> Run:
    selection = await site.at_work.entry("SELECTION", "S")
    site.fill("INSERT INTO crm_membership (entry_id, person_id) VALUES (?, ?)", ((selection, n) for n in range(1, 4 * MANY)))
    return lambda: site.stubs.embedded_crm.DeleteCatalogEntry(embedded_crm_service_pb2.DeleteCatalogEntryRequest(id=selection))


async def delete_user(site: Site) -> Run:
    user = await site.at_work.entry("USER", "U")
    for _ in range(4):
        site.persons(user)
    return lambda: site.stubs.embedded_crm.DeleteCatalogEntry(embedded_crm_service_pb2.DeleteCatalogEntryRequest(id=user))


async def apply_effects(site: Site) -> Run:
    site.persons()
    fields = [crm_service_pb2.SetExtraField(field=f"f{n}", value="x" * 100) for n in range(10)]
    effects = [crm_service_pb2.Effect(set_extra_field=each) for each in fields]
    some = [crm_service_pb2.ActionEffects(idempotency_key=str(uuid4()), person_id=n, effects=effects) for n in range(1, 1001)]
    return lambda: site.stubs.crm.ApplyEffects(crm_service_pb2.ApplyEffectsRequest(actions=some))


async def any_request_a_day_later(site: Site) -> Run:
    site.fill("INSERT INTO request VALUES (?, ?, '[1]', 1)", ((str(uuid4()), bytes(16)) for _ in range(4 * MANY)))
    return lambda: site.links(1)


async def retry_action_runs(site: Site) -> Run:
    link = await site.at_work.link()
    ids = [os.urandom(16) for _ in range(MANY)]
    dead = "(?, 0, 1, ?, 0, 2, NULL, 'https://example.com:443', '{}', 6, 9, 9, 1, 9223372036854775807, 0, 1, 'x')"
    site.fill(f"INSERT INTO outbox VALUES {dead}", ((each, link.id) for each in ids))
    site.fill("INSERT INTO action_run VALUES (?, 0, 1, 6, 'x', 9, NULL)", ((each,) for each in ids))
    return lambda: site.stubs.actions.RetryActionRuns(action_service_pb2.RetryActionRunsRequest(link_id=link.id))


WRITES = [
    track_message,
    batch_create_links,
    move_links,
    mint_urls,
    add_clickers,
    delete_folder,
    delete_selection,
    delete_user,
    apply_effects,
    any_request_a_day_later,
    retry_action_runs,
]


@pytest.fixture
def path(sqlite_template: Path, tmp_path: Path) -> Path:
    """A migrated SQLite file."""
    return Path(shutil.copy(sqlite_template, tmp_path / "test.db"))


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
async def test_a_write_holds_the_writer_no_longer_than_10_ms(
    write: Callable[[Site], Awaitable[Run]], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched_writer(monkeypatch) as jobs:
        async with serving(f"sqlite:///{path}", tmp_path) as stubs:
            run = await write(Site(stubs, path))
            jobs.clear()
            await run()
            assert max(jobs, key=lambda job: job.cost).cost < LIMIT, max(jobs, key=lambda job: job.cost)
    assert jobs


async def test_clicks_are_stored_between_the_slices_of_a_write(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched_writer(monkeypatch) as jobs:
        async with serving(f"sqlite:///{path}", tmp_path) as stubs:
            site = Site(stubs, path)
            url = await site.at_work.url((await site.links(1))[0])
            run = await add_clickers(site)
            jobs.clear()
            adding = asyncio.ensure_future(run())
            while not adding.done():
                request = click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2])
                await stubs.clicks.RecordClick(request)
    clicks = [job.job == "_commit" for job in jobs]
    first, last = clicks.index(False), len(clicks) - 1 - clicks[::-1].index(False)
    assert any(clicks[first:last])
