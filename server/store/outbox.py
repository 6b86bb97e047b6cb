"""The outbox in the database: who may try what, what became of it, and what is left. Each method is one transaction.

Whoever tries a row holds a lease on it, and a fence that rises with each lease: a result that comes with an older fence is too late, and
changes nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, select

from server.model.action import ActionKind, ActionState
from server.model.click import Receiver, click_time
from server.model.webhooks import destination_of
from server.store.database import Database
from server.store.link_rows import link
from server.store.outbox_tables import ALIVE
from server.store.outgoing import NEVER, REMOTE_CRM
from server.store.pages import Key, Page
from server.store.sql import Statements, click_id_of
from server.store.types import to_microseconds

SLICE = 100
"""Rows that are made dead, or tried again, in one transaction."""

MANY = 200
"""Rows of a remote CRM whose time has come: so many are not put in order, but found in the order of clicks."""

_LEASE_LOCK = 7453
"""A number of PostgreSQL's advisory locks: one server leases for a destination at a time, or two could take a click's rows out of order."""


@dataclass(frozen=True, slots=True)
class Leased:
    """A row of the outbox that may be tried until its lease ends; `kind` is the link's action as it is now, None when it is gone."""

    click_id: bytes
    position: int
    fence: int
    action_id: int
    recipient: int
    scope: int | None
    destination: str
    payload: str = field(repr=False)
    attempts: int
    schedule_step: int
    last_error: str
    kind: ActionKind | None

    @property
    def key(self) -> tuple[bytes, int]:
        """What names the row."""
        return self.click_id, self.position


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of an attempt. `next_time` is for what is tried again; `gone` is the URL of a receiver that wants no more.

    `tried` = False is for what was leased and not tried after all: it counts as no attempt.
    """

    leased: Leased
    state: ActionState
    reason: str = ""
    next_time: datetime | None = None
    gone: str = ""
    tried: bool = True


class OutboxStore:
    """The outbox of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def destinations(self) -> list[str]:
        """Every destination that a row is for: one look-up each, however many rows there are."""

        def work(connection: Connection) -> list[str]:
            statements, found = Statements(connection), [""]
            select_next = "SELECT destination FROM outbox WHERE destination > ? ORDER BY destination LIMIT 1"
            while rows := list(statements.rows(select_next, [found[-1]])):
                found.append(rows[0].destination)
            return found[1:]

        return self._database.read(work)

    def due(self, destination: str, now: datetime) -> bool:
        """Whether something for this destination may be tried now: asked before a lease, which is a write."""

        def work(connection: Connection) -> bool:
            return any(Statements(connection).rows(f"{_ANY_DUE} AND {_due(destination, now)} LIMIT 1", [destination]))

        return self._database.read(work)

    def lease(self, destination: str, most: int, now: datetime, each: timedelta) -> list[Leased]:
        """At most so many rows that are due, by time, those of one click in their order; `each` is how long one of a click may take."""

        def work(connection: Connection) -> list[Leased]:
            statements = Statements(connection)
            if not statements.is_sqlite:
                statements.each(_LOCK_LEASES, [(_LEASE_LOCK, crc32(destination.encode()) & 0x7FFFFFFF)])
            order, many = "o.next_time, o.click_id, o.position", False
            if destination == REMOTE_CRM:  # few are found by time and put in order; of many that would be all of them for each lease
                order = "o.click_id, o.position"
                many = len(statements.rows(_TIME_HAS_COME, [destination, to_microseconds(now), MANY])) == MANY
            due = f"{_SELECT_DUE} AND {_due(destination, now, many)} ORDER BY {order} LIMIT ?"
            unlocked = "" if statements.is_sqlite else " FOR UPDATE OF o SKIP LOCKED"
            rows = statements.rows(due + unlocked, [destination, most])
            of_click = Counter(row.click_id for row in rows)
            leases = [(to_microseconds(now + each * of_click[row.click_id]), row.click_id, row.position) for row in rows]
            statements.each(_LEASE, leases)
            kinds = _kinds_now(connection, {row.link_id for row in rows})
            return [_leased(row, kinds.get((row.link_id, row.action_id))) for row in rows]

        return self._database.write(work)

    def release(self) -> None:
        """Ends every lease: for a server that has the database to itself, and starts."""
        self._database.write(lambda connection: Statements(connection).each(_RELEASE_LEASES, [(0,)]))

    def settle(self, settlements: Sequence[Settlement], now: datetime) -> None:
        """Writes what became of attempts; one whose lease was lost meanwhile changes nothing."""

        def work(connection: Connection) -> list[Settlement]:
            statements = Statements(connection)
            held = _held(statements, settlements)
            _settle(statements, held)
            gone = {each.leased.action_id: each for each in held if each.gone}
            statements.each(_GONE, [(action_id, each.gone, to_microseconds(now)) for action_id, each in gone.items()])
            return list(gone.values())

        for each in self._database.write(work):
            self._bury("destination = ? AND action_id = ?", (each.leased.destination, each.leased.action_id), each.reason, now)

    def bury(self, destination: str, before: datetime, now: datetime) -> None:
        """Makes dead what has waited since before this time for a destination that is away: nobody tries it any more."""
        where, values = "destination = ? AND since < ?", (destination, to_microseconds(before))
        self._bury(where, values, "The other system could not be reached for days", now)

    def retry(self, link_id: int, mailing_id: int, click_id: bytes | None, action_id: int, now: datetime) -> int:
        """Has dead rows tried again from the start of the schedule, slice by slice; how many. 0 and None narrow nothing."""
        narrowed = {"link_id": link_id, "mailing_id": mailing_id, "action_id": action_id}
        chosen = {column: value for column, value in narrowed.items() if value}
        where = " AND ".join(["state = ?", *(f"{column} = ?" for column in chosen), "(click_id, position) > (?, ?)"])
        values = [int(ActionState.dead), *chosen.values()]
        place = (click_id, -1) if click_id is not None else (bytes(16), -1)

        def next_dead(connection: Connection) -> list[tuple[Any, int]]:
            statements = Statements(connection)
            beyond = [*values, statements.click_id(place[0]), place[1]]
            only = " AND click_id = ?" if click_id is not None else ""
            if click_id is not None:
                beyond.append(statements.click_id(click_id))
            rows = statements.rows(f"{_KEYS} WHERE {where}{only} ORDER BY click_id, position LIMIT {SLICE}", beyond)
            return [(row.click_id, row.position) for row in rows]

        def revive(connection: Connection, keys: Sequence[tuple[Any, int]]) -> int:
            statements = Statements(connection)
            rows = statements.matching(f"{_SELECT_DEAD} (click_id, position) IN", keys, statements.skipping_locked)
            kinds = _kinds_now(connection, {row.link_id for row in rows})
            revived = [(_destination_now(row, kinds), to_microseconds(now), row.click_id, row.position) for row in rows]
            statements.each(_REVIVE, revived)
            statements.each(_SET_STATE, [(int(ActionState.retrying), row.click_id, row.position) for row in rows])
            statements.each("DELETE FROM gone_receiver WHERE action_id = ?", [(each,) for each in sorted({row.action_id for row in rows})])
            return len(rows)

        total = 0
        while keys := self._database.read(next_dead):  # the search is no work for the one who writes clicks
            total += self._database.write(partial(revive, keys=keys))
            place = (click_id_of(keys[-1][0]), keys[-1][1])
        return total

    def _bury(self, where: str, values: Sequence[Any], reason: str, now: datetime) -> None:
        """Makes dead what is not leased, a slice in each transaction: between two of them the writer takes the clicks that wait."""

        def work(connection: Connection) -> int:
            statements = Statements(connection)
            condition = f"{where} AND next_time < {NEVER} AND lease_time <= {to_microseconds(now)}"
            found = f"SELECT click_id, position FROM outbox WHERE {condition} LIMIT {SLICE}{statements.skipping_locked}"
            rows = list(statements.rows(found, values))
            dead = int(ActionState.dead)
            statements.each(_BURY, [(dead, NEVER, reason, row.click_id, row.position) for row in rows])
            statements.each(_BURY_RUN, [(dead, reason, row.click_id, row.position) for row in rows])
            return len(rows)

        while self._database.write(work) == SLICE:
            pass

    def receivers(self, after: Key | None, size: int) -> Page[Receiver]:
        """The destinations for which something is left, by name, with how much."""

        def work(connection: Connection) -> Page[Receiver]:
            statements = Statements(connection)
            states = [int(ActionState.waiting), int(ActionState.retrying), int(ActionState.dead)]
            rows = list(statements.rows(_COUNTS, [*states, after[0] if after else "", size + 1]))
            oldest = {row.destination: next(iter(statements.rows(_OLDEST, [row.destination]))).click_id for row in rows[:size]}
            found = [
                Receiver(row.destination, row.waiting, row.retrying, row.dead, click_time(click_id_of(oldest[row.destination])), row.error)
                for row in rows[:size]
            ]
            return Page(found, (found[-1].address,) if len(rows) > size else None)

        return self._database.read(work)


