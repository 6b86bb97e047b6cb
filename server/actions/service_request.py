"""Makes a customer-service case."""

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from server.model.action import ActionKind, Occasion, RepeatPolicy
from server.model.crm import Catalog, ServiceRequest
from server.model.effects import Effect, MakeServiceRequest
from server.model.ids import OptionalId
from server.model.text import Name

ORIGIN = "marketing link"
"""Where the service requests that clicks make say they come from. Source: DOMAIN, Responses and actions."""


class ServiceRequestOwner(StrEnum):
    """Who owns a new service request."""

    unassigned = "unassigned"
    user = "user"
    automatic = "automatic"


class CreateServiceRequest(ActionKind):
    """The service request to make, and who owns it."""

    default_policy: ClassVar[RepeatPolicy] = RepeatPolicy.once_per_recipient_and_mailing

    tag: Literal["service_request"] = "service_request"
    title: Name
    priority_id: OptionalId = 0
    category_id: OptionalId = 0
    owner: ServiceRequestOwner = ServiceRequestOwner.unassigned
    owner_id: OptionalId = 0

    @model_validator(mode="after")
    def _owner_is_named(self) -> Self:
        if (self.owner is ServiceRequestOwner.user) != bool(self.owner_id):
            raise ValueError("owner_id must be given with owner USER, and only then")
        return self

    def references(self) -> Iterator[tuple[str, Catalog, int]]:
        """The owner, the category and the priority, where they are given."""
        named = (
            ("priority_id", Catalog.priority, self.priority_id),
            ("category_id", Catalog.category, self.category_id),
            ("owner_id", Catalog.user, self.owner_id),
        )
        return (reference for reference in named if reference[2])

    def effects(self, occasion: Occasion) -> Iterator[Effect]:
        """One service request. "Automatic" is the person's our contact, or nobody without one."""
        automatic = occasion.person.our_contact_id if self.owner is ServiceRequestOwner.automatic else 0
        yield MakeServiceRequest(
            ServiceRequest(
                person_id=occasion.person.id,
                title=occasion.fill(self.title)[:255].strip() or occasion.link_name,
                priority_id=self.priority_id,
                category_id=self.category_id,
                owner_id=self.owner_id or automatic,
                origin=ORIGIN,
                click_id=occasion.click_id,
                create_time=occasion.time,
            )
        )
