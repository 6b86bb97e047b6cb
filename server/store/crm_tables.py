"""The tables of the embedded CRM."""

from datetime import datetime

from sqlalchemy import Boolean, Column, Index, String, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from server.model.crm import FollowUp, FollowUpType, ServiceRequest
from server.store.tables import NEVER_REUSED, given_id, key_id, number, time


class PersonRow(SQLModel, table=True):
    __tablename__ = "crm_person"
    __table_args__ = (UniqueConstraint("email_key", name="crm_person_email"), NEVER_REUSED)
    id: int = given_id()
    name: str = Field(sa_column=Column(Text, nullable=False))
    email: str = Field(sa_column=Column(Text, nullable=False))
    email_key: str | None = Field(sa_column=Column(Text, nullable=True))
    our_contact_id: int = number()


class EntryRow(SQLModel, table=True):
    """A user, selection, project, interest, category, priority, mailing type or task type; ids are unique over all of them."""

    __tablename__ = "crm_entry"
    __table_args__ = (UniqueConstraint("catalog", "name_key", name="crm_entry_name"), NEVER_REUSED)
    id: int = given_id()
    catalog: str = Field(sa_column=Column(String(32), nullable=False))
    name: str = Field(sa_column=Column(Text, nullable=False))
    name_key: str = Field(sa_column=Column(Text, nullable=False))


class MembershipRow(SQLModel, table=True):
    """A person in a selection or project, or with an interest: the entry's id says which."""

    __tablename__ = "crm_membership"
    __table_args__ = (Index("crm_membership_person", "person_id"), {"sqlite_with_rowid": False})
    entry_id: int = key_id()
    person_id: int = key_id()


class ExtraFieldRow(SQLModel, table=True):
    __tablename__ = "crm_extra_field"
    __table_args__ = ({"sqlite_with_rowid": False},)
    person_id: int = key_id()
    field: str = Field(sa_column=Column(Text, primary_key=True))
    value: str = Field(sa_column=Column(Text, nullable=False))


class SubscriptionRow(SQLModel, table=True):
    """What a subscriber last wanted of a mailing type; whoever has no row is subscribed."""

    __tablename__ = "crm_subscription"
    __table_args__ = ({"sqlite_with_rowid": False},)
    recipient: int = key_id()
    mailing_type_id: int = key_id()
    subscribed: bool = Field(sa_column=Column(Boolean, nullable=False))
    change_time: int = number()


class FollowUpRow(FollowUp, table=True):
    __tablename__ = "crm_follow_up"
    __table_args__ = (NEVER_REUSED,)
    id: int = given_id()
    person_id: int = number(index=True)
    type: FollowUpType = Field(sa_column=Column(String(32), nullable=False))
    task_type_id: int = number()
    project_id: int = number()
    created_by: int = number()
    assigned_to: int = number()
    start_time: datetime = time()
    create_time: datetime = time()


class ServiceRequestRow(ServiceRequest, table=True):
    __tablename__ = "crm_service_request"
    __table_args__ = (NEVER_REUSED,)
    id: int = given_id()
    person_id: int = number(index=True)
    priority_id: int = number()
    category_id: int = number()
    owner_id: int = number()
    create_time: datetime = time()
