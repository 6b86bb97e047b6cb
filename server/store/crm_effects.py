"""Applies effects to the embedded CRM, set-wise: of several on the same field or membership the last one stands."""

from collections.abc import Iterable

from server.model.crm import FollowUp, ServiceRequest
from server.model.effects import CrmEffect, MakeFollowUp, MakeServiceRequest, SetExtraField, SetMembership
from server.store.sql import Insert, Statements
from server.store.types import to_microseconds


def apply(statements: Statements, effects: Iterable[CrmEffect]) -> None:
    """Makes these effects happen, as if one after the other."""
    fields: dict[tuple[int, str], str] = {}
    memberships: dict[tuple[int, int], bool] = {}
    follow_ups: list[FollowUp] = []
    service_requests: list[ServiceRequest] = []
    for effect in effects:
        match effect:
            case SetExtraField(person_id, field, value):
                fields[person_id, field] = value
            case SetMembership(person_id, _, entry_id, member):
                memberships[entry_id, person_id] = member
            case MakeFollowUp(follow_up):
                follow_ups.append(follow_up)
            case MakeServiceRequest(service_request):
                service_requests.append(service_request)
    # Also those that are cleared: who sets one and clears another, and who does the reverse, would else wait for each other.
    statements.insert(_SET_FIELD, [(*key, value) for key, value in sorted(fields.items())])
    statements.each(_CLEAR_FIELD, [key for key, value in sorted(fields.items()) if not value])
    statements.insert(_JOIN, [key for key, member in sorted(memberships.items()) if member])
    statements.each(_LEAVE, [key for key, member in sorted(memberships.items()) if not member])
    statements.insert(_INSERT_FOLLOW_UP, [_follow_up(each) for each in follow_ups])
    statements.insert(_INSERT_SERVICE_REQUEST, [_service_request(each) for each in service_requests])


def _follow_up(made: FollowUp) -> tuple[object, ...]:
    who = (made.person_id, made.type.value, made.description, made.task_type_id, made.project_id, made.created_by, made.assigned_to)
    when = (to_microseconds(made.start_time), made.duration, made.as_assignment)
    return (*who, *when, made.click_id, to_microseconds(made.create_time))


def _service_request(made: ServiceRequest) -> tuple[object, ...]:
    what = (made.person_id, made.title, made.priority_id, made.category_id, made.owner_id, made.origin)
    return (*what, made.click_id, to_microseconds(made.create_time))


_SET_FIELD = Insert(
    "crm_extra_field",
    {"person_id": "bigint", "field": "text", "value": "text"},
    "ON CONFLICT (person_id, field) DO UPDATE SET value = excluded.value",
)
_CLEAR_FIELD = "DELETE FROM crm_extra_field WHERE person_id = ? AND field = ?"
_JOIN = Insert("crm_membership", {"entry_id": "bigint", "person_id": "bigint"}, "ON CONFLICT DO NOTHING")
_LEAVE = "DELETE FROM crm_membership WHERE entry_id = ? AND person_id = ?"
_INSERT_FOLLOW_UP = Insert(
    "crm_follow_up",
    {
        "person_id": "bigint",
        "type": "text",
        "description": "text",
        "task_type_id": "bigint",
        "project_id": "bigint",
        "created_by": "bigint",
        "assigned_to": "bigint",
        "start_time": "bigint",
        "duration": "int",
        "as_assignment": "boolean",
        "click_id": "text",
        "create_time": "bigint",
    },
)
_INSERT_SERVICE_REQUEST = Insert(
    "crm_service_request",
    {
        "person_id": "bigint",
        "title": "text",
        "priority_id": "bigint",
        "category_id": "bigint",
        "owner_id": "bigint",
        "origin": "text",
        "click_id": "text",
        "create_time": "bigint",
    },
)
