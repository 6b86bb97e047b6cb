"""A database that somebody else holds on to: what only reads goes on, whatever writes or locks has to wait."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence

import psycopg


@contextlib.contextmanager
def held(url: str, tables: Sequence[str]) -> Iterator[None]:
    """Another session locks these tables of PostgreSQL against whoever writes or locks rows; on SQLite it is the writer."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    with psycopg.connect(url) as connection:
        connection.execute(f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE".encode())
        yield
