"""The newest clicks of a link or a mailing, found by an index however many there are: those of each placement, merged."""

import heapq
from collections.abc import Mapping

from server.store.sql import Statements, click_id_of

PLACES_AT_ONCE = 100
"""Placements that are asked for together; what they have tells how new clicks of the next ones must be."""


def newest_clicks(
    statements: Statements, link_id: int, mailing_id: int, count: int, conditions: Mapping[str, object | None]
) -> list[bytes]:
    """The ids of at most `count` clicks since the last reset that meet the conditions, newest first. 0 = any link, any mailing, not both.

    A condition is SQL over `click`, with the value of its `?`, or None where it has none.
    """
    found: list[bytes] = []
    places = _places(statements, link_id, mailing_id)
    for start in range(0, len(places), PLACES_AT_ONCE):
        newer = {"id > ?": statements.click_id(found[-1])} if len(found) == count else {}
        question, values = _question({**conditions, **newer})
        asked = [(question, [*place, *values, count]) for place in places[start : start + PLACES_AT_ONCE]]
        new = (click_id_of(row.id) for rows in statements.rows_of_each(asked) for row in rows)
        found = heapq.nlargest(count, [*found, *new])
    return found


def _places(statements: Statements, link_id: int, mailing_id: int) -> list[tuple[int, int]]:
    """The placements, each with the generation of its link."""
    limits = {"placement.link_id": link_id, "placement.mailing_id": mailing_id}
    wanted = {column: value for column, value in limits.items() if value}
    conditions = " AND ".join(f"{column} = ?" for column in wanted)
    select = f"SELECT placement.id, link.generation FROM placement JOIN link ON link.id = placement.link_id WHERE {conditions}"
    return [(row.id, row.generation) for row in statements.rows(select, list(wanted.values()))]


def _question(conditions: Mapping[str, object | None]) -> tuple[str, list[object]]:
    where = "".join(f" AND {condition}" for condition in conditions)
    values = [value for value in conditions.values() if value is not None]
    return f"SELECT id FROM click WHERE placement_id = ? AND generation = ?{where} ORDER BY id DESC LIMIT ?", values
