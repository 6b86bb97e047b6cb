"""How callers name entries of the CRM's catalogues."""

from sqlmodel import SQLModel

from server.model.crm import Catalog
from server.model.ids import Id


class EntryReference(SQLModel):
    """An entry that something names; it may not exist."""

    catalog: Catalog
    id: Id


class EntryFilter(SQLModel):
    """Which entries are asked for: those of one catalogue, or of all."""

    catalog: Catalog | None = None
