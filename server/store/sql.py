"""Statements on the way of a click, as text for both databases: written with `?`, keyed by values in lists.

SQLAlchemy's insert of dicts costs a fifth of a click (measured), so the hot statements go to the driver as they are.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

MOST_KEYS = 400
"""Keys in one statement; more are asked for in several. SQLite takes 32,766 parameters, and long statements are parsed slowly."""


class Statements:
    """Runs statements on one connection of either database."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self.for_share = "" if self.is_sqlite else " FOR SHARE"
        self.for_update = "" if self.is_sqlite else " FOR UPDATE"
        self.skipping_locked = "" if self.is_sqlite else " FOR UPDATE SKIP LOCKED"

    def each(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Runs the statement once for each row."""
        if rows:
            self.connection.exec_driver_sql(self._text(statement), list(rows))

    def rows(self, statement: str, values: Sequence[Any]) -> Iterator[Any]:
        """The rows of a statement with these values."""
        yield from self.connection.exec_driver_sql(self._text(statement), tuple(values))

    def matching(self, statement: str, keys: Iterable[Any], suffix: str = "") -> Iterator[Any]:
        """The rows of a statement that ends in `… IN`, for keys that are values or tuples of values."""
        remaining = iter(keys)
        while some := tuple(islice(remaining, MOST_KEYS)):  # itertools.batched comes with Python 3.12
            first = some[0]
            if isinstance(first, tuple):
                marks = f"(VALUES {','.join(['(' + ','.join('?' * len(first)) + ')'] * len(some))})"
                parameters = tuple(value for key in some for value in key)
            else:
                marks, parameters = f"({','.join('?' * len(some))})", some
            yield from self.connection.exec_driver_sql(self._text(f"{statement} {marks}{suffix}"), parameters)

    def inserted(self, statement: str, rows: Sequence[tuple[Any, ...]], suffix: str) -> Iterator[Any]:
        """Runs an insert of several rows at once; `suffix` ends in RETURNING, and what that gives is handed out."""
        for start in range(0, len(rows), MOST_KEYS):
            some = rows[start : start + MOST_KEYS]
            marks = ",".join(["(" + ",".join("?" * len(some[0])) + ")"] * len(some))
            parameters = tuple(value for row in some for value in row)
            yield from self.connection.exec_driver_sql(self._text(f"{statement} VALUES {marks} {suffix}"), parameters)

    def click_id(self, click_id: bytes) -> Any:
        """A click id as this database's driver takes it."""
        return click_id if self.is_sqlite else click_id.hex()

    def _text(self, statement: str) -> str:
        return statement if self.is_sqlite else statement.replace("?", "%s")


def click_id_of(value: Any) -> bytes:
    """A click id as this code takes it, from what a driver hands out."""
    return value.bytes if isinstance(value, UUID) else bytes(value)
