"""Which types of mailings somebody gets, and what recipients want changed about that."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlmodel import SQLModel

from server.model.crm import EmailAddress
from server.model.ids import MAX_PERSON_ID
from server.model.mailing import Mailing, PlacementKind


class Subscriber(SQLModel):
    """Who subscribes: a person of the CRM, or somebody known only by an address."""

    person_id: Annotated[int, Field(ge=1, le=MAX_PERSON_ID)] | None = None
    email: Annotated[EmailAddress, Field(min_length=1)] | None = None


class Subscription(SQLModel):
    """Whether somebody gets the mailings of a type; change_time None = as it always was."""

    mailing_type_id: int
    mailing_type: str
    subscribed: bool
    change_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """What a recipient wants for one mailing type."""

    mailing_type_id: int
    subscribed: bool


@dataclass(frozen=True, slots=True)
class SpecialPlacement:
    """What the URL of a special link refers to."""

    kind: PlacementKind
    mailing: Mailing
