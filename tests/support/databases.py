"""On which kinds of database a test runs: on both, unless it says otherwise."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Engine, event

from server.store.database import Database
from tests.support.postgres import rows_read

on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what is decided before a database is asked, or with nothing that it says, such as what is refused for its form: SQLite stands for
both. What depends on what is stored or read, on its limits, its order or its locks stays on both."""


def cost_of(url: str, work: Callable[[Database], object]) -> int:
    """What some work costs a database, opened for it: hundreds of instructions of SQLite's machine, or rows that PostgreSQL reads."""
    if url.startswith("postgresql"):
        before = rows_read(url)
        with closing(Database(url)) as database:
            work(database)
        return rows_read(url) - before
    ticks = [0]

    def tick() -> int:
        ticks[0] += 1
        return 0

    def count(driver: Any, _record: Any) -> None:
        driver.set_progress_handler(tick, 100)

    event.listen(Engine, "connect", count)
    try:
        with closing(Database(url)) as database:
            work(database)
    finally:
        event.remove(Engine, "connect", count)
    return ticks[0]
