"""What recipients of mailings brought, where special links or merge fields in URLs read it later, in the database."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from server.store.database import Database
from server.store.sql import Statements
from server.store.types import from_microseconds, to_microseconds

KEPT = timedelta(days=90)
"""How long after the mailing's send_time, and after the URLs were minted, values are kept. Source: DESIGN, A tracked URL."""

SLICE = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """What one recipient of a mailing brought, and when the recipient's URLs were minted last."""

    time: datetime
    fields: Mapping[str, str]


class KeptStore:
    """What is kept in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, mailing_id: int, values: Mapping[int, Mapping[str, str]], now: datetime) -> None:
        """Keeps what recipients, by their numbers, brought; what they brought before is replaced."""
        time = to_microseconds(now)
        rows = [(mailing_id, number, time, json.dumps(dict(fields), ensure_ascii=False)) for number, fields in sorted(values.items())]
        if rows:
            self._database.write(lambda connection: Statements(connection).each(_KEEP, rows))

    def of(self, mailing_id: int, recipient: int) -> Kept | None:
        """What is kept of one recipient."""

        def work(connection: Connection) -> Kept | None:
            rows = Statements(connection).rows(
                "SELECT time, fields FROM kept WHERE mailing_id = ? AND recipient = ?", (mailing_id, recipient)
            )
            return next((Kept(from_microseconds(row.time), json.loads(row.fields)) for row in rows), None)

        return self._database.read(work)

    def purge(self, now: datetime) -> bool:
        """Removes one slice of what is older than it may be; whether there may be more. Blocks."""
        before = to_microseconds(now - KEPT)

        def work(connection: Connection) -> bool:
            statements = Statements(connection)
            old = [(row.mailing_id, row.recipient) for row in statements.rows(_OLD, (before, before, SLICE))]
            statements.each("DELETE FROM kept WHERE mailing_id = ? AND recipient = ?", old)
            return len(old) == SLICE

        return self._database.write(work)


def kept_fields(statements: Statements, recipients: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Mapping[str, str]]:
    """The values that are kept, by mailing and recipient number."""
    rows = statements.matching("SELECT mailing_id, recipient, fields FROM kept WHERE (mailing_id, recipient) IN", _sorted(recipients))
    return {(row.mailing_id, row.recipient): json.loads(row.fields) for row in rows}


def _sorted(recipients: Iterable[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    return sorted(set(recipients))


_KEEP = """
INSERT INTO kept (mailing_id, recipient, time, fields) VALUES (?, ?, ?, ?)
ON CONFLICT (mailing_id, recipient) DO UPDATE SET time = excluded.time, fields = excluded.fields
"""
_OLD = """
SELECT kept.mailing_id, kept.recipient FROM kept JOIN mailing ON mailing.id = kept.mailing_id
WHERE kept.time < ? AND (mailing.send_time IS NULL OR mailing.send_time < ?) LIMIT ?
"""
