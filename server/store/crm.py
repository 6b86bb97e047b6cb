"""The embedded CRM in the database: each method is one transaction."""

from collections.abc import Collection

from sqlalchemy import select

from server.model.crm import Catalog
from server.store.crm_tables import EntryRow
from server.store.database import Database
from server.store.tables import table_of

_entry = table_of(EntryRow)


class CrmStore:
    """The embedded CRM of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def missing(self, references: Collection[tuple[Catalog, int]]) -> set[tuple[Catalog, int]]:
        """Those of the references that do not exist."""
        ids = {entry_id for _, entry_id in references}
        statement = select(_entry.c.catalog, _entry.c.id).where(_entry.c.id.in_(ids))
        found = self._database.read(lambda connection: {(Catalog(row.catalog), row.id) for row in connection.execute(statement)})
        return set(references) - found
