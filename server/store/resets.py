"""What a reset leaves to be removed: rows that say who clicked, in slices between commits, so that no click waits for them."""

from collections import Counter

from sqlalchemy import Connection, delete, func, select, tuple_, update

from server.model.ids import NOBODY
from server.store.click_tables import click, clicker, mailing_count, reset_remains, roll_up
from server.store.database import Database
from server.store.placements import placement
from server.store.script_words import forget_words_at
from server.store.sql import Statements
from server.store.tally import lock_recipients

SLICE = 200

_Place = tuple[int, int, bytes]
"""A click by its placement, its link's generation and its id."""

_START: _Place = (0, -1, bytes(16))
_END: _Place = (2**63 - 2, -1, bytes(16))


class ResetStore:
    """The remains of resets in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stripped: tuple[tuple[int, int], _Place] = ((0, 0), _START)
        """Up to where the clicks of which remains are without identity. Each slice would else read past those of all before it."""

    def sweep(self) -> bool:
        """Removes one slice of what resets have left; whether there is more. Blocks."""
        more, self._stripped = self._database.write(self._sweep)
        return more

    def _sweep(self, connection: Connection) -> tuple[bool, tuple[tuple[int, int], _Place]]:
        found = connection.execute(select(reset_remains).limit(1).with_for_update(skip_locked=True)).first()
        if found is None:
            return False, self._stripped
        link_id, below = remains = found.link_id, found.generation
        if _clickers(connection, link_id, below):
            return True, self._stripped
        if place := _clicks(connection, link_id, below, self._stripped[1] if self._stripped[0] == remains else _START):
            return True, (remains, place)
        if not _quarters(connection, link_id, below):
            done = (reset_remains.c.link_id == link_id, reset_remains.c.generation == below)
            connection.execute(delete(reset_remains).where(*done))
        return True, (remains, _END)


def _clickers(connection: Connection, link_id: int, below: int) -> bool:
    """Removes clickers of the link; a mailing in which one has clicked nothing else loses a clicker."""
    key = (clicker.c.link_id, clicker.c.generation, clicker.c.recipient, clicker.c.mailing_id)
    old = select(*key).where(clicker.c.link_id == link_id, clicker.c.generation < below).limit(SLICE)
    rows = connection.execute(old).all()
    if not rows:
        return False
    statements = Statements(connection)
    lock_recipients(statements, {row.recipient for row in rows})
    statements.each(_DELETE_CLICKER, [tuple(row) for row in rows])
    gone = {(row.mailing_id, row.recipient) for row in rows if row.mailing_id}
    left = {tuple(row) for row in statements.matching(_CLICKERS_IN_MAILINGS, sorted(gone))}
    for mailing_id, lost in sorted(Counter(mailing_id for mailing_id, _ in gone - left).items()):
        fallen = mailing_count.c.clickers - lost
        connection.execute(update(mailing_count).where(mailing_count.c.mailing_id == mailing_id).values(clickers=fallen))
    return True


def _clicks(connection: Connection, link_id: int, below: int, after: _Place) -> _Place | None:
    """Strips identity, and what scripts said, from clicks on the link beyond a place; the place that is reached, None at the end.

    Their ids stay, so that a late duplicate is still known.
    """
    first, *last = after
    key = (click.c.generation, click.c.id)
    while True:
        of_link = (placement.c.link_id == link_id, placement.c.id >= first)
        placement_id: int | None = connection.execute(select(func.min(placement.c.id)).where(*of_link)).scalar()
        if placement_id is None:
            return None
        beyond = tuple_(*key) > tuple_(*last, types=[column.type for column in key])
        where = (click.c.placement_id == placement_id, click.c.generation < below, beyond)
        rows = connection.execute(select(*key).where(*where).order_by(*key).limit(SLICE)).all()
        if rows:
            forget_words_at(Statements(connection), [row.id for row in rows])
            connection.execute(update(click).where(click.c.id.in_([row.id for row in rows])).values(recipient=NOBODY))
            return (placement_id, rows[-1].generation, rows[-1].id)
        first, *last = placement_id + 1, *_START[1:]


def _quarters(connection: Connection, link_id: int, below: int) -> bool:
    key = (roll_up.c.placement_id, roll_up.c.generation, roll_up.c.quarter)
    of_link = roll_up.c.placement_id.in_(select(placement.c.id).where(placement.c.link_id == link_id))
    rows = connection.execute(select(*key).where(of_link, roll_up.c.generation < below).limit(SLICE)).all()
    Statements(connection).each(_DELETE_QUARTER, [tuple(row) for row in rows])
    return bool(rows)


# By one key each: SQLite reads the whole table for several keys of more than one column.
_DELETE_CLICKER = "DELETE FROM clicker WHERE link_id = ? AND generation = ? AND recipient = ? AND mailing_id = ?"
_DELETE_QUARTER = "DELETE FROM roll_up WHERE placement_id = ? AND generation = ? AND quarter = ?"
_CLICKERS_IN_MAILINGS = "SELECT DISTINCT mailing_id, recipient FROM clicker WHERE (mailing_id, recipient) IN"
