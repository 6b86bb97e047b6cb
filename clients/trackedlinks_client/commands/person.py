"""`trackedlinks person`"""

from collections.abc import Iterable
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.message import Message

from trackedlinks.v1 import crm_pb2, crm_service_pb2, embedded_crm_service_pb2, link_pb2
from trackedlinks_client import words
from trackedlinks_client.connection import Connection
from trackedlinks_client.output import Json, fields, json_line, when
from trackedlinks_client.pages import every
from trackedlinks_client.session import connection


def person(ctx: typer.Context, id: Annotated[int, typer.Argument(help="The person's id.")], as_json: Json = False) -> None:
    """Show a person's card: fields, interests, selections, projects, follow-ups, service requests. As JSON: each on its own line."""
    with connection(ctx) as service:
        card = service.crm.GetPerson(crm_service_pb2.GetPersonRequest(id=id))
        follow_ups, service_requests = _activities(service, id)
    if as_json:
        every_line: list[Message] = [card, *follow_ups, *service_requests]
        for each in every_line:
            json_line(each)
        return
    fields(
        ("person", f"{card.id} {card.name}"),
        ("email", card.email),
        ("our contact", card.our_contact_id or ""),
        *((f"field {name}", value) for name, value in sorted(card.extra_fields.items())),
        ("interests", _names(card.interests)),
        ("selections", _names(card.selections)),
        ("projects", _names(card.projects)),
        *((f"follow-up {each.id}", _follow_up(each)) for each in follow_ups),
        *((f"service request {each.id}", _service_request(each)) for each in service_requests),
    )


def _activities(service: Connection, id: int) -> tuple[list[crm_pb2.FollowUp], list[crm_pb2.ServiceRequest]]:
    """What was made for a person; nothing when the CRM is another than the embedded one, which alone can say."""
    crm = service.embedded_crm
    try:
        follow_ups = list(every(crm.ListFollowUps, embedded_crm_service_pb2.ListFollowUpsRequest(person_id=id), "follow_ups"))
        request = embedded_crm_service_pb2.ListServiceRequestsRequest(person_id=id)
        return follow_ups, list(every(crm.ListServiceRequests, request, "service_requests"))
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
        return [], []


def _names(references: Iterable[crm_pb2.NamedReference]) -> str:
    return ", ".join(f"{each.name} ({each.id})" for each in references)


def _follow_up(made: crm_pb2.FollowUp) -> str:
    kind = words.enum(link_pb2.FollowUpType.DESCRIPTOR, made.type, "FOLLOW_UP_TYPE_")
    details = [f"{kind} for user {made.assigned_to}", when(made.start_time), f"project {made.project_id}" if made.project_id else ""]
    return _joined(details, made.description)


def _service_request(made: crm_pb2.ServiceRequest) -> str:
    details: list[Any] = [
        made.origin,
        f"category {made.category_id}" if made.category_id else "",
        f"priority {made.priority_id}" if made.priority_id else "",
        f"owner {made.owner_id}" if made.owner_id else "nobody's",
        when(made.create_time),
    ]
    return _joined(details, made.title)


def _joined(details: Iterable[str], text: str) -> str:
    joined = ", ".join(filter(None, details))
    return f"{text} ({joined})" if text else joined
