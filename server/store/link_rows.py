"""Links as rows: their table, how a link stands in it, and the ids that its actions are given."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from server.model.action import ActionKind, LinkAction
from server.model.errors import Violation, invalid
from server.model.link import Form, Link, Redirect
from server.model.text import name_key
from server.store.folders import folder_exists
from server.store.tables import LinkActionRow, LinkRow, table_of

link = table_of(LinkRow)
_action = table_of(LinkActionRow)


def as_link(row: Any) -> Link:
    """A row of the table as a plain link."""
    return Link.model_construct(**{name: getattr(row, name) for name in Link.model_fields})


def insert_link(connection: Connection, draft: Link) -> int:
    """Inserts one link and gives its actions their ids; its own id. Raises FOLDER_NOT_FOUND."""
    folder_exists(connection, draft.folder_id)
    values = columns(draft) | {"actions": []}
    stamp = {"folder_id": draft.folder_id, "mailing_id": draft.mailing_id, "creator": draft.creator, "create_time": draft.create_time}
    stamp |= {"updater": draft.updater, "update_time": draft.update_time, "revision": 1, "generation": 0}
    link_id: int = connection.execute(insert(link).values(**values | stamp).returning(link.c.id)).scalar_one()
    if draft.actions:
        new = [action.model_copy(update={"id": 0}) for action in draft.actions]
        numbered = number_actions(connection, link_id, (), new, draft.create_time)
        connection.execute(update(link).where(link.c.id == link_id).values(actions=numbered))
    return link_id


def number_actions(
    connection: Connection, link_id: int, before: Sequence[LinkAction], wanted: Sequence[LinkAction], now: datetime | None
) -> list[LinkAction]:
    """The actions as they are stored, with an id each: one sent back is kept, 0 gets a new one.

    Raises INVALID_FIELD for an id that is not this link's, of another kind, or there twice, and for an action that cannot be stored.
    """
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
    return [
        action.model_copy(update={"id": action.id or _new_action(connection, link_id, action), "kind": kind})
        for action, kind in zip(wanted, stored, strict=True)
    ]


def _new_action(connection: Connection, link_id: int, action: LinkAction) -> int:
    statement = insert(_action).values(link_id=link_id, tag=action.kind.tag).returning(_action.c.id)
    return int(connection.execute(statement).scalar_one())


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
