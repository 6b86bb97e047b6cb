"""Rows of the outbox: what an action run leaves for another system, written in the click's own transaction."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from server.actions.webhook import unnamed
from server.model.action import ActionKind, ActionState, LinkAction, Occasion
from server.model.crm import Contact
from server.model.effects import SendEvent
from server.store.sql import Statements
from server.store.types import from_microseconds, to_microseconds

REMOTE_CRM = "crm"
"""The destination of what is to happen in a remote CRM; every other destination is a URL's scheme, host and port."""

NEVER = 2**62
"""The next attempt of a dead run, in microseconds."""

_KINDS: TypeAdapter[ActionKind] = TypeAdapter(LinkAction.model_fields["kind"].rebuild_annotation())


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What one action run leaves for another system."""

    click_id: bytes
    position: int
    action_id: int
    link_id: int
    mailing_id: int
    recipient: int
    scope: int | None
    destination: str
    payload: str


@dataclass(frozen=True, slots=True)
class CrmTask:
    """What is to happen in a remote CRM: which effects these are is decided with the person's card as it is then."""

    kind: ActionKind
    occasion: Occasion


def event_payload(event: SendEvent) -> str:
    """An event for another system, as the outbox keeps it."""
    return json.dumps({"url": event.url, "secrets": event.secrets, "id": event.id, "body": event.body}, ensure_ascii=False)


def event_of(destination: str, payload: str) -> SendEvent:
    """The event in a payload."""
    kept = json.loads(payload)
    return SendEvent(destination, kept["url"], tuple(kept["secrets"]), kept["id"], kept["body"])


def crm_payload(kind: ActionKind, occasion: Occasion) -> str:
    """A task for a remote CRM, as the outbox keeps it: of the person the number only."""
    kept = {
        "kind": kind.model_dump(mode="json"),
        "click_id": occasion.click_id,
        "action_id": occasion.action_id,
        "time": to_microseconds(occasion.time),
        "person_id": occasion.person.id,
        "link": [occasion.link_id, occasion.link_name],
        "mailing": [occasion.mailing_id, occasion.mailing_name],
    }
    return json.dumps(kept, ensure_ascii=False)


def crm_task_of(payload: str) -> CrmTask:
    """The task in a payload; its person has a number and no name yet."""
    kept: Mapping[str, Any] = json.loads(payload)
    occasion = Occasion(
        click_id=kept["click_id"],
        action_id=kept["action_id"],
        time=from_microseconds(kept["time"]),
        person=Contact(kept["person_id"], "", 0),
        link_id=kept["link"][0],
        link_name=kept["link"][1],
        mailing_id=kept["mailing"][0],
        mailing_name=kept["mailing"][1],
    )
    return CrmTask(_KINDS.validate_python(kept["kind"]), occasion)


def insert_outgoing(statements: Statements, some: Iterable[Outgoing], now: datetime) -> None:
    """Writes rows that are due at once; `now` is what their age counts from."""
    rows = [
        (
            statements.click_id(each.click_id),
            each.position,
            each.action_id,
            each.link_id,
            each.mailing_id,
            each.recipient,
            each.scope,
            each.destination,
            each.payload,
            int(ActionState.waiting),
            to_microseconds(now),
        )
        for each in some
    ]
    statements.each(_INSERT, rows)


def unname_events(statements: Statements, recipient: int) -> None:
    """Leaves of a person in the events that have not been delivered the number only."""
    asked = "SELECT click_id, position, destination, payload FROM outbox WHERE recipient = ?"
    rows = statements.rows(asked + statements.for_update("click_id, position"), (recipient,))
    events = ((row, event_of(row.destination, row.payload)) for row in rows if row.destination != REMOTE_CRM)
    changes = [(event_payload(replace(event, body=unnamed(event.body))), row.click_id, row.position) for row, event in events]
    statements.each("UPDATE outbox SET payload = ? WHERE click_id = ? AND position = ?", changes)


_INSERT = """
INSERT INTO outbox (click_id, position, action_id, link_id, mailing_id, recipient, scope, destination, payload, state, since,
                    attempts, schedule_step, next_time, lease_time, fence, last_error)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, '')
"""
