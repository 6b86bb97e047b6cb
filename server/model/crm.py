"""What the service knows of a CRM: persons, catalogues, and what actions make in it."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from sqlmodel import SQLModel

from server.model.ids import MAX_PERSON_ID, OptionalId
from server.model.text import Name, Text, name_key, one_line

MOST_EXTRA_FIELDS, MOST_MEMBERSHIPS = 200, 1000
"""On one card. Actions that would set another field fail; memberships beyond are kept, and may be left out of what is shown."""


class Catalog(StrEnum):
    """A list of the CRM from which actions take ids."""

    user = "user"
    selection = "selection"
    project = "project"
    interest = "interest"
    category = "category"
    priority = "priority"
    mailing_type = "mailing_type"
    task_type = "task_type"


class FollowUpType(StrEnum):
    """What kind of activity a follow-up is."""

    task = "task"
    appointment = "appointment"
    phone_call = "phone_call"


def _address(email: str) -> str:
    text = one_line(email.strip())
    local, at, domain = text.rpartition("@")
    if text and not (at and local and domain and not domain.startswith(".") and " " not in text):
        raise ValueError(f"must be an e-mail address such as ola@example.com, not {email[:60]!r}")
    return text


EmailAddress = Annotated[str, StringConstraints(max_length=254), AfterValidator(_address)]
"""An e-mail address by its shape, or empty; blanks around it are dropped."""


def address_key(email: str) -> str:
    """What two addresses are compared by: trimmed, NFC, case-folded, the domain as A-labels. Source: DOMAIN, Privacy."""
    local, _, domain = unicodedata.normalize("NFC", email.strip()).rpartition("@")
    try:
        labels = name_key(domain).encode("idna").decode("ascii")
    except UnicodeError:
        labels = name_key(domain)
    return f"{name_key(local)}@{labels}"


class NamedReference(SQLModel):
    """Something of the CRM with a name."""

    id: int
    name: str


class Person(SQLModel):
    """A registered person of the CRM: the contact card."""

    id: int = Field(default=0, ge=0, le=MAX_PERSON_ID)
    name: Name
    email: EmailAddress = ""
    our_contact_id: OptionalId = 0
    extra_fields: dict[Name, Text] = Field(default_factory=dict, max_length=MOST_EXTRA_FIELDS)
    interests: list[NamedReference] = Field(default_factory=list, max_length=MOST_MEMBERSHIPS)
    selections: list[NamedReference] = Field(default_factory=list, max_length=MOST_MEMBERSHIPS)
    projects: list[NamedReference] = Field(default_factory=list, max_length=MOST_MEMBERSHIPS)


@dataclass(frozen=True, slots=True)
class Contact:
    """What a click needs of a registered person; a card costs a quarter of a click to make (measured)."""

    id: int
    name: str
    our_contact_id: int
    email: str = ""


class CatalogEntry(SQLModel):
    """An entry of a catalogue of the embedded CRM."""

    id: int = 0
    catalog: Catalog
    name: Name


class FollowUp(SQLModel):
    """An activity in a colleague's diary."""

    id: int = 0
    person_id: int
    type: FollowUpType
    description: str
    task_type_id: int
    project_id: int
    created_by: int
    assigned_to: int
    start_time: datetime
    duration: int
    as_assignment: bool
    click_id: str
    create_time: datetime


class ServiceRequest(SQLModel):
    """A customer-service case."""

    id: int = 0
    person_id: int
    title: str
    priority_id: int
    category_id: int
    owner_id: int
    origin: str
    click_id: str
    create_time: datetime