def _due(destination: str, now: datetime, in_order: bool = False) -> str:
    """What may be tried: not leased, its time has come, and what stands before it has had its turn.

    In a CRM that is what the same person's clicks left before, and its turn ends with success or for good, since what comes later may undo
    it. Elsewhere it is what the same click left for this receiver, and its turn ends with the first attempt. `in_order`: to be found in the
    order of clicks. What stands before is found by its click or recipient, never by its destination, for which all may be that wait:
    a column in an expression is hidden from the indexes that have it.
    """
    at = to_microseconds(now)
    mine = f"o.{ALIVE} AND {'+' if in_order else ''}o.next_time <= {at} AND o.lease_time <= {at}"
    of_person = "e.recipient = o.recipient AND (e.click_id < o.click_id OR e.click_id = o.click_id AND e.position < o.position)"
    of_click = "e.click_id = o.click_id AND e.position < o.position AND (e.attempts = 0 OR e.lease_time > 0)"
    before = of_person if destination == REMOTE_CRM else of_click
    not_its_turn = f"+e.next_time < {NEVER} AND (e.lease_time > {at} OR e.next_time > {at})"
    return f"{mine} AND NOT EXISTS (SELECT 1 FROM outbox AS e WHERE e.destination || '' = o.destination AND {before} AND {not_its_turn})"


