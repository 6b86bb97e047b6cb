"""The memory that SQLite's connections may take for their caches, all together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, text

from server.store.database import CACHE_KIBIBYTES, MOST_CONNECTIONS, Database
from tests.support.databases import on_one_database


def cache_of(connection: Connection) -> int:
    """KiB."""
    return -int(connection.exec_driver_sql("PRAGMA cache_size").scalar_one())


def of_all_readers(database: Database, number: int) -> list[int]:
    """The caches of so many connections that read at the same time."""
    together = threading.Barrier(number)

    def work(connection: Connection) -> int:
        together.wait(20)
        return cache_of(connection)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(database.read, [work] * number))


@on_one_database
def test_all_connections_share_one_budget_of_which_the_writer_has_half(database: Database) -> None:
    writer = database.write(cache_of)
    readers = of_all_readers(database, MOST_CONNECTIONS - 1)
    assert writer == CACHE_KIBIBYTES // 2
    assert writer + sum(readers) <= CACHE_KIBIBYTES


@on_one_database
def test_a_connection_that_has_written_reads_with_the_cache_of_readers(database: Database) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        raise LookupError

    with pytest.raises(LookupError):  # after which the writer keeps its connection no longer
        database.write(fail)
    assert max(of_all_readers(database, MOST_CONNECTIONS)) < CACHE_KIBIBYTES // 4
