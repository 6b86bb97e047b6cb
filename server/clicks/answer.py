"""What a recipient gets for a recorded click: a location, or a page whose text is filled in and cleaned."""

import html
import re
from dataclasses import dataclass
from functools import lru_cache

import nh3

from server.model.action import fill_text, text_fields
from server.model.click import click_time
from server.model.recorded_click import RecordedClick

_TAGS = nh3.ALLOWED_TAGS - {"map", "area", "img", "figure"}
_ATTRIBUTES = {
    "*": {"lang", "dir", "title"},
    "a": {"href"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "ol": {"start"},
}


_SCHEMES = {"http", "https", "mailto", "tel"}
_TAG = re.compile(r"""(<[^<>"]*(?:"[^"]*"[^<>"]*)*>)""")  # nh3 writes every attribute in double quotes

MOST_CHARACTERS = 131_072
"""Of a page: one that its values make longer is shown without them."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page to show: a sanitised fragment of HTML, its language, and its title as plain text."""

    html: str
    language: str
    title: str


@dataclass(slots=True)
class Answered:
    """A recorded click and what its recipient gets."""

    recorded: RecordedClick

    @property
    def location(self) -> str:
        """Where to send the recipient; empty when there is a page to show."""
        return self.recorded.answer.location

    def page(self) -> Page | None:
        """The page to show, if there is one. Made each time it is asked for: answers that wait for a slow reader hold none."""
        return _page(self.recorded) if self.recorded.answer.text else None


def text_page(text: str, fields: dict[str, str], language: str, title: str) -> Page:
    """The page of a custom text with its text fields filled in."""
    escaped = {name: html.escape(value) for name, value in fields.items()}
    filled = _filled(text, escaped)
    if len(filled) > MOST_CHARACTERS:
        filled = _filled(text, dict.fromkeys(escaped, ""))
    return Page(filled, language, title)


def _page(result: RecordedClick) -> Page:
    fields = text_fields(result.recipient_name, result.link.name, result.mailing.name, click_time(result.seen.id))
    return text_page(result.answer.text, fields, result.mailing.language, result.link.name)


def _filled(text: str, escaped: dict[str, str]) -> str:
    return "".join(piece if piece.startswith("<") else fill_text(piece, escaped) for piece in _cleaned(text))


@lru_cache(maxsize=512)
def _cleaned(text: str) -> tuple[str, ...]:
    """The text without what a page must not hold, in pieces: tags begin with `<`, and text fields are filled in between them only.

    Cleaned before it is filled in: nh3 needs seconds for a text that hostile values have made long (tried), and a value has no business
    in an attribute, where it could be the scheme of a URL.
    """
    clean = nh3.clean(text, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel="noopener noreferrer")
    return tuple(_TAG.split(clean))
