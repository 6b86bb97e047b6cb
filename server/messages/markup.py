"""Reads HTML as browsers do, but keeps the place of everything in bytes. Source: WHATWG HTML, Tokenization.

What is left out: foreign content, where `<svg><title>` holds markup and CDATA is text. Charsets must be supersets of ASCII.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

HTML_SPACE = b"\t\n\f\r "


@dataclass(frozen=True, slots=True)
class StartTag:
    """A complete start tag, content[start:end]: its name and the places of its attributes' values (without quotes), names in lower case.

    Of attributes with one name the first counts. An attribute without value has an empty place at its end.
    """

    start: int
    end: int
    name: bytes
    attributes: Mapping[bytes, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Unshown:
    """Bytes that no reader sees as text or follows as a link: a comment, a doctype, an end tag, a tag that the input ends in.

    And what stands in elements such as script and style, in which nothing is markup and no character reference is read.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ConditionalComment:
    """What stands in a comment `<!--[if mso]>...<![endif]-->`: HTML to Outlook, nothing to others. Its tokens follow."""

    start: int
    end: int


Token = StartTag | Unshown | ConditionalComment


def tokens_of(content: bytes) -> Iterator[Token]:
    """The tokens in the order they stand in, those of conditional comments among them; time grows with the length only. Never raises."""
    return _tokens(content, 0, len(content))


def _tokens(content: bytes, position: int, end: int) -> Iterator[Token]:
    last_close = content.rfind(b">", position, end)
    last_comment_end = max(content.rfind(b"-->", position, end), content.rfind(b"--!>", position, end))
    while opening := _OPENING.search(content, position, end):
        start, position = opening.span()
        name = (opening["name"] or b"").lower()
        if not name:
            unended = opening["comment"] and start > last_comment_end
            text_end, comment_end = (end, end) if unended else _comment_ends(content, opening, end)
            condition = _CONDITION.match(content, start, text_end)
            position = condition.end() if condition else comment_end
            yield Unshown(start, position)
            if condition:
                yield ConditionalComment(position, text_end)
            if condition and text_end < end:
                # A comment holds no whole comment, so that this goes no deeper; one without end goes on in this very loop.
                yield from _tokens(content, position, text_end)
                position = comment_end
            continue
        attributes: dict[bytes, tuple[int, int]] = {}
        tag_end = _read_attributes(content, position, end, attributes) if start < last_close else None
        position = end if tag_end is None else tag_end
        if tag_end is None or opening["slash"]:
            yield Unshown(start, position)
            continue
        yield StartTag(start, position, name, attributes)
        if name in _RAW_TEXT:
            raw_start, position = position, _raw_text_end(content, position, end, name)
            if name not in _TEXT_ONLY:
                yield Unshown(raw_start, position)


_OPENING = re.compile(rb"<(?:(?P<slash>/?)(?P<name>[A-Za-z][^\t\n\f\r />]*)|(?P<comment>!--)|[!?/])")
_COMMENT_END = re.compile(rb"--!?>")
_CONDITION = re.compile(rb"<!--[\t\n\f\r ]*\[[\t\n\f\r ]*if(?=[\t\n\f\r (!])[^\]>]*\][\t\n\f\r ]*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    rb"""[\t\n\f\r /]*(?:
        (?P<close>>)
        | (?P<name>[^\t\n\f\r />][^\t\n\f\r /=>]*)
          (?:[\t\n\f\r ]*=[\t\n\f\r ]*(?:
            "(?P<double>[^"]*)"
            | '(?P<single>[^']*)'
            | (?P<bare>[^\t\n\f\r >"'][^\t\n\f\r >]*)
            | (?=>)
            | (?P<truncated>)
          ))?
    )""",
    re.VERBOSE,
)
_RAW_TEXT = {
    name: re.compile(rb"</%b(?=[\t\n\f\r />])" % name, re.IGNORECASE)
    for name in (b"script", b"style", b"textarea", b"title", b"xmp", b"noembed", b"noframes", b"iframe", b"plaintext")
}
_TEXT_ONLY = frozenset((b"textarea", b"title"))
_IN_SCRIPT = re.compile(rb"<!--|-->|<(?P<slash>/?)script(?=[\t\n\f\r />])", re.IGNORECASE)


def _comment_ends(content: bytes, opening: re.Match[bytes], end: int) -> tuple[int, int]:
    """Where the text of the comment ends, and where the comment."""
    start = opening.end()
    if not opening["comment"]:  # `<!doctype`, `<![if`, `<?xml`, `</ `: all of them end at the first >
        close = content.find(b">", start, end)
        return (close, close + 1) if close >= 0 else (end, end)
    for whole in (b">", b"->"):
        if content.startswith(whole, start, end):
            return start, start + len(whole)
    return found.span() if (found := _COMMENT_END.search(content, start, end)) else (end, end)


def _read_attributes(content: bytes, position: int, end: int, attributes: dict[bytes, tuple[int, int]]) -> int | None:
    """Puts the places of values into attributes; where the tag ends, or None when the input ends within it."""
    while found := _ATTRIBUTE.match(content, position, end):
        position = found.end()
        match found.lastgroup:
            case "close":
                return position
            case "truncated":
                return None
            case "name":
                attributes.setdefault(found["name"].lower(), (position, position))
            case "double" | "single" | "bare" as group:
                attributes.setdefault(found["name"].lower(), found.span(group))
    return None


def _raw_text_end(content: bytes, position: int, end: int, name: bytes) -> int:
    match name:
        case b"script":
            return _script_end(content, position, end)
        case b"plaintext":
            return end
        case _:
            found = _RAW_TEXT[name].search(content, position, end)
            return found.start() if found else end


def _script_end(content: bytes, position: int, end: int) -> int:
    """Where the script's text ends: inside `<!-- <script>` the next `</script>` does not end it."""
    escaped = doubly = False
    while found := _IN_SCRIPT.search(content, position, end):
        position = found.end()
        match found[0]:
            case b"<!--":
                escaped, position = True, position - 2  # the dashes may belong to `-->` as well
            case b"-->":
                escaped = doubly = False
            case _ if found["slash"] and not doubly:
                return found.start()
            case _:
                doubly = escaped and not found["slash"]
    return end
