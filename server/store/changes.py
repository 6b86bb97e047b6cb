"""Changes of where placements lead, by number: whoever has seen all up to one of them asks for what came after."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from server.model.click import SpecialLink
from server.model.link import Link
from server.model.mailing import Mailing, PlacementKind
from server.store.database import Database
from server.store.tables import LastChangeRow, LinkRow, MailingRow, PlacementRow, table_of

_link, _mailing, _placement, _last = table_of(LinkRow), table_of(MailingRow), table_of(PlacementRow), table_of(LastChangeRow)

Position = tuple[int, int]
"""How far someone has come: the number of a change, and the last placement of it."""

START: Position = (0, 0)


@dataclass(frozen=True, slots=True)
class Lead:
    """Where a placement leads: to a link in a mailing (None: outside one), or to a special link."""

    placement_id: int
    to: tuple[Link, Mailing | None] | SpecialLink


def next_change(connection: Connection) -> int:
    """The number of the change that this transaction makes of where placements lead.

    From here to its end other transactions that make one wait, so that changes become visible in the order of their numbers.
    """
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(_last).values(id=1, number=2)
    again = statement.on_conflict_do_update(index_elements=["id"], set_={"number": _last.c.number + 1})
    return int(connection.execute(again.returning(_last.c.number)).scalar_one())


def placements_changed(connection: Connection, of: "ColumnElement[int]", number: int) -> None:
    """Has those who watch told of the placements of a link or a mailing, whose id is in the column `of`. Comes last in a transaction."""
    connection.execute(update(_placement).where(of == number).values(change=next_change(connection)))


class ChangeStore:
    """The changes of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, position: Position, most: int) -> tuple[list[Lead], Position]:
        """The next placements, at most so many, that have changed since then, and how far that comes.

        A position that the database has not come to yet is of one that was set back: then everything has changed.
        """

        def work(connection: Connection) -> tuple[list[Lead], Position]:
            last = connection.execute(select(_last.c.number)).scalar() or 1
            since = position if position[0] <= last else START
            key = (_placement.c.change, _placement.c.id)
            columns = (*key, _placement.c.kind, _placement.c.link_id, _placement.c.mailing_id)
            rows = connection.execute(select(*columns).where(tuple_(*key) > since).order_by(*key).limit(most)).all()
            links = {row.id: _as(Link, row) for row in _by_id(connection, _link, (row.link_id for row in rows))}
            mailings = {row.id: _as(Mailing, row) for row in _by_id(connection, _mailing, (row.mailing_id for row in rows))}
            leads = [
                Lead(row.id, (links[row.link_id], mailings.get(row.mailing_id)))
                if row.kind == PlacementKind.link
                else Lead(row.id, SpecialLink(PlacementKind(row.kind)))
                for row in rows
            ]
            return leads, (rows[-1].change, rows[-1].id) if rows else since

        return self._database.read(work)


def _by_id(connection: Connection, table: Any, ids: Iterable[int]) -> Iterable[Any]:
    return connection.execute(select(table).where(table.c.id.in_(set(ids))))


def _as(model: Any, row: Any) -> Any:
    return model.model_construct(**{name: getattr(row, name) for name in model.model_fields})
