"""Actions for a CRM, as tests of any CRM send them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from server.model.crm import Catalog, FollowUp, FollowUpType, ServiceRequest
from server.model.crm_actions import CrmAction
from server.model.effects import CrmEffect, MakeFollowUp, MakeServiceRequest, SetExtraField, SetMembership

CLICK_ID = "01998f00-0000-7000-8000-000000000001"
NOON = datetime(2026, 3, 4, 12, 0, 0, 123456, tzinfo=UTC)


def action(key: str, person_id: int, *effects: CrmEffect) -> CrmAction:
    """An action with these effects, or with one that sets an extra field."""
    return CrmAction(key, person_id, list(effects) or [set_field(person_id, "asked", key)])


def set_field(person_id: int, field: str, value: str) -> SetExtraField:
    """An extra field to set."""
    return SetExtraField(person_id, field, value)


def join(person_id: int, catalog: Catalog, entry_id: int) -> SetMembership:
    """A membership to begin."""
    return SetMembership(person_id, catalog, entry_id, member=True)


def leave(person_id: int, catalog: Catalog, entry_id: int) -> SetMembership:
    """A membership to end."""
    return SetMembership(person_id, catalog, entry_id, member=False)


def follow_up(person_id: int, assigned_to: int, description: str = "Call", **fields: Any) -> MakeFollowUp:
    """A follow-up to make."""
    values: dict[str, Any] = {
        "type": FollowUpType.phone_call,
        "task_type_id": 0,
        "project_id": 0,
        "created_by": 0,
        "start_time": NOON,
        "duration": 30,
        "as_assignment": True,
        "click_id": CLICK_ID,
        "create_time": NOON,
    }
    return MakeFollowUp(FollowUp(person_id=person_id, assigned_to=assigned_to, description=description, **values | fields))


def service_request(person_id: int, title: str = "Tour", **fields: Any) -> MakeServiceRequest:
    """A service request to make."""
    values: dict[str, Any] = {
        "priority_id": 0,
        "category_id": 0,
        "owner_id": 0,
        "origin": "marketing link",
        "click_id": CLICK_ID,
        "create_time": NOON,
    }
    return MakeServiceRequest(ServiceRequest(person_id=person_id, title=title, **values | fields))


def outcomes_of(results: Sequence[Any]) -> list[tuple[str, str]]:
    """Outcomes by name, with their reasons."""
    return [(result.outcome.name, result.reason) for result in results]
