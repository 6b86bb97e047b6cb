"""Statements on the way of a click, as text for both databases: written with `?`, keyed by values in lists.

They go to the driver as they are: SQLAlchemy's insert of dicts costs a fifth of a click, and its cursor and rows half of what a short
statement takes (measured). What the driver raises becomes SQLAlchemy's error all the same, which the rest of the store knows.
"""

import contextlib
from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

MOST_KEYS = 256
"""Keys in one statement; more are asked for in several. SQLite takes 32,766 parameters, and long statements are parsed slowly."""


class Insert:
    """An insert of any number of rows in the form that is fastest: SQLite runs it for each, PostgreSQL once with an array per column."""

    def __init__(self, table: str, columns: Mapping[str, str], ending: str = "") -> None:
        """`columns` are their PostgreSQL types by name, `ending` is what follows the values."""
        names = f"INSERT INTO {table} ({', '.join(columns)})"
        self.for_each = f"{names} VALUES ({', '.join('?' * len(columns))}) {ending}"
        self.for_all = f"{names} SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for kind in columns.values())}) {ending}"


class Statements:
    """Runs statements on one connection of either database."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self.for_share = "" if self.is_sqlite else " FOR SHARE"
        self.for_update = "" if self.is_sqlite else " FOR UPDATE"
        self.skipping_locked = "" if self.is_sqlite else " FOR UPDATE SKIP LOCKED"
        if not connection.in_transaction():
            connection.begin()  # which SQLAlchemy does by itself only for what it runs

    def each(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Runs the statement once for each row."""
        if rows:
            with self._refusals():
                self._cursor.executemany(self._text(statement), rows)

    def insert(self, into: Insert, rows: Sequence[tuple[Any, ...]]) -> None:
        """Inserts these rows. Where the ending updates, no two of them may have the same key."""
        if rows:
            with self._refusals():
                if self.is_sqlite:
                    self._cursor.executemany(into.for_each, rows)
                else:
                    self._cursor.execute(into.for_all, [list(column) for column in zip(*rows, strict=True)])

    def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """The rows of a statement with these values."""
        with self._refusals():
            self._cursor.execute(self._text(statement), values)
            names = _row_type(tuple(column[0] for column in self._cursor.description))
            return list(map(names._make, self._cursor.fetchall()))

    def changed(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> list[bool]:
        """Runs the statement once for each row; whether it changed something."""
        text, cursor = self._text(statement), self._cursor
        with self._refusals():
            return [cursor.execute(text, row).rowcount > 0 for row in rows]

    def matching(self, statement: str, keys: Iterable[Any], suffix: str = "") -> Iterator[Any]:
        """The rows of a statement that ends in `… IN`, for keys that are values or tuples of values."""
        remaining = iter(keys)
        while some := list(islice(remaining, MOST_KEYS)):  # itertools.batched comes with Python 3.12
            if isinstance(some[0], tuple):
                yield from self._of_tuples(statement, some, suffix)
            else:
                some += some[-1:] * (_padded(len(some)) - len(some))
                yield from self.rows(f"{statement} ({','.join('?' * len(some))}){suffix}", some)

    def present(self, statement: str, keys: Sequence[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        """Those of the keys for which there is a row; the statement, as for `matching`, selects the columns of the key."""
        if not self.is_sqlite:
            return {tuple(row) for row in self.matching(statement, keys)}
        text, cursor = f"{_of_one(statement, keys)} LIMIT 1" if keys else "", self._cursor
        with self._refusals():
            return {key for key in keys if cursor.execute(text, key).fetchone()}

    def _of_tuples(self, statement: str, keys: Sequence[tuple[Any, ...]], suffix: str) -> list[Any]:
        """SQLite reads the whole table for two tuples or more (3.40, tried), so there each is asked for by itself, which is fast."""
        if self.is_sqlite:
            text = _of_one(statement, keys) + suffix
            return [row for key in dict.fromkeys(keys) for row in self.rows(text, key)]
        padded = [*keys, *[keys[-1]] * (_padded(len(keys)) - len(keys))]
        marks = ",".join([f"({','.join('?' * len(keys[0]))})"] * len(padded))
        return self.rows(f"{statement} (VALUES {marks}){suffix}", [value for key in padded for value in key])

    def inserted(self, statement: str, rows: Sequence[tuple[Any, ...]], suffix: str) -> Iterator[Any]:
        """Runs an insert of several rows at once; `suffix` ends in RETURNING, and what that gives is handed out."""
        for start in range(0, len(rows), MOST_KEYS):
            some = rows[start : start + MOST_KEYS]
            marks = ",".join(["(" + ",".join("?" * len(some[0])) + ")"] * len(some))
            yield from self.rows(f"{statement} VALUES {marks} {suffix}", [value for row in some for value in row])

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """On PostgreSQL, sends what runs in the block without waiting for each answer; nothing in it may ask for rows."""
        if self.is_sqlite:
            yield
            return
        with self._refusals(), self._driver.pipeline():
            yield

    def click_id(self, click_id: bytes) -> Any:
        """A click id as this database's driver takes it."""
        return click_id if self.is_sqlite else click_id.hex()

    @cached_property
    def _driver(self) -> Any:
        return self.connection.connection.driver_connection

    @cached_property
    def _cursor(self) -> Any:
        return self._driver.cursor()

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Raises what the driver raises as SQLAlchemy does, and has the pool drop a connection that is gone."""
        dialect = self.connection.dialect
        errors = dialect.loaded_dbapi.Error
        try:
            yield
        except errors as error:
            is_gone = dialect.is_disconnect(error, self._driver, None)
            if is_gone:
                self.connection.invalidate(error)
            raise DBAPIError.instance(None, None, error, errors, True, is_gone, dialect) from error

    def _text(self, statement: str) -> str:
        return statement if self.is_sqlite else statement.replace("?", "%s")


def click_id_of(value: Any) -> bytes:
    """A click id as this code takes it, from what a driver hands out."""
    return value.bytes if isinstance(value, UUID) else bytes(value)


def _padded(keys: int) -> int:
    """The next power of two: a driver keeps the statements that it has parsed, and so there are few of them. The last key stands again."""
    return 1 << (keys - 1).bit_length()


def _of_one(statement: str, keys: Sequence[tuple[Any, ...]]) -> str:
    """The statement for one of the keys instead of any."""
    return f"{statement.removesuffix('IN')}= ({','.join('?' * len(keys[0]))})"


@lru_cache(maxsize=1000)
def _row_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names, rename=True)
