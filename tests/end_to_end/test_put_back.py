"""A database that is put back from a copy, empty, or not there: no id comes again, and no mailed URL leads to somebody else."""

import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from server.store.given_ids import AHEAD
from tests.support.campaign import Campaign
from tests.support.house import House, Process
from tests.support.postgres import Postgres
from tests.support.stubs import Refused, Stubs, refused
from trackedlinks.v1 import (
    click_service_pb2,
    mailing_pb2,
    mailing_service_pb2,
)

FIRST, SECOND = mailing_pb2.Recipient(email="first@example.com"), mailing_pb2.Recipient(email="second@example.com")


class Kept:
    """A house over a database of which a copy can be made and put back while its server is stopped."""

    def __init__(self, folder: Path, postgres: Postgres | None) -> None:
        self.postgres, self._file = postgres, folder / "test.db"
        self._name = postgres.create() if postgres else ""
        self.house = House(folder / "var", postgres.url(self._name) if postgres else f"sqlite:///{self._file}", commit_seconds="5")
        if postgres:
            assert self.house.run_server("migrate") == (0, "")

    def back_up(self) -> None:
        """Makes the copy."""
        if self.postgres:
            self.postgres.copy(self._name, f"{self._name}_copy")
        else:
            with sqlite3.connect(self._file) as source, sqlite3.connect(self._file.with_suffix(".copy")) as copy:
                source.backup(copy)

    def put_back(self) -> None:
        """Replaces the database by the copy."""
        if self.postgres:
            self.postgres.copy(f"{self._name}_copy", self._name)
        else:
            for name in ("test.db-wal", "test.db-shm"):
                self._file.with_name(name).unlink(missing_ok=True)
            shutil.copy(self._file.with_suffix(".copy"), self._file)

    def start(self) -> None:
        """Starts the server."""
        self.house.server.start("event='serving'")


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    opened = Kept(tmp_path, request.getfixturevalue("postgres") if request.param == "postgresql" else None)
    opened.start()
    yield opened
    opened.house.stop()


async def test_after_a_restore_nothing_is_minted_until_ids_are_moved_and_no_url_leads_to_somebody_else(kept: Kept) -> None:
    async with connected(kept) as campaign:
        before, ((early,),) = await campaign.mail(b'<a href="https://example.com/early">x</a>', [FIRST])
    kept.house.server.stop()
    kept.back_up()
    kept.start()
    async with connected(kept) as campaign:
        lost_link = await campaign.link()
        _, ((lost,),) = await campaign.mail(b'<a href="https://example.com/first">x</a>', [FIRST])
        assert await leads_to(campaign, lost) == "https://example.com/first"
    kept.house.server.kill()
    kept.put_back()
    kept.start()
    assert kept.house.server.logged("event='database_put_back'") == 1
    async with connected(kept) as campaign:
        assert await leads_to(campaign, early) == "https://example.com/early"
        for each in attempts(campaign, before):
            refusal = await refused(each)
            assert (refusal.reason, refusal.code.name) == ("DATABASE_PUT_BACK", "FAILED_PRECONDITION"), refusal.message
        assert "python -m server restored" in refusal.message
    kept.house.server.stop()
    status, said = kept.house.run_server("restored")
    assert status == 0, said
    kept.start()
    assert not kept.house.server.logged("database_put_back")
    async with connected(kept) as campaign:
        _, ((found,),) = await campaign.mail(b'<a href="https://example.com/second">x</a>', [SECOND])
        assert await leads_to(campaign, found) == "https://example.com/second"
        assert await leads_to(campaign, early) == "https://example.com/early"
        assert (await lost_to(campaign, lost)).reason == "TOKEN_INVALID"
        assert (await campaign.link()).id > max(AHEAD, lost_link.id)
    kept.house.server.kill()
    kept.start()  # what was given since is known
    assert not kept.house.server.logged("database_put_back")


@pytest.mark.parametrize("kept", ["postgresql"], indirect=True)
async def test_a_server_that_was_not_stopped_notices_at_the_next_id(kept: Kept) -> None:
    """On PostgreSQL, where a database can be put back under a server that only sees its connections cut."""
    async with connected(kept) as campaign:
        await campaign.link()
        kept.back_up()
        await campaign.link()
        kept.put_back()
        refusal = await refused(campaign.link())
        while refusal.reason == "STORE_UNAVAILABLE":
            refusal = await refused(campaign.link())
        assert refusal.reason == "DATABASE_PUT_BACK"
        assert kept.house.run_server("restored")[0] == 0
        assert (await campaign.link()).id > AHEAD


async def test_keys_without_a_database_are_refused_until_a_new_one_is_asked_for(kept: Kept, tmp_path: Path) -> None:
    async with connected(kept) as campaign:
        _, ((lost,),) = await campaign.mail(b'<a href="https://example.com/first">x</a>', [FIRST])
    kept.house.server.stop()
    (tmp_path / "elsewhere").mkdir()
    away = Kept(tmp_path / "elsewhere", kept.postgres)
    away.house.environment["TRACKEDLINKS_DIRECTORY"] = kept.house.environment["TRACKEDLINKS_DIRECTORY"]
    status, said = away.house.run_server()
    assert status == 1
    assert "keys.json has keys, but the database" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "elsewhere" / "test.db").exists()
    away.house.server = Process("server", away.house.environment, "--new-database")
    away.start()
    try:
        async with connected(away) as campaign:
            _, ((found,),) = await campaign.mail(b'<a href="https://example.com/second">x</a>', [SECOND])
            assert await leads_to(campaign, found) == "https://example.com/second"
            assert (await lost_to(campaign, lost)).reason == "TOKEN_INVALID"
    finally:
        away.house.stop()


@contextlib.asynccontextmanager
async def connected(kept: Kept) -> AsyncIterator[Campaign]:
    """A marketer, connected to the server."""
    stubs = Stubs(kept.house.address)
    try:
        yield Campaign(stubs)
    finally:
        await stubs.channel.close()


def attempts(campaign: Campaign, mailing_id: int) -> Iterator[Awaitable[Any]]:
    """Whatever makes an id that is mailed, or a URL."""
    stubs = campaign.stubs
    yield campaign.link()
    yield campaign.mailing()
    yield campaign.track(mailing_id, b'<a href="https://example.com/more">x</a>')
    yield campaign.person("Kari")
    yield campaign.entry("SELECTION", "Spring")
    yield campaign.send(mailing_id, [SECOND])
    yield campaign.send(mailing_id, [mailing_pb2.Recipient(person_id=1)])
    render = mailing_service_pb2.RenderMessagesRequest(mailing_id=mailing_id, recipients=[SECOND])
    yield first_answer(stubs.mailings.RenderMessages(iter([render])))


async def first_answer(call: Any) -> Any:
    return await call.read()


async def leads_to(campaign: Campaign, url: str) -> str:
    """Where the server sends whoever clicks."""
    return str((await campaign.stubs.clicks.RecordClick(click_on(url))).location)


async def lost_to(campaign: Campaign, url: str) -> Refused:
    """How the server refuses whoever clicks."""
    return await refused(campaign.stubs.clicks.RecordClick(click_on(url)))


def click_on(url: str) -> click_service_pb2.RecordClickRequest:
    return click_service_pb2.RecordClickRequest(click_id=str(uuid7()), token=url.rpartition("/")[2])
