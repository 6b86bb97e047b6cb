"""Makes a follow-up in a colleague's diary."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from server.model.action import ActionKind, Occasion, RepeatPolicy
from server.model.crm import Catalog, Contact, FollowUp, FollowUpType
from server.model.effects import Effect, MakeFollowUp
from server.model.ids import OptionalId
from server.model.text import Text

_QUARTER = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CreateFollowUp(ActionKind):
    """The follow-up to make, and who gets it: our contact, else the default recipient, else who it is made by."""

    default_policy: ClassVar[RepeatPolicy] = RepeatPolicy.once_per_recipient_and_mailing

    tag: Literal["follow_up"] = "follow_up"
    type: FollowUpType
    description: Text = ""
    task_type_id: OptionalId = 0
    project_id: OptionalId = 0
    created_by: OptionalId = 0
    assign_to_our_contact: bool = False
    default_recipient: OptionalId = 0
    duration: int = Field(default=0, ge=0, le=10_080)
    start_time: datetime | None = None
    as_assignment: bool = False

    @model_validator(mode="after")
    def _somebody_gets_it(self) -> Self:
        if not (self.created_by or self.default_recipient or self.assign_to_our_contact):
            raise ValueError("one of created_by, default_recipient and assign_to_our_contact must be given")
        return self

    def references(self) -> Iterator[tuple[str, Catalog, int]]:
        """The users, the task type and the project, where they are given."""
        named = (
            ("task_type_id", Catalog.task_type, self.task_type_id),
            ("project_id", Catalog.project, self.project_id),
            ("created_by", Catalog.user, self.created_by),
            ("default_recipient", Catalog.user, self.default_recipient),
        )
        return (reference for reference in named if reference[2])

    def refusal(self, contact: Contact) -> str:
        """A follow-up needs somebody to do it."""
        ours = contact.our_contact_id if self.assign_to_our_contact else 0
        return "" if ours or self.default_recipient or self.created_by else "The person has no our contact, and nobody else is named"

    def effects(self, occasion: Occasion) -> Iterator[Effect]:
        """One follow-up. Without a start time it starts at the next full quarter of an hour after the click."""
        ours = occasion.person.our_contact_id if self.assign_to_our_contact else 0
        yield MakeFollowUp(
            FollowUp(
                person_id=occasion.person.id,
                type=self.type,
                description=occasion.fill(self.description)[:2047],
                task_type_id=self.task_type_id,
                project_id=self.project_id,
                created_by=self.created_by,
                assigned_to=ours or self.default_recipient or self.created_by,
                start_time=self.start_time or _next_quarter(occasion.time),
                duration=self.duration,
                as_assignment=self.as_assignment,
                click_id=occasion.click_id,
                create_time=occasion.time,
            )
        )


def _next_quarter(time: datetime) -> datetime:
    return time + (_QUARTER - (time - _EPOCH) % _QUARTER)
