"""Where the merge fields of a message stand, and so how their values must be escaped. Where no escaping is safe there is no field."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from server.messages.escaping import MergeFieldEscaping
from server.messages.markup import HTML_SPACE, ConditionalComment, StartTag, Token, Unshown, tokens_of
from server.messages.part import Part
from server.messages.plain_text import addresses_of
from server.model.url_fields import FIELD


@dataclass(frozen=True, slots=True)
class FoundField:
    """A merge field, content[start:end], and how its value goes in."""

    start: int
    end: int
    name: str
    escaping: MergeFieldEscaping


def fields_of(part: Part, content: bytes, charset: str) -> Iterator[FoundField]:
    """The merge fields in the order they stand in; time grows with the length only. Never raises.

    Of what looks like a field in HTML none is one in comments, scripts, style sheets, names of tags and attributes, `on...` attributes,
    style attributes without quotes, nor where a value could begin a tag or end a conditional comment.
    """
    match part:
        case Part.html:
            tokens = list(tokens_of(content))
            ending = _ending_comments(content, tokens)
            for field in _within(content, _html_stretches(content, tokens)):
                begins_tag = _TAG_BEGINS.search(content[max(0, field.start - _LONGEST_TAG) : field.start])
                if not begins_tag and (field.start not in ending or field.escaping is MergeFieldEscaping.unquoted):
                    yield field
        case Part.text:
            component = MergeFieldEscaping.url_component
            yield from _within(content, (_Stretch(start, end, component, component) for start, end in addresses_of(content, charset)))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Where fields are no plain text: how they are escaped that stand first in it, and how behind that. None: not at all."""

    start: int
    end: int
    first: MergeFieldEscaping | None = None
    behind: MergeFieldEscaping | None = None


_FIELD = re.compile(FIELD.pattern.encode("ascii"))
_URLS = frozenset(
    (b"href", b"src", b"action", b"formaction", b"background", b"poster", b"cite", b"longdesc", b"usemap", b"data", b"lowsrc", b"dynsrc")
)
_SEVERAL_URLS = frozenset((b"srcset", b"imagesrcset"))
_TAG_BEGINS = re.compile(rb"</?[A-Za-z]*\Z")
_LONGEST_TAG = len(b"</textarea")
_BEFORE_COMMENT_END = re.compile(rb"(?:%b[-!]*+)++>?" % _FIELD.pattern)


def _within(content: bytes, stretches: Iterator[_Stretch]) -> Iterator[FoundField]:
    nothing = _Stretch(len(content), len(content))
    stretch = next(stretches, nothing)
    for found in _FIELD.finditer(content):
        start, end = found.span()
        while stretch.end <= start and stretch is not nothing:
            stretch = next(stretches, nothing)
        escaping: MergeFieldEscaping | None = MergeFieldEscaping.text
        if stretch.start < end:
            # In an attribute without quotes, a field with blanks is not all in the value: it is several attributes.
            whole = stretch.start <= start and end <= stretch.end
            escaping = (stretch.first if start == stretch.start else stretch.behind) if whole else None
        if escaping is not None:
            yield FoundField(start, end, found[1].decode("ascii"), escaping)


def _html_stretches(content: bytes, tokens: Iterable[Token]) -> Iterator[_Stretch]:
    for token in tokens:
        match token:
            case Unshown(start, end):
                yield _Stretch(start, end)
            case StartTag(position, end, _, attributes):
                for name, (start, stop) in attributes.items():
                    yield _Stretch(position, start)
                    yield _attribute(content, token, name, start, stop)
                    position = stop
                yield _Stretch(position, end)
            case ConditionalComment():
                pass


def _attribute(content: bytes, tag: StartTag, name: bytes, start: int, end: int) -> _Stretch:
    bare = content[start - 1] not in b"\"'"
    local = name.rpartition(b":")[2]
    if name.startswith(b"on") or local == b"srcdoc" or (name == b"content" and b"http-equiv" in tag.attributes):
        return _Stretch(start, end)
    if local in _URLS:
        value = content[start:end]
        return _Stretch(start + len(value) - len(value.lstrip(HTML_SPACE)), end, MergeFieldEscaping.url, MergeFieldEscaping.url_component)
    if local in _SEVERAL_URLS:
        return _Stretch(start, end, None if bare else MergeFieldEscaping.url_component, MergeFieldEscaping.url_component)
    if name == b"style":
        return _Stretch(start, end) if bare else _Stretch(start, end, MergeFieldEscaping.style, MergeFieldEscaping.style)
    escaping = MergeFieldEscaping.unquoted if bare else MergeFieldEscaping.text
    return _Stretch(start, end, escaping, escaping)


def _ending_comments(content: bytes, tokens: Iterable[Token]) -> frozenset[int]:
    """The starts of the fields in conditional comments that only dashes part from a `>`: a value `--` would end the comment."""
    found: set[int] = set()
    position = 0
    for token in tokens:
        if isinstance(token, ConditionalComment) and token.start >= position:
            position = token.end
            for chain in _BEFORE_COMMENT_END.finditer(content, token.start, token.end):
                if chain[0].endswith(b">"):
                    found.update(field.start() for field in _FIELD.finditer(content, *chain.span()))
    return frozenset(found)
