"""What a reset leaves to be removed: rows that say who clicked, in slices between commits, so that no click waits for them."""

from collections import Counter

from sqlalchemy import Connection, and_, delete, exists, select, tuple_, update

from server.model.ids import NOBODY
from server.store.click_tables import click, clicker, mailing_count, reset_remains, roll_up
from server.store.database import Database
from server.store.placements import placement
from server.store.sql import Statements
from server.store.tally import lock_recipients

SLICE = 500


class ResetStore:
    """The remains of resets in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sweep(self) -> bool:
        """Removes one slice of what resets have left; whether there is more. Blocks."""
        return self._database.write(_sweep)


def _sweep(connection: Connection) -> bool:
    remains = connection.execute(select(reset_remains).limit(1).with_for_update(skip_locked=True)).first()
    if remains is None:
        return False
    link_id, below = remains.link_id, remains.generation
    if not (_clickers(connection, link_id, below) or _clicks(connection, link_id, below) or _quarters(connection, link_id, below)):
        done = (reset_remains.c.link_id == link_id, reset_remains.c.generation == below)
        connection.execute(delete(reset_remains).where(*done))
    return True


def _clickers(connection: Connection, link_id: int, below: int) -> bool:
    """Removes clickers of the link; a mailing in which one has clicked nothing else loses a clicker."""
    key = (clicker.c.link_id, clicker.c.generation, clicker.c.recipient, clicker.c.mailing_id)
    old = select(*key).where(clicker.c.link_id == link_id, clicker.c.generation < below).limit(SLICE)
    rows = connection.execute(old).all()
    if not rows:
        return False
    lock_recipients(Statements(connection), {row.recipient for row in rows})
    connection.execute(delete(clicker).where(tuple_(*key).in_([tuple(row) for row in rows])))
    gone = {(row.mailing_id, row.recipient) for row in rows if row.mailing_id}
    where = tuple_(clicker.c.mailing_id, clicker.c.recipient).in_(sorted(gone))
    left = (
        {tuple(row) for row in connection.execute(select(clicker.c.mailing_id, clicker.c.recipient).where(where).distinct())}
        if gone
        else set()
    )
    for mailing_id, lost in sorted(Counter(mailing_id for mailing_id, _ in gone - left).items()):
        fallen = mailing_count.c.clickers - lost
        connection.execute(update(mailing_count).where(mailing_count.c.mailing_id == mailing_id).values(clickers=fallen))
    return True


def _clicks(connection: Connection, link_id: int, below: int) -> bool:
    """Strips identity from clicks on the link; their ids stay, so that a late duplicate is still known."""
    of_link = select(placement.c.id).where(placement.c.link_id == link_id)
    where = (click.c.placement_id.in_(of_link), click.c.generation < below, click.c.recipient != NOBODY)
    old = select(click.c.id).where(*where).limit(SLICE)
    ids = connection.execute(old).scalars().all()
    if ids:
        connection.execute(update(click).where(click.c.id.in_(ids)).values(recipient=NOBODY))
    return bool(ids)


def _quarters(connection: Connection, link_id: int, below: int) -> bool:
    key = (roll_up.c.placement_id, roll_up.c.generation, roll_up.c.quarter)
    of_link = exists().where(and_(placement.c.id == roll_up.c.placement_id, placement.c.link_id == link_id))
    rows = connection.execute(select(*key).where(of_link, roll_up.c.generation < below).limit(SLICE)).all()
    if rows:
        connection.execute(delete(roll_up).where(tuple_(*key).in_([tuple(row) for row in rows])))
    return bool(rows)