def _kinds_now(connection: Connection, link_ids: Set[int]) -> dict[tuple[int, int], ActionKind]:
    """The actions of these links as they are now, by link and action."""
    rows = connection.execute(select(link.c.id, link.c.actions).where(link.c.id.in_(sorted(link_ids)))) if link_ids else ()
    return {(row.id, action.id): action.kind for row in rows for action in row.actions}


def _leased(row: Any, kind: ActionKind | None) -> Leased:
    return Leased(
        click_id_of(row.click_id),
        row.position,
        row.fence + 1,
        row.action_id,
        row.recipient,
        row.scope,
        row.destination,
        row.payload,
        row.attempts,
        row.schedule_step,
        row.last_error,
        kind,
    )


def _destination_now(row: Any, kinds: Mapping[tuple[int, int], ActionKind]) -> str:
    """Where the action sends now: the link may have been mended since."""
    kind = kinds.get((row.link_id, row.action_id))
    urls = [url for _, url in kind.receivers()] if kind else []
    return destination_of(urls[0]) if urls else str(row.destination)


def _held(statements: Statements, settlements: Sequence[Settlement]) -> list[Settlement]:
    """Those whose row still has the fence with which it was leased; nobody changes these rows until the transaction ends."""
    of_key = {each.leased.key: each for each in settlements}
    click_ids = [statements.click_id(click_id) for click_id in sorted({click_id for click_id, _ in of_key})]
    select_held = "SELECT click_id, position, fence FROM outbox WHERE click_id IN"
    rows = statements.matching(select_held, click_ids, statements.for_update("click_id, position"))
    fences = {(click_id_of(row.click_id), row.position): row.fence for row in rows}
    return [each for key, each in of_key.items() if fences.get(key) == each.leased.fence]


