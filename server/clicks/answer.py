"""What a recipient gets for a recorded click: a location, or a page whose text is filled in and cleaned."""

import html
from dataclasses import dataclass

import nh3

from server.model.action import fill_text, text_fields
from server.model.click import Click, RecordedClick
from server.model.errors import DomainError
from server.store.recording import Result

_TAGS = nh3.ALLOWED_TAGS - {"map", "area", "img", "figure"}
_ATTRIBUTES = {
    "*": {"lang", "dir", "title"},
    "a": {"href"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "ol": {"start"},
}


@dataclass(frozen=True, slots=True)
class Page:
    """A page to show: a sanitised fragment of HTML, its language, and its title as plain text."""

    html: str
    language: str
    title: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A recorded click and what its recipient gets."""

    click: Click
    duplicate: bool
    location: str
    page: Page | None


def answered(result: Result) -> Answered | DomainError:
    """What the recipient of a recorded click gets; a refused one stays refused."""
    if isinstance(result, DomainError):
        return result
    page = _page(result) if result.answer.text else None
    return Answered(result.click, result.duplicate, result.answer.location, page)


def _page(result: RecordedClick) -> Page:
    fields = text_fields(result.recipient_name, result.link_name, result.mailing_name, result.click.time)
    filled = fill_text(result.answer.text, {name: html.escape(value) for name, value in fields.items()})
    cleaned = nh3.clean(
        filled, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes={"http", "https", "mailto", "tel"}, link_rel="noopener noreferrer"
    )
    return Page(cleaned, result.language, result.link_name)
