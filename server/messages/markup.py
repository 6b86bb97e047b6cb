"""Reads HTML as browsers do, but keeps the place of everything in bytes. Source: WHATWG HTML, Tokenization.

What is left out: foreign content, where `<svg><title>` holds markup and CDATA is text. Charsets must be supersets of ASCII.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

HTML_SPACE = b"\t\n\f\r "


@dataclass(frozen=True, slots=True)
class StartTag:
    """A complete start tag: its name and the places of its attributes' values (without quotes), names in lower case.

    Of attributes with one name the first counts. An attribute without value has an empty place at its end.
    """

    name: bytes
    attributes: Mapping[bytes, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Unshown:
    """Bytes that no reader sees as text or follows as a link: a comment, a doctype, or what stands in a script or style element."""

    start: int
    end: int


def tokens_of(content: bytes) -> Iterator[StartTag | Unshown]:
    """The start tags and unshown stretches in the order they stand in; time grows with the length only. Never raises."""
    position, last_close = 0, content.rfind(b">")
    while opening := _OPENING.search(content, position):
        name = opening["name"]
        if name is None:
            position = _comment_end(content, opening)
            yield Unshown(opening.start(), position)
            continue
        if opening.start() > last_close:
            return
        attributes: dict[bytes, tuple[int, int]] = {}
        end = _read_attributes(content, opening.end(), attributes)
        if end is None:
            return
        position = end
        if opening["slash"]:
            continue
        name = name.lower()
        yield StartTag(name, attributes)
        if name in _RAW_TEXT:
            end = _script_end(content, position) if name == b"script" else _raw_text_end(content, position, _RAW_TEXT[name])
            if name in (b"script", b"style"):
                yield Unshown(position, end)
            position = end


_OPENING = re.compile(rb"<(?:(?P<slash>/?)(?P<name>[A-Za-z][^\t\n\f\r />]*)|(?P<comment>!--)|[!?/])")
_COMMENT_END = re.compile(rb"--!?>")
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
_IN_SCRIPT = re.compile(rb"<!--|-->|<(?P<slash>/?)script(?=[\t\n\f\r />])", re.IGNORECASE)


def _comment_end(content: bytes, opening: re.Match[bytes]) -> int:
    start = opening.end()
    if not opening["comment"]:  # `<!doctype`, `<![if`, `<?xml`, `</ `: all of them end at the first >
        return content.find(b">", start) + 1 or len(content)
    for whole in (b">", b"->"):
        if content.startswith(whole, start):
            return start + len(whole)
    end = _COMMENT_END.search(content, start)
    return end.end() if end else len(content)


def _read_attributes(content: bytes, position: int, attributes: dict[bytes, tuple[int, int]]) -> int | None:
    """Puts the places of values into attributes; where the tag ends, or None when the input ends within it."""
    while found := _ATTRIBUTE.match(content, position):
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


def _raw_text_end(content: bytes, start: int, closing: re.Pattern[bytes]) -> int:
    end = closing.search(content, start) if closing is not _RAW_TEXT[b"plaintext"] else None
    return end.start() if end else len(content)


def _script_end(content: bytes, position: int) -> int:
    """Where the script's text ends: inside `<!-- <script>` the next `</script>` does not end it."""
    escaped = doubly = False
    while found := _IN_SCRIPT.search(content, position):
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
    return len(content)
