"""Effects as callers send them, with their limits. Source: crm_service.proto."""

from abc import abstractmethod
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from sqlmodel import SQLModel

from server.model.crm import Catalog, FollowUp, FollowUpType, ServiceRequest
from server.model.crm_actions import CrmAction
from server.model.effects import CrmEffect, MakeFollowUp, MakeServiceRequest, SetExtraField, SetMembership
from server.model.ids import Id, OptionalId
from server.model.text import Name, ShortLine, Text, one_line

_MEMBERSHIPS = (Catalog.selection, Catalog.project, Catalog.interest)


def _has_members(catalog: Catalog) -> Catalog:
    if catalog not in _MEMBERSHIPS:
        raise ValueError(f"must be SELECTION, PROJECT or INTEREST, not {catalog.value.upper()}")
    return catalog


def _none_yet(number: int) -> int:
    if number:
        raise ValueError(f"must be 0, since the CRM gives it, not {number}")
    return number


NoId = Annotated[int, AfterValidator(_none_yet)]
"""The id of something that is still to be made: 0."""

Key = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(one_line)]
"""What names an action of a click: 1 to 100 characters on one line."""


class _Draft(SQLModel):
    @abstractmethod
    def effect(self, person_id: int) -> CrmEffect:
        """The effect, about this person."""


class ExtraFieldDraft(_Draft):
    """An extra field to set."""

    tag: Literal["set_extra_field"]
    field: Name
    value: Text

    def effect(self, person_id: int) -> CrmEffect:
        return SetExtraField(person_id, self.field, self.value)


class MembershipDraft(_Draft):
    """A membership to begin or to end."""

    tag: Literal["set_membership"]
    catalog: Annotated[Catalog, AfterValidator(_has_members)]
    entry_id: Id
    member: bool

    def effect(self, person_id: int) -> CrmEffect:
        return SetMembership(person_id, self.catalog, self.entry_id, self.member)


class FollowUpDraft(_Draft):
    """A follow-up to make."""

    tag: Literal["follow_up"]
    id: NoId
    type: FollowUpType
    description: Text
    task_type_id: OptionalId
    project_id: OptionalId
    created_by: OptionalId
    assigned_to: Id
    start_time: datetime
    duration: int = Field(ge=0)
    as_assignment: bool
    click_id: ShortLine
    create_time: datetime

    def effect(self, person_id: int) -> CrmEffect:
        return MakeFollowUp(FollowUp(**self.model_dump(exclude={"tag", "id"}), person_id=person_id))


class ServiceRequestDraft(_Draft):
    """A service request to make."""

    tag: Literal["service_request"]
    id: NoId
    title: ShortLine
    priority_id: OptionalId
    category_id: OptionalId
    owner_id: OptionalId
    origin: ShortLine
    click_id: ShortLine
    create_time: datetime

    def effect(self, person_id: int) -> CrmEffect:
        return MakeServiceRequest(ServiceRequest(**self.model_dump(exclude={"tag", "id"}), person_id=person_id))


class EffectDraft(SQLModel):
    """One change."""

    effect: ExtraFieldDraft | MembershipDraft | FollowUpDraft | ServiceRequestDraft = Field(discriminator="tag")


class ActionDraft(SQLModel):
    """What one action of one click wants to happen."""

    idempotency_key: Key
    person_id: Id
    effects: list[EffectDraft] = Field(min_length=1, max_length=200)

    def action(self) -> CrmAction:
        """The same with its effects about the person."""
        return CrmAction(self.idempotency_key, self.person_id, [draft.effect.effect(self.person_id) for draft in self.effects])
