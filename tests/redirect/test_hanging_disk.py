"""A disk of the front door that hangs: what the server takes goes on, and nobody waits for ever."""

import contextlib
import sqlite3
from pathlib import Path

from redirect.settings import Settings
from tests.support.campaign import Campaign, person
from tests.support.databases import on_one_database
from tests.support.front import browsing, counted, learn, path_of
from tests.support.hanging import hanging
from tests.support.server import serving

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
