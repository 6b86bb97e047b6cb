"""The newest clicks of a link or a mailing, found by an index however many there are: those of each placement, merged."""

import heapq
from collections.abc import Mapping, Sequence

from server.store.sql import Statements, click_id_of

PLACES_AT_ONCE = 100
"""Placements that are asked for together; what they have tells how new clicks of the next ones must be."""

LOWEST, HIGHEST = b"\x00" * 16, b"\xff" * 16

Place = tuple[int, int, bytes, bytes]
"""A placement, the generation of its link, and the lowest and highest id that a wanted click may have."""


def newest_clicks(
    statements: Statements, places: Sequence[Place], count: int, conditions: Mapping[str, object | None], highest: bytes = HIGHEST
) -> list[bytes]:
    """The ids of at most `count` clicks in these places that meet the conditions, newest first, none above `highest`.

    A condition is SQL over `click`, with the value of its `?`, or None where it has none.
    """
    found: list[bytes] = []
    question, values = _question(conditions)
    for start in range(0, len(places), PLACES_AT_ONCE):
        lowest = next_id(found[-1]) if len(found) == count else LOWEST
        asked = []
        for placement_id, generation, first, last in places[start : start + PLACES_AT_ONCE]:  # one bound a side: SQLite seeks by the first
            bounds = [statements.click_id(each) for each in (max(first, lowest), min(last, highest))]
            asked.append((question, [placement_id, generation, *bounds, *values, count]))
        new = (click_id_of(row.id) for rows in statements.rows_of_each(asked) for row in rows)
        found = heapq.nlargest(count, [*found, *new])
    return found


def next_id(click_id: bytes, step: int = 1) -> bytes:
    """The lowest id above this one; with -1 the highest below. There is none above the highest, which no click has."""
    return (int.from_bytes(click_id, "big") + step).to_bytes(16, "big")


def places_of(statements: Statements, link_id: int, mailing_id: int, acting: bool = False) -> list[Place]:
    """Where the clicks are since the last reset. 0 = any link, any mailing, not both. `acting`: only of links that ever had an action."""
    where, values = _where({"placement.link_id": link_id, "placement.mailing_id": mailing_id})
    if acting:
        where += " AND EXISTS (SELECT 1 FROM link_action WHERE link_action.link_id = placement.link_id)"
    return [(row.id, row.generation, LOWEST, HIGHEST) for row in statements.rows(_PLACES + where, values)]


def places_of_clicker(statements: Statements, recipient: int, link_id: int, mailing_id: int) -> list[Place]:
    """Where a recipient's counted clicks since the last reset are, each place from the first to the last of them. 0 as for `places_of`."""
    where, values = _where({"clicker.recipient": recipient, "clicker.link_id": link_id, "clicker.mailing_id": mailing_id})
    rows = statements.rows(_PLACES_OF_CLICKER + where, values)
    return [(row.id, row.generation, *_between(row.first_time, row.last_time)) for row in rows]


def counted(statements: Statements, link_id: int, mailing_id: int) -> tuple[int, bytes, bytes]:
    """How many counted clicks there are since the last reset, and the lowest and highest id that they may have. 0 as for `places_of`."""
    where, values = _where({"link_id": link_id, "mailing_id": mailing_id})
    (row,) = statements.rows(_COUNTED + where, values)
    return (0, HIGHEST, LOWEST) if row.first_time is None else (int(row.clicks), *_between(row.first_time, row.last_time))


def _where(limits: Mapping[str, int]) -> tuple[str, list[int]]:
    wanted = {column: value for column, value in limits.items() if value}
    return f" WHERE {' AND '.join(f'{column} = ?' for column in wanted)}", list(wanted.values())


def _between(first_time: int, last_time: int) -> tuple[bytes, bytes]:
    """The lowest and the highest id of clicks from one time to another, in microseconds."""
    return (first_time // 1000).to_bytes(6, "big") + bytes(10), (last_time // 1000).to_bytes(6, "big") + b"\xff" * 10


def _question(conditions: Mapping[str, object | None]) -> tuple[str, list[object]]:
    where = "".join(f" AND {condition}" for condition in conditions)
    values = [value for value in conditions.values() if value is not None]
    return f"{_CLICKS}{where} ORDER BY id DESC LIMIT ?", values


_CLICKS = "SELECT id FROM click WHERE placement_id = ? AND generation = ? AND id >= ? AND id <= ?"
_PLACES = "SELECT placement.id, link.generation FROM placement JOIN link ON link.id = placement.link_id"
_PLACES_OF_CLICKER = """
SELECT placement.id, link.generation, clicker.first_time, clicker.last_time FROM clicker
JOIN link ON link.id = clicker.link_id AND link.generation = clicker.generation
JOIN placement ON placement.link_id = clicker.link_id AND placement.mailing_id = clicker.mailing_id"""
_COUNTED = "SELECT sum(clicks) AS clicks, min(first_time) AS first_time, max(last_time) AS last_time FROM mailing_link_count"
