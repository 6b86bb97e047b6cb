"""A tracked link, and what its clicks are counted as."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from sqlmodel import SQLModel

from server.model.action import LinkAction
from server.model.ids import OptionalId
from server.model.text import LongText, Name
from server.model.url_fields import problem_of_url
from server.model.urls import problem_of


def _destination(url: str) -> str:
    if problem := problem_of_url(url):
        raise ValueError(problem)
    return url


DestinationUrl = Annotated[str, StringConstraints(max_length=4000), AfterValidator(_destination)]
"""A URL that recipients may be sent to; kept byte for byte. Merge fields after its host are filled in with what the recipient brought."""


_FIELD = re.compile(r"\{\{([^{}]*)\}\}")
_FORM_FIELDS = {"recipient.name", "recipient.email", "link.name", "mailing.name", "click.time"}
EXTRA_FIELD = "field."
"""What the name of an extra field begins with in a form's URL."""


def form_fields(url: str) -> list[str]:
    """The names of the fields in a form's URL, in order."""
    return [name.strip() for name in _FIELD.findall(url)]


def _form(url: str) -> str:
    start = url.find("{{")
    if start >= 0 and not re.match(r"[Hh][Tt][Tt][Pp][Ss]?://[^/?#]+[/?#]", url[:start]):
        raise ValueError("fields may stand in path, query or fragment, not in what chooses the server")
    for name in form_fields(url):
        if name not in _FORM_FIELDS and not (name.startswith(EXTRA_FIELD) and name != EXTRA_FIELD):
            known = ", ".join(sorted(_FORM_FIELDS))
            raise ValueError(f"has no field {name[:60]!r}; there are {known}, and field.NAME for an extra field")
    if problem := problem_of(_FIELD.sub("x", url)):
        raise ValueError(problem)
    return url


FormUrl = Annotated[str, StringConstraints(max_length=4000), AfterValidator(_form)]
"""A URL that recipients may be sent to, with {{fields}} after its host."""


class Redirect(SQLModel):
    """Sends the recipient on to a URL."""

    tag: Literal["redirect"] = "redirect"
    url: DestinationUrl


class CustomText(SQLModel):
    """Shows the recipient a text: HTML, sanitised each time it is shown."""

    tag: Literal["custom_text"] = "custom_text"
    html: LongText


class Form(SQLModel):
    """Sends the recipient on to a form's URL, whose fields are filled in with what is known."""

    tag: Literal["form"] = "form"
    url: FormUrl


Response = Redirect | CustomText | Form


class ClickCounts(SQLModel):
    """How often clicks were stored, and by how many different recipients."""

    clicks: int = 0
    clickers: int = 0
    suspected: int = 0


class Link(SQLModel):
    """A tracked link: registered (reusable, in folders) or local (of one mailing)."""

    id: int = 0
    name: Name
    folder_id: OptionalId = 0
    response: Annotated[Response, Field(discriminator="tag")]
    actions: list[LinkAction] = Field(default_factory=list, max_length=20)
    mailing_id: int = 0
    creator: int = 0
    create_time: datetime | None = None
    updater: int = 0
    update_time: datetime | None = None
    last_reset_time: datetime | None = None
    delete_time: datetime | None = None
    revision: int = 1
    generation: int = 0

    @property
    def etag(self) -> str:
        """What a change may name to be refused if someone else was faster."""
        return str(self.revision)


@dataclass(frozen=True, slots=True)
class LinkQuery:
    """Which registered links are asked for, and in which order. folder_id None = all folders, 0 = the root; creator None = anybody."""

    folder_id: int | None
    include_subfolders: bool
    creator: int | None
    text: str
    show_deleted: bool
    order_by: str
    descending: bool


class CountedLink(Link):
    """A link with what its clicks are counted as."""

    counts: ClickCounts = Field(default_factory=ClickCounts)
