"""How a value is escaped where its merge field stands, so that it stays a value: no tag, attribute, scheme or path comes of it."""

import html
import re
from enum import Enum, auto
from urllib.parse import quote

from server.messages.part import Part


class MergeFieldEscaping(Enum):
    """The ways of the contract's MergeFieldEscaping, which says what each does."""

    text = auto()
    unquoted = auto()
    url_component = auto()
    url = auto()
    style = auto()


def escaped(value: str, escaping: MergeFieldEscaping, part: Part, charset: str) -> bytes:
    """The value as it goes into the message. Raises LookupError for an unknown charset."""
    match part:
        case Part.html:
            return _for_html(value, escaping).encode(charset, "xmlcharrefreplace")
        case Part.text:
            return _for_text(value, escaping).encode(charset, "replace")


_MAY_START_A_URL = re.compile(r"(?:https?|mailto|tel):", re.IGNORECASE)
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9]")
_NOT_FOR_STYLE = re.compile(r"[^A-Za-z0-9 #%.,+-]+")
_BLANK = "&#32;"
"""What an empty value is where an attribute has no quotes: browsers would take the next attribute for the value."""


def _for_html(value: str, escaping: MergeFieldEscaping) -> str:
    match escaping:
        case MergeFieldEscaping.text:
            return html.escape(value)
        case MergeFieldEscaping.unquoted:
            return _references(value) or _BLANK
        case MergeFieldEscaping.url_component:
            return _percent_encoded(value)
        case MergeFieldEscaping.url:
            return (_references(value) if _MAY_START_A_URL.match(value) else _percent_encoded(value)) or _BLANK
        case MergeFieldEscaping.style:
            return _NOT_FOR_STYLE.sub("", value)


def _for_text(value: str, escaping: MergeFieldEscaping) -> str:
    match escaping:
        case MergeFieldEscaping.text | MergeFieldEscaping.unquoted:
            return value
        case MergeFieldEscaping.url_component:
            return _percent_encoded(value)
        case MergeFieldEscaping.url:
            return value if _MAY_START_A_URL.match(value) else _percent_encoded(value)
        case MergeFieldEscaping.style:
            return _NOT_FOR_STYLE.sub("", value)


def _references(value: str) -> str:
    return _NOT_PLAIN.sub(lambda found: f"&#{ord(found[0])};", value)


def _percent_encoded(value: str) -> str:
    return quote(value, safe="", errors="replace")
