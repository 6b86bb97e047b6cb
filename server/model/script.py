"""A script that actions run at a click: it reads variables, chooses where the recipient goes, and logs."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import Field
from sqlmodel import SQLModel

from server.model.crm import Person
from server.model.ids import Id, OptionalId
from server.model.link import Form, Link, Redirect
from server.model.mailing import Recipient
from server.model.text import LongText, Name, Text
from server.model.urls import problem_of


class Script(SQLModel):
    """A script as it is in one version; each change of its source is a new one."""

    id: int = 0
    name: Name
    description: Text = ""
    source: LongText
    version: int = 1
    creator: int = 0
    create_time: datetime | None = None
    updater: int = 0
    update_time: datetime | None = None
    revision: int = 1

    @property
    def etag(self) -> str:
        """What a change may name to be refused if someone else was faster."""
        return str(self.revision)


class ScriptTrial(SQLModel):
    """What to run for trial, a stored script or a source, and for which click: a link's, in a mailing, by somebody."""

    script_id: Id | None = None
    source: LongText | None = None
    link_id: OptionalId = 0
    mailing_id: OptionalId = 0
    recipient: Recipient = Field(default_factory=Recipient)


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """A script that is to run for an action of a click; `variables` are what it reads, without a recipient's card that is elsewhere."""

    action_id: int
    script_id: int
    version: int
    source: str
    variables: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScriptDecision:
    """What a script has decided: where the recipient goes (empty: where the link leads), what it printed, and why it failed."""

    script_id: int
    version: int
    return_url: str = ""
    log: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Unprepared:
    """What a click waits for before it can be recorded: scripts, and the card of a person in a remote CRM (0 = nobody's)."""

    calls: list[ScriptCall] = field(default_factory=list)
    person_id: int = 0


def variables_of(link: Link | None, mailing_id: int, hits: int, card: Person | None, email: str) -> dict[str, object]:
    """What a script reads at a click on this link (None: on none), its number `hits`, by whom `recipient_variables` describes."""
    return {
        "custId": card.id if card else 0,
        "linkId": link.id if link else 0,
        "shipmentId": mailing_id,
        "linkUrl": link.response.url if link and isinstance(link.response, Redirect | Form) else "",
        "linkHits": hits,
        "recipient": recipient_variables(card, email),
        "returnUrl": "",
    }


def recipient_variables(card: Person | None, email: str) -> dict[str, object]:
    """The recipient as scripts read it: a person's card, or nobody's with the address of somebody who is no registered person."""
    who = card or Person.model_construct(name="", email=email)
    return {
        "name": who.name,
        "email": who.email,
        "our_contact_id": who.our_contact_id,
        "extra_fields": dict(who.extra_fields),
        "interests": [reference.id for reference in who.interests],
        "selections": [reference.id for reference in who.selections],
        "projects": [reference.id for reference in who.projects],
    }


def problem_of_return_url(url: str) -> str:
    """Why nobody can be sent where a script says, in words a marketer understands; empty when they can, and when it says nothing."""
    problem = problem_of(url) if url else None
    return f"returnUrl is no web address: {problem}" if problem else ""
