"""A real server in this process, and stubs for it."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from server.house import House, now, wire
from server.settings import Settings
from server.store.database import Database
from tests.support.stubs import Stubs


@contextlib.asynccontextmanager
async def serving(database_url: str, directory: Path, clock: Callable[[], datetime] = now, **settings: Any) -> AsyncIterator[Stubs]:
    """Serves a migrated database on a free port, by this clock, with these settings, until the block ends."""
    async with running(database_url, directory, clock, **settings) as (_, client):
        yield client


@contextlib.asynccontextmanager
async def running(
    database_url: str, directory: Path, clock: Callable[[], datetime] = now, **settings: Any
) -> AsyncIterator[tuple[House, Stubs]]:
    """The same with the house itself, for tests that stop it.

    What a start does to a database that is not migrated, and looks at in one that is, houses of real processes go through.
    """
    chosen = Settings(listen="127.0.0.1:0", directory=directory, database_url=database_url, **settings)
    opened = Database(database_url)
    house = wire(chosen, opened, clock)
    await house.start()
    client = Stubs(f"127.0.0.1:{house.serving.port}")
    try:
        yield house, client
    finally:
        await client.channel.close()
        await house.stop(1)
        opened.close()
