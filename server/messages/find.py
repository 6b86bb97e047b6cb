"""Finds the addresses in a message: which can be tracked, and why the others are left alone."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from server.messages.markup import HTML_SPACE, StartTag, tokens_of
from server.messages.part import Part
from server.messages.plain_text import addresses_of
from server.messages.references import decoded
from server.model.mailing import LeftAloneReason
from server.model.url_fields import FIELD, fields_choose_server, problem_of_url
from server.turns import give_way


@dataclass(frozen=True, slots=True)
class FoundAddress:
    """An address in a message. content[start:end] is what stands there; url is what it means, with character references read."""

    part: Part
    start: int
    end: int
    url: str
    left_alone: LeftAloneReason | None


def find_links(part: Part, content: bytes, charset: str = "utf-8") -> list[FoundAddress]:
    """Every href of `a`, `area` and VML shapes in HTML, every web address in text: ascending and disjoint. Never raises.

    Conditional comments are HTML like the rest, since Outlook shows them. An address `trackedlink:...` means a registered or special
    link; it is never left alone unless it holds a merge field. The charset must be a superset of ASCII.
    """
    match part:
        case Part.html:
            return list(_in_html(content, charset))
        case Part.text:
            return [_found(part, content, place, charset) for place in addresses_of(content, charset)]


INSERTED = "trackedlink:"
"""What the address of a registered or special link begins with, spelt so and in any case."""

_LINKING_TAGS = frozenset((b"a", b"area"))
_VML = b"v:"
_NOT_LINKING = frozenset((b"v:fill", b"v:imagedata", b"v:stroke", b"v:textpath"))
"""Parts of VML shapes whose href is a picture."""

_SPACE = HTML_SPACE.decode("ascii")
_SCHEME = re.compile(r"[\x00-\x20]*([A-Za-z][A-Za-z0-9+.-]*):")
_DROPPED_BY_BROWSERS = str.maketrans("", "", "\t\n\r")


def _in_html(content: bytes, charset: str) -> Iterator[FoundAddress]:
    for token in tokens_of(content):
        if isinstance(token, StartTag) and _links(token.name):
            place = token.attributes.get(b"href") or token.attributes.get(b"xlink:href")
            if place:
                give_way()
                yield _found(Part.html, content, place, charset, _is_marked(content, token.attributes))


def _links(tag: bytes) -> bool:
    return tag in _LINKING_TAGS or (tag.startswith(_VML) and tag not in _NOT_LINKING)


def _is_marked(content: bytes, attributes: Mapping[bytes, tuple[int, int]]) -> bool:
    start, end = attributes.get(b"data-track", (0, 0))
    return content[start:end].strip(HTML_SPACE).lower() == b"false"


def _found(part: Part, content: bytes, place: tuple[int, int], charset: str, marked: bool = False) -> FoundAddress:
    raw = content[slice(*place)]
    start = place[0] + len(raw) - len(raw.lstrip(HTML_SPACE))
    raw = raw.strip(HTML_SPACE)
    end = start + len(raw)
    try:
        text = raw.decode(charset)
    except (LookupError, ValueError):
        return FoundAddress(part, start, end, raw.decode("ascii", "replace"), LeftAloneReason.invalid_url)
    url = decoded(text).strip(_SPACE) if part is Part.html else text
    return FoundAddress(part, start, end, url, _why_left_alone(url, marked))


def _why_left_alone(url: str, marked: bool) -> LeftAloneReason | None:
    visited = url.translate(_DROPPED_BY_BROWSERS)
    found = _SCHEME.match(visited)
    scheme = found[1].lower() if found else ""
    if not url:
        return LeftAloneReason.empty
    if url[: len(INSERTED)].lower() == INSERTED:
        return LeftAloneReason.merge_field if "{{" in url else None
    if marked:
        return LeftAloneReason.marked
    if visited.startswith("#"):
        return LeftAloneReason.anchor
    if scheme not in ("", "http", "https"):
        return LeftAloneReason.not_http
    # What is in braces and no field of ours is another system's, which will fill it in before or after us.
    if fields_choose_server(url) or "{{" in FIELD.sub("x", url):
        return LeftAloneReason.merge_field
    if not scheme:
        return LeftAloneReason.relative
    return LeftAloneReason.invalid_url if problem_of_url(url) else None