def _settle(statements: Statements, held: Sequence[Settlement]) -> None:
    again = (ActionState.waiting, ActionState.retrying, ActionState.dead)
    kept = [each for each in held if each.state in again]
    ended = [each for each in held if each.state not in again]
    statements.each(_KEEP, [(*_kept(each), *_key(statements, each)) for each in kept])
    statements.each(_END, [_key(statements, each) for each in ended])
    undone = [each.leased for each in ended if each.state is not ActionState.done and each.leased.scope is not None]
    claims = [(row.action_id, row.recipient, row.scope, statements.click_id(row.click_id)) for row in undone]
    statements.each(_RELEASE, claims)
    runs = [(int(each.state), _attempts(each), each.reason or None, *_key(statements, each)) for each in held]
    statements.each(_SET_RUN, runs)


def _kept(each: Settlement) -> tuple[Any, ...]:
    next_time = NEVER if each.next_time is None else to_microseconds(each.next_time)
    return int(each.state), _attempts(each), each.leased.schedule_step + each.tried, next_time, each.reason


def _attempts(each: Settlement) -> int:
    return each.leased.attempts + each.tried


def _key(statements: Statements, each: Settlement) -> tuple[Any, int]:
    return statements.click_id(each.leased.click_id), each.leased.position


_RELEASE_LEASES = "UPDATE outbox SET lease_time = 0 WHERE lease_time > ?"
_ROW = """
o.click_id, o.position, o.fence, o.action_id, o.link_id, o.recipient, o.scope, o.destination, o.payload, o.attempts, o.schedule_step,
o.last_error
"""
# A bitmap has no order: where PostgreSQL believes that few rows wait, it would look at all and sort them, for each lease.
_LOCK_LEASES = "SELECT pg_advisory_xact_lock(?, ?), set_config('enable_bitmapscan', 'off', true)"
_TIME_HAS_COME = "SELECT 1 FROM outbox WHERE destination = ? AND next_time <= ? LIMIT ?"
_ANY_DUE = "SELECT 1 FROM outbox AS o WHERE o.destination = ?"
_SELECT_DUE = f"SELECT {_ROW} FROM outbox AS o WHERE o.destination = ?"
_KEYS = "SELECT click_id, position FROM outbox"
_SELECT_DEAD = "SELECT click_id, position, action_id, link_id, destination FROM outbox WHERE state = 6 AND"
_LEASE = "UPDATE outbox SET lease_time = ?, fence = fence + 1 WHERE click_id = ? AND position = ?"
_KEEP = """
UPDATE outbox SET state = ?, attempts = ?, schedule_step = ?, next_time = ?, lease_time = 0, last_error = ?
WHERE click_id = ? AND position = ?
"""
_END = "DELETE FROM outbox WHERE click_id = ? AND position = ?"
_RELEASE = "DELETE FROM ledger WHERE action_id = ? AND recipient = ? AND scope = ? AND click_id = ?"
_SET_RUN = "UPDATE action_run SET state = ?, attempts = ?, reason = ? WHERE click_id = ? AND position = ?"
_SET_STATE = "UPDATE action_run SET state = ? WHERE click_id = ? AND position = ?"
_BURY = "UPDATE outbox SET state = ?, next_time = ?, last_error = ? WHERE click_id = ? AND position = ?"
_BURY_RUN = "UPDATE action_run SET state = ?, reason = ? WHERE click_id = ? AND position = ?"
_REVIVE = """
UPDATE outbox SET destination = ?, since = ?, state = 5, schedule_step = 0, next_time = 0 WHERE click_id = ? AND position = ?
"""
_GONE = """
INSERT INTO gone_receiver (action_id, url, time) VALUES (?, ?, ?)
ON CONFLICT (action_id) DO UPDATE SET url = excluded.url, time = excluded.time
"""
_COUNTS = """
SELECT destination, max(last_error) AS error, count(CASE WHEN state = ? THEN 1 END) AS waiting,
  count(CASE WHEN state = ? THEN 1 END) AS retrying, count(CASE WHEN state = ? THEN 1 END) AS dead
FROM outbox WHERE destination > ? GROUP BY destination ORDER BY destination LIMIT ?
"""
_OLDEST = "SELECT click_id FROM outbox WHERE destination = ? ORDER BY click_id LIMIT 1"
