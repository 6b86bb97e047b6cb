"""Ids that the database gives, taken before their rows are made: so many rows can be made outside of a transaction."""

from collections.abc import Sequence

from server.store.database import GAVE_IDS
from server.store.sql import Statements


def new_ids(statements: Statements, table: str, many: int) -> Sequence[int]:
    """So many new ids of a table, ascending. They are never given again, also when their rows are never made."""
    if not many:
        return []
    statements.connection.info[GAVE_IDS] = True
    if not statements.is_sqlite:
        rows = statements.rows("SELECT nextval(pg_get_serial_sequence(?, 'id')) AS id FROM generate_series(1, ?)", (table, many))
        return sorted(row.id for row in rows)
    moved = statements.rows("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = ? RETURNING seq", (many, table))
    if not moved:  # the first rows of all
        statements.each("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [(table, many)])
    last: int = moved[0].seq if moved else many
    return range(last - many + 1, last + 1)
