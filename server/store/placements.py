"""Placements and addresses in the database: what URLs are minted from."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from server.model.crm import address_key
from server.model.errors import DomainError, Reason
from server.model.mailing import MessagePart, Placement, PlacementKind
from server.store.changes import next_change
from server.store.database import GAVE_IDS, Database
from server.store.links import by_ids, refuse_local
from server.store.sql import Statements
from server.store.tables import PlacementRow, table_of

placement = table_of(PlacementRow)

SLICE = 200
"""Addresses that are numbered in one transaction: between two of them the writer takes the clicks that wait."""


class PlacementStore:
    """The placements and addresses of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def outside(self, link_ids: Sequence[int]) -> list[Placement]:
        """The placements of registered links outside any mailing, made where there is none.

        Raises LINK_NOT_FOUND, LINK_DELETED and LINK_IS_LOCAL.
        """

        def work(connection: Connection) -> list[Placement]:
            for found in by_ids(connection, link_ids):
                refuse_local(found, "has no URLs outside it")
                if found.delete_time is not None:
                    raise DomainError(Reason.link_deleted, f"link {found.id} is deleted; undelete it first", id=found.id)
            uses = [Placement(mailing_id=0, link_id=link_id, part=MessagePart.outside) for link_id in dict.fromkeys(link_ids)]
            insert_placements(connection, uses)
            return sorted(of_mailing(connection, 0, link_ids), key=lambda found: found.id)

        return self._database.write(work)

    def addresses(self, emails: Sequence[str]) -> dict[str, int]:
        """The address ids of these e-mail addresses, made where there is none; addresses that DOMAIN calls one have one id."""
        found: dict[str, int] = {}
        for start in range(0, len(emails), SLICE):
            found |= self._database.write(partial(_addresses, emails=emails[start : start + SLICE]))
        return found


def _addresses(connection: Connection, emails: Sequence[str]) -> dict[str, int]:
    return address_ids(Statements(connection), emails)


def address_ids(statements: Statements, emails: Sequence[str]) -> dict[str, int]:
    """What `PlacementStore.addresses` gives, within a transaction that writes."""
    keys = {email: address_key(email) for email in emails}
    wanted = sorted({key: email for email, key in reversed(keys.items())}.items())  # of several spellings the first is kept
    found = {row.key: row.id for row in statements.matching("SELECT id, key FROM address WHERE key IN", [key for key, _ in wanted])}
    missing = [row for row in wanted if row[0] not in found]
    if missing:
        statements.connection.info[GAVE_IDS] = True
    statements.each("INSERT INTO address (key, address) VALUES (?, ?) ON CONFLICT DO NOTHING", missing)
    select_again = statements.matching("SELECT id, key FROM address WHERE key IN", [key for key, _ in missing])
    found |= {row.key: row.id for row in select_again}
    return {email: found[key] for email, key in keys.items()}


def insert_placements(connection: Connection, uses: Sequence[Placement]) -> None:
    """Makes those of the placements that do not exist; the same use is the same placement."""
    if uses:
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        stamp = {"change": next_change(connection)}
        rows = [use.model_dump(exclude={"id"}) | {"kind": int(use.kind), "part": int(use.part)} | stamp for use in uses]
        connection.execute(insert(placement).on_conflict_do_nothing(), rows)


def of_mailing(connection: Connection, mailing_id: int, link_ids: Sequence[int] | None = None) -> list[Placement]:
    """The placements of a mailing, by id; only those of some links where these are given."""
    statement = select(placement).where(placement.c.mailing_id == mailing_id).order_by(placement.c.id)
    if link_ids is not None:
        statement = statement.where(placement.c.link_id.in_(link_ids))
    return [_placement(row) for row in connection.execute(statement)]


def _placement(row: Any) -> Placement:
    fields = {name: getattr(row, name) for name in Placement.model_fields}
    return Placement.model_construct(**fields | {"kind": PlacementKind(row.kind), "part": MessagePart(row.part)})
