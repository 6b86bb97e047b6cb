"""Applies effects to the embedded CRM, set-wise: of several on the same field or membership the last one stands."""

from collections.abc import Iterable

from sqlalchemy import insert

from server.model.crm import FollowUp, ServiceRequest
from server.model.effects import CrmEffect, MakeFollowUp, MakeServiceRequest, SetExtraField, SetMembership
from server.store.crm_tables import FollowUpRow, ServiceRequestRow
from server.store.sql import Statements
from server.store.tables import table_of

_follow_up = table_of(FollowUpRow)
_service_request = table_of(ServiceRequestRow)


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
    statements.each(_SET_FIELD, [(*key, value) for key, value in sorted(fields.items()) if value])
    statements.each(_CLEAR_FIELD, [key for key, value in sorted(fields.items()) if not value])
    statements.each(_JOIN, [key for key, member in sorted(memberships.items()) if member])
    statements.each(_LEAVE, [key for key, member in sorted(memberships.items()) if not member])
    if follow_ups:
        statements.connection.execute(insert(_follow_up), [follow_up.model_dump(exclude={"id"}) for follow_up in follow_ups])
    if service_requests:
        statements.connection.execute(insert(_service_request), [request.model_dump(exclude={"id"}) for request in service_requests])


_SET_FIELD = """
INSERT INTO crm_extra_field (person_id, field, value) VALUES (?, ?, ?) ON CONFLICT (person_id, field) DO UPDATE SET value = excluded.value
"""
_CLEAR_FIELD = "DELETE FROM crm_extra_field WHERE person_id = ? AND field = ?"
_JOIN = "INSERT INTO crm_membership (entry_id, person_id) VALUES (?, ?) ON CONFLICT DO NOTHING"
_LEAVE = "DELETE FROM crm_membership WHERE entry_id = ? AND person_id = ?"
