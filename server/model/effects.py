"""What actions want to happen, as plain values: the store applies them in the click's own transaction."""

from dataclasses import dataclass

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


Effect = SetExtraField | SetMembership | MakeFollowUp | MakeServiceRequest
