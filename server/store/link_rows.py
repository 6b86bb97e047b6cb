"""Links as rows: their table, how a link stands in it, and the ids that its actions are given."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from server.model.action import ActionKind, LinkAction
from server.model.errors import Violation, invalid
from server.model.link import Form, Link, Redirect
from server.model.text import name_key
from server.store.folders import folder_exists
from server.store.new_ids import new_ids
from server.store.sql import Insert, Statements
from server.store.tables import LinkRow, table_of
from server.store.types import as_json, to_microseconds

link = table_of(LinkRow)

_BIG = "bigint"
INSERT_ACTION = Insert("link_action", {"id": _BIG, "link_id": _BIG, "tag": "text"})
INSERT_LINK = Insert(
    "link",
    {"id": _BIG, "name": "text", "folder_id": _BIG, "response": "json", "actions": "json", "mailing_id": _BIG, "creator": _BIG}
    | {"updater": _BIG, "create_time": _BIG, "update_time": _BIG, "revision": "int", "generation": "int"}
    | {"name_key": "text", "search_key": "text"},
)
_FOLDER = 2
"""Where the folder stands in a row of INSERT_LINK."""


def as_link(row: Any) -> Link:
    """A row of the table as a plain link."""
    return Link.model_construct(**{name: getattr(row, name) for name in Link.model_fields})


def ids_for(statements: Statements, drafts: Sequence[Link]) -> tuple[Sequence[int], Sequence[int]]:
    """Numbers for new links, and for all of their actions."""
    return new_ids(statements, "link", len(drafts)), new_ids(statements, "link_action", sum(len(draft.actions) for draft in drafts))


def numbered(drafts: Sequence[Link], ids: tuple[Sequence[int], Sequence[int]]) -> list[Link]:
    """New links with these numbers. Raises INVALID_FIELD for an action that cannot be stored."""
    links, actions = iter(ids[0]), iter(ids[1])
    return [draft.model_copy(update={"id": next(links), "actions": _numbered_actions(draft, actions)}) for draft in drafts]


def _numbered_actions(draft: Link, ids: Iterator[int]) -> list[LinkAction]:
    kinds = _stored((), draft.actions, draft.create_time)
    return [action.model_copy(update={"id": next(ids), "kind": kind}) for action, kind in zip(draft.actions, kinds, strict=True)]


def action_rows(links: Iterable[Link]) -> list[tuple[int, int, str]]:
    """The rows that INSERT_ACTION takes, of links that have their numbers."""
    return [(action.id, each.id, action.kind.tag) for each in links for action in each.actions]


def link_row(new: Link) -> tuple[Any, ...]:
    """The row that INSERT_LINK takes of a new link that has its number. Makes the JSON, so it is best done outside of a transaction."""
    assert new.create_time is not None
    assert new.update_time is not None
    texts = columns(new)
    response, actions = (as_json(link.c[name].type, texts[name]) for name in ("response", "actions"))
    times = (to_microseconds(new.create_time), to_microseconds(new.update_time))
    who = (new.mailing_id, new.creator, new.updater)
    return (new.id, new.name, new.folder_id, response, actions, *who, *times, 1, 0, texts["name_key"], texts["search_key"])


def insert_links(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """Inserts new links by their rows; their ids. Raises FOLDER_NOT_FOUND."""
    for folder_id in sorted({row[_FOLDER] for row in rows}):
        folder_exists(connection, folder_id)
    Statements(connection).insert(INSERT_LINK, rows)
    return [row[0] for row in rows]


def number_actions(
    connection: Connection, link_id: int, before: Sequence[LinkAction], wanted: Sequence[LinkAction], now: datetime | None
) -> list[LinkAction]:
    """The actions as they are stored, with an id each: one sent back is kept, 0 gets a new one.

    Raises INVALID_FIELD for an id that is not this link's, of another kind, or there twice, and for an action that cannot be stored.
    """
    kinds = _stored(before, wanted, now)
    new = iter(new_ids(Statements(connection), "link_action", sum(1 for action in wanted if not action.id)))
    numbered = [action.model_copy(update={"id": action.id or next(new), "kind": kind}) for action, kind in zip(wanted, kinds, strict=True)]
    rows = [(action.id, link_id, action.kind.tag) for action, draft in zip(numbered, wanted, strict=True) if not draft.id]
    Statements(connection).insert(INSERT_ACTION, rows)
    return numbered


def _stored(before: Sequence[LinkAction], wanted: Sequence[LinkAction], now: datetime | None) -> list[ActionKind]:
    """What is stored of each action. Raises INVALID_FIELD as `number_actions` does."""
    assert now is not None
    known = {action.id: action.kind.tag for action in before}
    kinds = {action.id: action.kind for action in before}
    stored: list[ActionKind] = []
    problems: list[Violation] = []
    seen: set[int] = set()
    for index, action in enumerate(wanted):
        path = f"link.actions[{index}].id"
        try:
            stored.append(action.kind.stored(kinds.get(action.id), now))
        except ValueError as error:
            problems.append(Violation(f"link.actions[{index}].{action.kind.tag}", str(error)))
        if not action.id:
            continue
        if action.id not in known:
            problems.append(Violation(path, f"this link has no action {action.id}; leave the id out for a new one"))
        elif known[action.id] != action.kind.tag:
            problems.append(Violation(path, f"action {action.id} is of kind {known[action.id]}, not {action.kind.tag}"))
        elif action.id in seen:
            problems.append(Violation(path, f"action {action.id} stands here twice"))
        seen.add(action.id)
    if problems:
        raise invalid(*problems)
    return stored


def columns(wanted: Link) -> dict[str, Any]:
    """What a caller may change of a link, as columns."""
    url = wanted.response.url if isinstance(wanted.response, Redirect | Form) else ""
    return {
        "name": wanted.name,
        "name_key": name_key(wanted.name),
        "search_key": name_key(f"{wanted.name}\n{url}"),
        "response": wanted.response,
        "actions": wanted.actions,
    }
