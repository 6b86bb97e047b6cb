"""A disk of the front door that hangs: what the server takes goes on, and nobody waits for ever."""

import asyncio
import contextlib
import os
import sqlite3
from pathlib import Path

import httpx2

from redirect.settings import Settings
from tests.support.campaign import Campaign, person
from tests.support.cli import run
from tests.support.databases import on_one_database
from tests.support.front import NOWHERE, browsing, counted, journal_of, learn, path_of
from tests.support.hanging import hanging
from tests.support.house import House
from tests.support.server import serving
from tests.support.stubs import Stubs

pytestmark = on_one_database


async def test_while_the_snapshots_disk_hangs_what_the_server_takes_goes_on(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path) as stubs:
        campaign = Campaign(stubs)
        link = await campaign.link()
        path = path_of(await campaign.url(link.id, person(1)))
        front = Settings(server=stubs.address, directory=tmp_path)
        await learn(front)
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / "front" / f"snapshot.db{suffix}").unlink(missing_ok=True)
        with hanging(tmp_path / "front" / "snapshot.db"):
            async with browsing(front) as browser:
                with contextlib.closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    late = await browser.get(path)  # nobody answers it in time: the snapshot is asked
                    other.rollback()
                in_time = await browser.get(path)
        assert (late.status_code, in_time.status_code) == (503, 302)
        await counted(campaign, link.id, 2)


async def test_while_the_journals_disk_hangs_clicks_go_on_nobody_waits_long_and_it_can_stop(database_url: str, tmp_path: Path) -> None:
    house = House(tmp_path / "house", database_url)
    hangs = tmp_path / "house" / "front" / "journal" / "0.segment"
    hangs.parent.mkdir(parents=True)
    try:
        with hanging(hangs):  # the clicks that it may hold are to be replayed
            await asyncio.to_thread(house.start)
            assert house.front is not None
            stubs = Stubs(house.address)
            campaign = Campaign(stubs)
            link = await campaign.link()
            url = await campaign.url(link.id, person(1))
            await house.knows(url)
            async with httpx2.AsyncClient(timeout=20) as browser:
                assert (await browser.get(url)).status_code == 302
                assert await campaign.counts(link.id) == (1, 1, 0)
                await stubs.channel.close()
                await asyncio.to_thread(house.server.kill)
                refused = await asyncio.gather(*(browser.get(url) for _ in range(50)))
                assert [each.status_code for each in refused] == [503] * 50
            assert house.front.logged("event='journal_failed'.*the disk does not answer") == 1
            assert await asyncio.to_thread(house.front.stop) == 0
            assert not house.front.logged("worker_killed")
    finally:
        await asyncio.to_thread(house.stop)


async def test_the_doctor_says_that_the_journals_disk_hangs_and_what_it_cannot_read(stubs: Stubs, tmp_path: Path) -> None:
    journal = tmp_path / "front" / "journal"
    (journal / "0.segment").mkdir(parents=True)
    os.mkfifo(journal / "1.segment")
    arguments = ("doctor", "--front", "http://127.0.0.1:1", "--directory", tmp_path)
    assert "2 segments cannot be read" in (await run(stubs, *arguments)).stdout
    with hanging(journal / "2.segment"):
        assert "cannot be read: the disk does not answer" in (await run(stubs, *arguments)).stdout


async def test_a_pipe_in_the_journal_keeps_no_click_from_the_server(stubs: Stubs, tmp_path: Path) -> None:
    campaign = Campaign(stubs)
    link = await campaign.link()
    path = path_of(await campaign.url(link.id, person(1)))
    front = Settings(server=stubs.address, directory=tmp_path, commit_seconds=20)
    await learn(front)
    async with browsing(front.model_copy(update={"server": NOWHERE})) as browser:
        await browser.get(path)
    os.mkfifo(journal_of(front) / "0.segment")
    async with browsing(front):
        await counted(campaign, link.id, 1)
