"""Renders a message for one recipient after another, from the template that TrackMessage returns: no message goes over the wire twice."""

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from trackedlinks.v1 import mailing_pb2, mailing_service_pb2


class MissingFields(ValueError):
    """There is no value for these merge fields: all of them, in the order of the message, HTML before text."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"the message needs values for: {', '.join(names)}")
        self.names = tuple(names)


@dataclass(frozen=True)
class Rendered:
    """One recipient's message, both parts in the template's character set; a part that the message lacks is empty."""

    html: bytes
    text: bytes


class Renderer:
    """A template made ready for many recipients. Gives what RenderMessages would, byte for byte."""

    def __init__(self, template: mailing_pb2.MessageTemplate) -> None:
        """Raises LookupError when Python does not know the template's character set."""
        self.charset = template.charset or "utf-8"
        "".encode(self.charset)
        self._html = _Part(template.html)
        self._text = _Part(template.text)
        self.fields = tuple(dict.fromkeys([*self._html.fields, *self._text.fields]))
        """The names of the merge fields, in the order of the message."""

    def render(self, urls: Mapping[int, str], fields: Mapping[str, str]) -> Rendered:
        """The message with the recipient's URL of each placement, by its id, and the value of each merge field, by its name.

        Values are escaped as each segment says; characters that the charset lacks become numeric references in HTML and `?` in text.
        Raises MissingFields; KeyError for a placement without URL or an escaping that this version does not know.
        """
        if missing := [name for name in self.fields if name not in fields]:
            raise MissingFields(missing)
        addresses = {placement_id: url.encode("ascii") for placement_id, url in urls.items()}
        in_html = {(name, how): _HTML[how](fields[name]).encode(self.charset, "xmlcharrefreplace") for name, how in self._html.values}
        in_text = {(name, how): _TEXT[how](fields[name]).encode(self.charset, "replace") for name, how in self._text.values}
        return Rendered(self._html.joined(addresses, in_html), self._text.joined(addresses, in_text))


def urls_of(minted: mailing_service_pb2.RecipientUrls) -> dict[int, str]:
    """The URLs that MintUrls gave one recipient, as `Renderer.render` takes them."""
    return {each.placement_id: each.url for each in minted.urls}


def fields_of(recipient: mailing_pb2.Recipient, mailing_name: str) -> dict[str, str]:
    """The values that RenderMessages would fill in for a recipient: its merge fields, and what goes without saying."""
    known = {"mailing.name": mailing_name, "recipient.name": recipient.name, "recipient.email": recipient.email}
    return {name: value for name, value in known.items() if value} | dict(recipient.merge_fields)


_Value = tuple[str, "mailing_pb2.MergeFieldEscaping.ValueType"]
"""The name of a merge field and how its value is escaped."""


class _Part:
    """One part of a message: its bytes, with holes for URLs and values."""

    def __init__(self, segments: Iterable[mailing_pb2.Segment]) -> None:
        self._pieces: list[bytes] = []
        self._placements: list[tuple[int, int]] = []
        self._places: list[tuple[int, _Value]] = []
        for index, segment in enumerate(segments):
            self._pieces.append(segment.literal)
            if segment.HasField("placement_id"):
                self._placements.append((index, segment.placement_id))
            elif segment.HasField("merge_field"):
                self._places.append((index, (segment.merge_field, segment.escaping)))
        self.values = tuple(dict.fromkeys(value for _, value in self._places))
        self.fields = tuple(dict.fromkeys(name for name, _ in self.values))

    def joined(self, addresses: Mapping[int, bytes], values: Mapping[_Value, bytes]) -> bytes:
        pieces = self._pieces.copy()
        for index, placement_id in self._placements:
            pieces[index] = addresses[placement_id]
        for index, value in self._places:
            pieces[index] = values[value]
        return b"".join(pieces)


_MAY_START_A_URL = re.compile(r"(?:https?|mailto|tel):", re.IGNORECASE)
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9]")
_NOT_FOR_STYLE = re.compile(r"[^A-Za-z0-9 #%.,+-]+")
_BLANK = "&#32;"  # an empty value without quotes: browsers would take the next attribute for the value


def _as_it_is(value: str) -> str:
    return value


def _references(value: str) -> str:
    return _NOT_PLAIN.sub(lambda found: f"&#{ord(found[0])};", value)


def _percent_encoded(value: str) -> str:
    return quote(value, safe="", errors="replace")


def _for_style(value: str) -> str:
    return _NOT_FOR_STYLE.sub("", value)


def _url_in_html(value: str) -> str:
    return (_references(value) if _MAY_START_A_URL.match(value) else _percent_encoded(value)) or _BLANK


def _url_in_text(value: str) -> str:
    return value if _MAY_START_A_URL.match(value) else _percent_encoded(value)


_HTML: "Mapping[mailing_pb2.MergeFieldEscaping.ValueType, Callable[[str], str]]" = {
    mailing_pb2.MERGE_FIELD_ESCAPING_UNSPECIFIED: html.escape,
    mailing_pb2.MERGE_FIELD_ESCAPING_TEXT: html.escape,
    mailing_pb2.MERGE_FIELD_ESCAPING_UNQUOTED: lambda value: _references(value) or _BLANK,
    mailing_pb2.MERGE_FIELD_ESCAPING_URL_COMPONENT: _percent_encoded,
    mailing_pb2.MERGE_FIELD_ESCAPING_URL: _url_in_html,
    mailing_pb2.MERGE_FIELD_ESCAPING_STYLE: _for_style,
}
_TEXT = {
    **_HTML,
    mailing_pb2.MERGE_FIELD_ESCAPING_UNSPECIFIED: _as_it_is,
    mailing_pb2.MERGE_FIELD_ESCAPING_TEXT: _as_it_is,
    mailing_pb2.MERGE_FIELD_ESCAPING_UNQUOTED: _as_it_is,
    mailing_pb2.MERGE_FIELD_ESCAPING_URL: _url_in_text,
}
