"""Statements on the way of a click, as text for both databases: written with `?`, keyed by values in lists.

They go to the driver as they are: SQLAlchemy's insert of dicts costs a fifth of a click, and its cursor and rows half of what a short
statement takes (measured). What the driver raises becomes SQLAlchemy's error all the same, which the rest of the store knows.
"""

import contextlib
from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from server.store.database import PG_ONLY_READS
from server.turns import give_way

MOST_KEYS = 256
"""Keys in one statement of SQLite, a power of two; more are asked for in several, since long statements are parsed slowly."""


MOST_ASKED = 64
"""Keys in one question of SQLite, a multiple of eight."""


class Insert:
    """An insert of any number of rows in the form that is fastest: SQLite runs it for each, PostgreSQL once with an array per column."""

    def __init__(self, table: str, columns: Mapping[str, str], ending: str = "") -> None:
        """`columns` are their PostgreSQL types by name, `ending` is what follows the values."""
        self.kinds = list(columns.values())
        names = f"INSERT INTO {table} ({', '.join(columns)})"
        self.for_each = f"{names} VALUES ({', '.join('?' * len(columns))}) {ending}"
        self.for_all = f"{names} SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for kind in columns.values())}) {ending}"

    def arrays(self, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The values of `for_all`."""
        return [array(kind, column) for kind, column in zip(self.kinds, zip(*rows, strict=True), strict=True)]


class Asked:
    """A question about any number of keys, each of whole numbers, in one statement."""

    def __init__(self, columns: Sequence[str], question: str) -> None:
        """`columns` are those of a key in the table `asked`, `question` is a SELECT that ends in FROM asked."""
        names = ", ".join(columns)
        self._for_so_many = f"WITH asked ({names}) AS (VALUES %s) {question} WHERE asked.{columns[0]} IS NOT NULL"
        self._key = f"({', '.join('?' * len(columns))})"
        self.for_all = f"WITH asked AS (SELECT * FROM unnest({', '.join(['%s::bigint[]'] * len(columns))}) AS asked ({names})) {question}"

    def for_so_many(self, keys: int) -> str:
        """The statement for SQLite."""
        return self._for_so_many % ", ".join([self._key] * keys)


class Statements:
    """Runs statements on one connection of either database."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self._locks = not self.is_sqlite and not connection.get_execution_options().get("postgresql_readonly", False)
        self.skipping_locked = " FOR UPDATE SKIP LOCKED" if self._locks else ""
        if not connection.in_transaction():
            connection.begin()  # which SQLAlchemy does by itself only for what it runs
        driver: Any = connection.connection.driver_connection
        self._driver, self._cursor = driver, driver.cursor()
        self._errors: Any = connection.dialect.loaded_dbapi.Error

    def for_share(self, key: str) -> str:
        """What follows a question whose rows nobody is to change until the transaction ends; they are locked in the order of this key.

        Nothing on SQLite, which has one writer, and in a transaction that only reads.
        """
        return f" ORDER BY {key} FOR SHARE" if self._locks else ""

    def for_update(self, key: str) -> str:
        """What follows a question whose rows this transaction may change; the rest as with `for_share`."""
        return f" ORDER BY {key} FOR UPDATE" if self._locks else ""

    def each(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Runs the statement once for each row."""
        if rows:
            try:
                self._cursor.executemany(self._text(statement), rows)
            except self._errors as error:
                raise self._refused(error) from error

    def insert(self, into: Insert, rows: Sequence[tuple[Any, ...]]) -> None:
        """Inserts these rows. Where the ending updates, no two of them may have the same key."""
        if not rows:
            return
        try:
            if self.is_sqlite:
                self._cursor.executemany(into.for_each, rows)
            else:
                self._cursor.execute(into.for_all, into.arrays(rows))
        except self._errors as error:
            raise self._refused(error) from error

    def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """The rows of a statement with these values."""
        try:
            self._cursor.execute(self._text(statement), values)
            return _named_rows(self._cursor)
        except self._errors as error:
            raise self._refused(error) from error

    def rows_of_each(self, asked: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Any]]:
        """The rows of several statements, each with its values, in order. PostgreSQL is asked all of them at once: a round trip is dear."""
        if self.is_sqlite or len(asked) < 2:
            return [self.rows(statement, values) for statement, values in asked]
        cursors = [self._driver.cursor() for _ in asked]
        try:
            with self._driver.pipeline():
                for cursor, (statement, values) in zip(cursors, asked, strict=True):
                    cursor.execute(self._text(statement), values)
            return [_named_rows(cursor) for cursor in cursors]
        except self._errors as error:
            raise self._refused(error) from error

    def matching(self, statement: str, keys: Iterable[Any], suffix: str = "") -> list[Any]:
        """The rows of a statement that ends in `… IN`, for keys that are values or tuples of values."""
        return self.matching_each([(statement, keys, suffix)])[0] if (keys := list(keys)) else []

    def matching_each(self, asked: Sequence[tuple[str, Iterable[Any], str]]) -> list[list[Any]]:
        """What `matching` gives for each of several statements, their keys and suffixes."""
        give_way()
        questions = [list(self._questions(statement, list(keys), suffix)) for statement, keys, suffix in asked]
        answers = iter(self.rows_of_each([question for some in questions for question in some]))
        return [[row for _ in some for row in next(answers)] for some in questions]

    def of_each(self, asked: Asked, keys: Sequence[tuple[int, ...]], before: Sequence[tuple[str, Sequence[Any]]] = ()) -> list[Any]:
        """The rows of the question, those of every key; asked after other statements that give no rows of interest."""
        if not self.is_sqlite:
            arrays = [array("bigint", column) for column in zip(*keys, strict=True)]
            return self.rows_of_each([*before, (asked.for_all, arrays)])[-1]
        found: list[Any] = []
        for start in range(0, len(keys), MOST_ASKED):
            some: list[tuple[int | None, ...]] = list(keys[start : start + MOST_ASKED])
            some += [(None,) * len(keys[0])] * (-len(some) % 8)  # few different texts: a driver keeps what it has parsed
            found += self.rows(asked.for_so_many(len(some)), list(chain.from_iterable(some)))
        return found

    def _questions(self, statement: str, keys: Sequence[Any], suffix: str) -> Iterator[tuple[str, Sequence[Any]]]:
        """The statement with these keys as this database finds them by an index, in few different texts: a driver keeps what it has parsed.

        SQLite reads the whole table for two tuples or more (3.40, tried), so there each is asked for by itself, which is fast.
        """
        if not keys:
            return
        of_tuples = isinstance(keys[0], tuple)
        if not self.is_sqlite:
            columns = list(zip(*keys, strict=True)) if of_tuples else [keys]
            kinds = [_KINDS.get(type(column[0]), "text") for column in columns]
            arrays = ", ".join(f"?::{kind}[]" for kind in kinds)
            among = f"(SELECT * FROM unnest({arrays}))" if of_tuples else f"(SELECT unnest({arrays}))"
            yield f"{statement} {among}{suffix}", [array(kind, column) for kind, column in zip(kinds, columns, strict=True)]
        elif of_tuples:
            for key in dict.fromkeys(keys):
                yield _of_one(statement, keys) + suffix, key
        else:
            for start in range(0, len(keys), MOST_KEYS):
                some = _padded(keys[start : start + MOST_KEYS])
                yield f"{statement} ({','.join('?' * len(some))}){suffix}", some

    def inserted(self, statement: str, rows: Sequence[tuple[Any, ...]], suffix: str) -> Iterator[Any]:
        """Runs an insert of several rows at once; `suffix` ends in RETURNING, and what that gives is handed out."""
        for start in range(0, len(rows), MOST_KEYS):
            some = rows[start : start + MOST_KEYS]
            marks = ",".join(["(" + ",".join("?" * len(some[0])) + ")"] * len(some))
            yield from self.rows(f"{statement} VALUES {marks} {suffix}", [value for row in some for value in row])

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """On PostgreSQL, sends what runs in the block without waiting for each answer; nothing in it may ask for rows.

        It works on one statement while the next one is made. All of them as one with data-modifying CTEs take a fifth longer (measured).
        """
        if self.is_sqlite:
            yield
            return
        try:
            with self._driver.pipeline():
                yield
        except self._errors as error:
            raise self._refused(error) from error

    def click_id(self, click_id: bytes) -> Any:
        """A click id as this database's driver takes it."""
        return click_id if self.is_sqlite else UUID(bytes=click_id)

    def _refused(self, error: Any) -> Any:
        """What the driver raises as SQLAlchemy does. Has the pool drop a connection that is gone or only reads."""
        dialect = self.connection.dialect
        is_gone = dialect.is_disconnect(error, self._driver, None) or getattr(error, "sqlstate", None) == PG_ONLY_READS
        if is_gone:
            self.connection.invalidate(error)
        return DBAPIError.instance(None, None, error, self._errors, True, is_gone, dialect)

    def _text(self, statement: str) -> str:
        return statement if self.is_sqlite else statement.replace("?", "%s")


def click_id_of(value: Any) -> bytes:
    """A click id as this code takes it, from what a driver hands out."""
    return value.bytes if isinstance(value, UUID) else bytes(value)


def array(kind: str, column: Sequence[Any]) -> Any:
    """A column as PostgreSQL reads an array: what needs no quotes is written here, the driver takes ten times as long (measured)."""
    return list(column) if kind in ("text", "bytea", "json") else f"{{{','.join(map(str, column)).replace('None', 'NULL')}}}"


_KINDS = {int: "bigint", bytes: "bytea", UUID: "uuid"}


def _padded(keys: Sequence[Any]) -> Sequence[Any]:
    """The keys, the last one so often that they are a power of two."""
    return [*keys, *[keys[-1]] * ((1 << (len(keys) - 1).bit_length()) - len(keys))]


def _of_one(statement: str, keys: Sequence[tuple[Any, ...]]) -> str:
    """The statement for one of the keys instead of any."""
    return f"{statement.rstrip().removesuffix('IN')}= ({','.join('?' * len(keys[0]))})"


def _named_rows(cursor: Any) -> list[Any]:
    rows = cursor.fetchall()
    return list(map(_row_type(tuple(column[0] for column in cursor.description))._make, rows)) if rows else []


@lru_cache(maxsize=1000)
def _row_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names, rename=True)
