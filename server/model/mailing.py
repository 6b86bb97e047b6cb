"""A mailing, the placements of links in it, and the recipients it goes to."""

import re
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from sqlmodel import SQLModel

from server.model.crm import EmailAddress
from server.model.ids import MAX_PERSON_ID, OptionalId
from server.model.link import ClickCounts, CountedLink
from server.model.text import LanguageTag, Name, ShortLine
from server.model.urls import problem_of

_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-])?", re.IGNORECASE)


def public_url_of(url: str) -> str:
    """The URL itself when tracked URLs may start with it, or empty. Raises ValueError for one that would not be safe in HTML as it is."""
    problem = problem_of(url) if url else None
    if problem is None and url and not (_PUBLIC_URL.fullmatch(url) and url.isascii()):
        problem = "must be ASCII without query, fragment or trailing slash"
    if problem:
        raise ValueError(problem)
    return url


class GoogleAnalytics(SQLModel):
    """utm_ parameters for every destination reached from a mailing; utm_medium is always "email"."""

    source: Name
    campaign: ShortLine = ""


class Mailing(SQLModel):
    """One send-out of one message to many recipients."""

    id: int = 0
    name: Name
    language: LanguageTag = ""
    send_time: datetime | None = None
    public_url: Annotated[str, StringConstraints(max_length=255), AfterValidator(public_url_of)] = ""
    track_all_links: bool = False
    google_analytics: GoogleAnalytics | None = None
    mailing_type_id: OptionalId = 0
    test: bool = False
    delivered_count: int = Field(default=0, ge=0, le=2**53)
    creator: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None
    delete_time: datetime | None = None
    revision: int = 1

    def settled(self) -> "Mailing":
        """The same mailing with what one setting implies for another: Google Analytics switched on means that all links are tracked."""
        return self.model_copy(update={"track_all_links": self.track_all_links or self.google_analytics is not None})

    @property
    def etag(self) -> str:
        """What a change may name to be refused if someone else was faster."""
        return str(self.revision)


class CountedMailing(Mailing):
    """A mailing with what its clicks are counted as."""

    counts: ClickCounts = Field(default_factory=ClickCounts)

    @property
    def click_rate(self) -> float:
        """Unique clickers ÷ delivered mails; 0 when that number is not known."""
        return self.counts.clickers / self.delivered_count if self.delivered_count else 0.0


class PlacementKind(IntEnum):
    """What a placement is for; stored, so the numbers stay."""

    link = 1
    unsubscribe = 2
    manage_subscriptions = 3
    view_online = 4


class MessagePart(IntEnum):
    """Where a placement stands; stored, so the numbers stay."""

    html = 1
    text = 2
    header = 3
    outside = 4


class Placement(SQLModel):
    """One use of a link in a mailing; outside one, mailing_id is 0, and of a special link link_id is."""

    id: int = 0
    mailing_id: int
    link_id: int = 0
    kind: PlacementKind = PlacementKind.link
    part: MessagePart
    ordinal: int = 0
    url: str = ""


class MailingLink(SQLModel):
    """A link as it stands in one mailing, with its figures there."""

    link: CountedLink
    counts: ClickCounts
    first_click_time: datetime | None
    last_click_time: datetime | None
    placements: list[Placement]


class LeftAloneReason(StrEnum):
    """Why an address of a message is not tracked."""

    not_http = "not_http"
    anchor = "anchor"
    relative = "relative"
    marked = "marked"
    merge_field = "merge_field"
    empty = "empty"
    invalid_url = "invalid_url"
    not_registered = "not_registered"


_FIELD_NAME = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]


class Recipient(SQLModel):
    """Who gets a message or a URL; nobody when it has neither person_id nor email."""

    person_id: int | None = Field(default=None, ge=1, le=MAX_PERSON_ID)
    email: EmailAddress | None = Field(default=None, min_length=1)
    name: ShortLine = ""
    test: bool = False
    do_not_track: bool = False
    merge_fields: dict[_FIELD_NAME, str] = Field(default_factory=dict, max_length=100)

    @property
    def is_somebody(self) -> bool:
        """Whether it has an identity."""
        return bool(self.person_id or self.email)

    def values(self, mailing_name: str) -> dict[str, str]:
        """What merge fields are filled in with: what goes without saying, and what the recipient brings, which takes precedence."""
        known = {"mailing.name": mailing_name, "recipient.name": self.name, "recipient.email": self.email or ""}
        return {name: value for name, value in known.items() if value} | self.merge_fields

    @model_validator(mode="after")
    def _small_enough(self) -> "Recipient":
        size = sum(len(value.encode("utf-8", "replace")) for value in self.merge_fields.values())
        if size > 65_536:
            raise ValueError(f"merge_fields: values together must be at most 65,536 bytes, not {size:,}")
        return self
