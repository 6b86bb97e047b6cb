"""Placements of special links in the database: what the URL of one refers to."""

from sqlalchemy import Connection, select

from server.model.mailing import PlacementKind
from server.model.subscription import SpecialPlacement
from server.store.database import Database
from server.store.mailings import as_mailing, mailing
from server.store.placements import placement


class SpecialPlacementStore:
    """The special placements of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, placement_id: int) -> SpecialPlacement | None:
        """What a placement of a special link refers to; None for a link's, and where there is none."""

        def work(connection: Connection) -> SpecialPlacement | None:
            row = connection.execute(select(placement.c.kind, placement.c.mailing_id).where(placement.c.id == placement_id)).first()
            if row is None or row.kind == PlacementKind.link:
                return None
            found = connection.execute(select(mailing).where(mailing.c.id == row.mailing_id)).one()
            return SpecialPlacement(PlacementKind(row.kind), as_mailing(found))

        return self._database.read(work)
