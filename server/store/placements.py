"""Placements and addresses in the database: what URLs are minted from."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from server.model.crm import address_key
from server.model.errors import DomainError, Reason
from server.model.mailing import MessagePart, Placement, PlacementKind
from server.store.changes import next_change
from server.store.database import GAVE_IDS, Database
from server.store.links import by_ids, refuse_local
from server.store.new_ids import new_ids
from server.store.sql import Insert, Statements
from server.store.tables import PlacementRow, table_of

placement = table_of(PlacementRow)

SLICE = 200
"""Addresses, or placements outside mailings, that one transaction makes: between two of them the writer takes the clicks that wait."""


class PlacementStore:
    """The placements and addresses of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def outside(self, link_ids: Sequence[int]) -> list[Placement]:
        """The placements of registered links outside any mailing, made where there is none.

        Raises LINK_NOT_FOUND, LINK_DELETED and LINK_IS_LOCAL.
        """

        def look(connection: Connection) -> list[Placement]:
            for found in by_ids(connection, link_ids):
                refuse_local(found, "has no URLs outside it")
                if found.delete_time is not None:
                    raise DomainError(Reason.link_deleted, f"link {found.id} is deleted; undelete it first", id=found.id)
            return of_mailing(connection, 0, link_ids)

        there = self._database.read(look)
        lacking = [link_id for link_id in dict.fromkeys(link_ids) if link_id not in {found.link_id for found in there}]
        for start in range(0, len(lacking), SLICE):
            rows = [(0, each, int(PlacementKind.link), int(MessagePart.outside), 0, "") for each in lacking[start : start + SLICE]]
            self._database.write(partial(insert_placements, rows=rows))
        return self._database.read(look) if lacking else there

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


def insert_placements(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> Sequence[int]:
    """Makes placements of these mailings, links, kinds, parts, ordinals and URLs; their numbers. One that there is stays.

    Comes last in a transaction.
    """
    statements = Statements(connection)
    change = next_change(connection)
    ids = new_ids(statements, "placement", len(rows))
    statements.insert(_INSERT, [(number, *row, change) for number, row in zip(ids, rows, strict=True)])
    return ids


def of_mailing(connection: Connection, mailing_id: int, link_ids: Sequence[int] | None = None) -> list[Placement]:
    """The placements of a mailing, by id; only those of some links where these are given."""
    statement = select(placement).where(placement.c.mailing_id == mailing_id).order_by(placement.c.id)
    if link_ids is not None:
        statement = statement.where(placement.c.link_id.in_(link_ids))
    return [_placement(row) for row in connection.execute(statement)]


def _placement(row: Any) -> Placement:
    fields = {name: getattr(row, name) for name in Placement.model_fields}
    return Placement.model_construct(**fields | {"kind": PlacementKind(row.kind), "part": MessagePart(row.part)})


_INSERT = Insert(
    "placement",
    {"id": "bigint", "mailing_id": "bigint", "link_id": "bigint", "kind": "smallint", "part": "smallint", "ordinal": "bigint"}
    | {"url": "text", "change": "bigint"},
    "ON CONFLICT DO NOTHING",
)
