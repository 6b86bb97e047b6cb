"""What recipients want of their subscriptions and a remote CRM has still to be told, in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from server.store.database import Database
from server.store.sql import Statements
from server.store.types import from_microseconds, to_microseconds


@dataclass(frozen=True, slots=True)
class WaitingChange:
    """A change that a remote CRM has not taken yet."""

    recipient: int
    mailing_type_id: int
    subscribed: bool
    change_time: datetime
    attempts: int


class SubscriptionChangeStore:
    """The waiting changes of one database. Each method blocks and is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, changes: Sequence[WaitingChange]) -> None:
        """Keeps changes, all or none; an earlier one of the same subscription need not be told any more."""
        rows = [(each.recipient, each.mailing_type_id, each.subscribed, to_microseconds(each.change_time), 0, 0) for each in changes]
        self._database.write(lambda connection: Statements(connection).each(_ADD, rows))

    def of(self, recipient: int) -> dict[int, WaitingChange]:
        """What waits of one recipient, by mailing type."""
        statement = f"{_SELECT} WHERE recipient = ?"
        return {change.mailing_type_id: change for change in self._read(statement, (recipient,))}

    def due(self, now: datetime, most: int) -> Sequence[WaitingChange]:
        """What may be tried now, what has waited longest first."""
        return self._read(f"{_SELECT} WHERE next_time <= ? ORDER BY next_time, change_time LIMIT ?", (to_microseconds(now), most))

    def done(self, change: WaitingChange) -> None:
        """Removes a change that was told, unless the recipient has changed it since."""
        row = (change.recipient, change.mailing_type_id, to_microseconds(change.change_time))
        self._database.write(lambda connection: Statements(connection).each(_DONE, [row]))

    def postpone(self, change: WaitingChange, until: datetime) -> None:
        """Has a change tried again later, unless the recipient has changed it since."""
        row = (to_microseconds(until), change.recipient, change.mailing_type_id, to_microseconds(change.change_time))
        self._database.write(lambda connection: Statements(connection).each(_POSTPONE, [row]))

    def _read(self, statement: str, values: Sequence[int]) -> list[WaitingChange]:
        def work(connection: Connection) -> list[WaitingChange]:
            rows = Statements(connection).rows(statement, values)
            return [
                WaitingChange(row.recipient, row.mailing_type_id, bool(row.subscribed), from_microseconds(row.change_time), row.attempts)
                for row in rows
            ]

        return self._database.read(work)


_SELECT = "SELECT recipient, mailing_type_id, subscribed, change_time, attempts FROM subscription_change"
_ADD = """
INSERT INTO subscription_change (recipient, mailing_type_id, subscribed, change_time, attempts, next_time) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (recipient, mailing_type_id) DO UPDATE
SET subscribed = excluded.subscribed, change_time = excluded.change_time, attempts = 0, next_time = 0
WHERE excluded.change_time >= subscription_change.change_time
"""
_DONE = "DELETE FROM subscription_change WHERE recipient = ? AND mailing_type_id = ? AND change_time = ?"
_POSTPONE = """
UPDATE subscription_change SET attempts = attempts + 1, next_time = ? WHERE recipient = ? AND mailing_type_id = ? AND change_time = ?
"""
