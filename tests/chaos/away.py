"""What is away for a while: the database, the server, or the network to it. Every recipient of a known link is redirected, and soon."""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator

from server.store.database import Database
from server.store.migrate import migrate
from tests.chaos.frame import DRAIN_SECONDS, Run, Scene, scene
from tests.chaos.proxy import Proxy
from tests.support.postgres import Postgres

PER_SECOND = 200
SOON = 0.1
"""Seconds within which 99 % are to be redirected when something is away for a minute.

What takes longer: the first clicks, until the front door knows; one click every two seconds, which finds out whether it still is; and the
first ones when it is back. Those are as many when it is away for ten seconds, so a shorter run may have as many as a minute's.
"""

A_MINUTE = 60
HALF_OPEN_SECONDS = 15.0
"""After so long the keepalive has found out that a connection only looks open."""


async def database_locked(run: Run) -> None:
    """Another process holds SQLite exclusively."""
    async with scene(run, _clicks(run)) as here:
        async with _steady(here):
            with contextlib.closing(sqlite3.connect(run.folder / "chaos.db", isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                await asyncio.sleep(run.seconds)
                other.execute("ROLLBACK")
        await _in_time(here, "SQLite locked")


async def database_stopped(run: Run) -> None:
    """PostgreSQL is stopped."""
    postgres = Postgres()
    try:
        url = postgres.url(postgres.create())
        database = Database(url)
        migrate(database)
        database.close()
        async with scene(run, _clicks(run), url) as here:
            async with _steady(here):
                await asyncio.to_thread(postgres.halt)
                await asyncio.sleep(run.seconds)
                await asyncio.to_thread(postgres.resume)
            await _in_time(here, "PostgreSQL stopped")
    finally:
        postgres.stop()


async def server_away(run: Run) -> None:
    """The server is killed, and comes back."""
    async with scene(run, _clicks(run)) as here:
        async with _steady(here):
            await asyncio.to_thread(here.house.server.kill)
            await asyncio.sleep(run.seconds)
            await asyncio.to_thread(here.house.server.start, "event='serving'")
        await _in_time(here, "server away")


async def network_cut(run: Run) -> None:
    """The network to the server is cut, or stalls, for a moment, again and again."""
    chance = random.Random(run.seed)
    async with Proxy() as network, scene(run, network=network) as here:
        async with here.browsers.clicking(16, 0.04, run.seed):
            for _ in range(run.count):
                await here.live()
                await here.browsers.answered(chance.randint(1, 100))
                network.cut() if chance.random() < 0.5 else network.stall()
                await asyncio.sleep(chance.uniform(0, 1))
                network.mend()
        here.expect_nobody_refused()
        await here.compare()
    run.remarks.insert(0, f"{run.count} cuts and stalls")


async def half_open(run: Run) -> None:
    """Every connection to the server is forgotten without a word."""
    async with Proxy() as network, scene(run, network=network) as here:
        async with here.browsers.clicking(16, 0.04, run.seed):
            for _ in range(run.count):
                await here.live()
                await here.browsers.answered(100)
                network.forget()
                await asyncio.sleep(1)
        here.expect_nobody_refused()
        await here.compare(HALF_OPEN_SECONDS + DRAIN_SECONDS)
    run.remarks.insert(0, f"{run.count} times half-open")


@contextlib.asynccontextmanager
async def _steady(here: Scene) -> AsyncIterator[None]:
    """Clicks at a steady rate for as long as the block takes, a second before and some after."""
    stop = asyncio.Event()
    clicking = asyncio.create_task(here.browsers.click_steadily(PER_SECOND, stop))
    await asyncio.sleep(1)
    yield
    stop.set()
    await clicking


async def _in_time(here: Scene, what: str) -> None:
    run, told = here.run, here.browsers.told
    here.expect_nobody_refused()
    await here.compare()
    slow, most = sum(seconds > SOON for seconds in told.seconds), max(run.seconds, A_MINUTE) * PER_SECOND // 100
    run.expect(
        slow <= most,
        f"{slow} redirects took longer than {SOON * 1000:.0f} ms, {most:.0f} may; the longest {max(told.seconds) * 1000:.0f} ms",
    )
    run.remarks.insert(0, f"{what} for {run.seconds:g} s at {PER_SECOND} clicks/s, {slow} redirects slower than {SOON * 1000:.0f} ms")


def _clicks(run: Run) -> int:
    return round((run.seconds + 15) * PER_SECOND)
