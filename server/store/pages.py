"""Pages by keyset, never by OFFSET: a page begins after the last row of the page before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, tuple_

T = TypeVar("T")
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of what was asked for, and the key of the last of them when there is more."""

    items: list[T]
    next_key: Key | None = None


def page_of(
    connection: Connection,
    statement: Select[Any],
    key: Sequence[ColumnElement[Any]],
    after: Key | None,
    size: int,
    descending: bool = False,
) -> tuple[Sequence[Any], Key | None]:
    """The rows of one page of a statement, ordered by `key`, which must be unique; and the key of its last row when more follow."""
    if after is not None:
        here = tuple_(*key)
        bound = tuple_(*after, types=[column.type for column in key])
        statement = statement.where(here < bound if descending else here > bound)
    ordered = statement.order_by(*(column.desc() if descending else column for column in key)).limit(size + 1)
    rows = connection.execute(ordered.add_columns(*(column.label(f"_key{index}") for index, column in enumerate(key)))).all()
    if len(rows) <= size:
        return rows, None
    last = rows[size - 1]
    return rows[:size], tuple(getattr(last, f"_key{index}") for index in range(len(key)))
