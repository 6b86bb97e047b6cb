"""What actions want to happen, as plain values: the store applies them in the click's own transaction."""

from dataclasses import dataclass, field

from server.model.crm import Catalog, FollowUp, ServiceRequest


@dataclass(frozen=True, slots=True)
class SetExtraField:
    """The extra field of this person is to have this value; empty clears it."""

    person_id: int
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class SetMembership:
    """This person is to be a member of this selection, project or interest, or is not to be."""

    person_id: int
    catalog: Catalog
    entry_id: int
    member: bool


@dataclass(frozen=True, slots=True)
class MakeFollowUp:
    """This follow-up is to be made."""

    follow_up: FollowUp


@dataclass(frozen=True, slots=True)
class MakeServiceRequest:
    """This service request is to be made."""

    service_request: ServiceRequest


@dataclass(frozen=True, slots=True)
class SendEvent:
    """This event is to be sent to another system: its id is constant over all attempts, its body JSON."""

    destination: str
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    id: str
    body: str = field(repr=False)


CrmEffect = SetExtraField | SetMembership | MakeFollowUp | MakeServiceRequest
"""What happens in the CRM."""

Effect = CrmEffect | SendEvent


def in_words(effect: Effect) -> str:
    """What the effect is, for people."""
    match effect:
        case SetExtraField(_, field, value):
            return f"set {field!r} to {value!r}" if value else f"clear {field!r}"
        case SetMembership(_, catalog, entry_id, member):
            return f"{'add to' if member else 'remove from'} {catalog.value} {entry_id}"
        case MakeFollowUp(follow_up):
            kind = follow_up.type.value.replace("_", " ")
            return f"make a {kind} for user {follow_up.assigned_to} at {follow_up.start_time:%Y-%m-%d %H:%M} UTC: {follow_up.description}"
        case MakeServiceRequest(request):
            return f"make a service request owned by {f'user {request.owner_id}' if request.owner_id else 'nobody'}: {request.title}"
        case SendEvent(destination=destination):
            return f"send a signed event to {destination}"
