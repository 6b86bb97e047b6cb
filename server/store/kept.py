"""What recipients of mailings brought, where special links or merge fields in URLs read it later, in the database."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from server.store.database import Database
from server.store.sql import Statements
from server.store.types import from_microseconds, to_microseconds

KEPT = timedelta(days=90)
"""How long after the mailing's send_time, and after the URLs were minted, values are kept. Source: DESIGN, A tracked URL."""

SLICE = 200
"""Recipients whose values are kept, or removed, in one transaction: between two of them the writer takes the clicks that wait."""

MOST_CHARACTERS = 100_000
"""Of values in one transaction, beyond those of one recipient."""


_Row = tuple[int, int, int, str]
"""Mailing, kept_key, time, and the values as JSON."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What one recipient of a mailing brought, and when the recipient's URLs were minted last."""

    time: datetime
    fields: Mapping[str, str]


def kept_key(recipient: int, test: bool) -> int:
    """Under which number values of a recipient are kept: those of test mails apart, or they would stand in real ones."""
    return -recipient if test else recipient


class KeptStore:
    """What is kept in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, mailing_id: int, values: Mapping[int, Mapping[str, str]], now: datetime) -> None:
        """Keeps what recipients, by kept_key, brought. What mails already out need stays: of each name the last value."""
        time = to_microseconds(now)
        for rows in _slices([(mailing_id, key, time, json.dumps(fields)) for key, fields in sorted(values.items())]):
            self._database.write(partial(_keep, rows=rows, values=values))

    def of(self, mailing_id: int, key: int) -> Kept | None:
        """What is kept of one recipient, by kept_key."""

        def work(connection: Connection) -> Kept | None:
            rows = Statements(connection).rows("SELECT time, fields FROM kept WHERE mailing_id = ? AND recipient = ?", (mailing_id, key))
            return next((Kept(from_microseconds(row.time), json.loads(row.fields)) for row in rows), None)

        return self._database.read(work)

    def purge(self, now: datetime) -> bool:
        """Removes one slice of what is older than it may be; whether there may be more. Blocks."""
        before = to_microseconds(now - KEPT)

        def old(connection: Connection) -> list[tuple[int, int, int]]:
            rows = Statements(connection).rows(_OLD, (before, before, SLICE))
            return sorted((row.mailing_id, row.recipient, before) for row in rows)

        rows = self._database.read(old)  # the search is no work for the one who writes clicks
        if rows:
            self._database.write(lambda connection: Statements(connection).each(_PURGE, rows))
        return len(rows) == SLICE


def kept_fields(statements: Statements, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Mapping[str, str]]:
    """The values that are kept, by mailing and kept_key."""
    select = "SELECT mailing_id, recipient, fields FROM kept WHERE (mailing_id, recipient) IN"
    rows = statements.matching(select, _sorted(keys))
    return {(row.mailing_id, row.recipient): json.loads(row.fields) for row in rows}


def _keep(connection: Connection, rows: Sequence[_Row], values: Mapping[int, Mapping[str, str]]) -> None:
    """Keeps these rows, with what was kept before of the names that they do not have."""
    statements = Statements(connection)
    texts = {(mailing_id, key): fields for mailing_id, key, _, fields in rows}
    there = statements.inserted(_KEEP, rows, _KEEP_END)
    merged = [
        (json.dumps({**json.loads(row.fields), **values[row.recipient]}), row.mailing_id, row.recipient)
        for row in there
        if row.fields != texts[row.mailing_id, row.recipient]
    ]
    statements.each(_MERGE, merged)


def _slices(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    some: list[_Row] = []
    for row in rows:
        if some and (len(some) == SLICE or sum(len(each[3]) for each in some) + len(row[3]) > MOST_CHARACTERS):
            yield some
            some = []
        some.append(row)
    if some:
        yield some


def _sorted(recipients: Iterable[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    return sorted(set(recipients))


_KEEP = "INSERT INTO kept (mailing_id, recipient, time, fields)"
_KEEP_END = "ON CONFLICT (mailing_id, recipient) DO UPDATE SET time = excluded.time RETURNING mailing_id, recipient, fields"
_MERGE = "UPDATE kept SET fields = ? WHERE mailing_id = ? AND recipient = ?"
_PURGE = "DELETE FROM kept WHERE mailing_id = ? AND recipient = ? AND time < ?"
_OLD = """
SELECT kept.mailing_id, kept.recipient FROM kept JOIN mailing ON mailing.id = kept.mailing_id
WHERE kept.time < ? AND (mailing.send_time IS NULL OR mailing.send_time < ?) LIMIT ?
"""
