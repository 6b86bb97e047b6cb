"""The links of an HTML mail as the standard library's parser sees them, and within Outlook's conditional comments a plain pattern."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import zip_longest

from tests.corpus.rewriting import Rewriting

_VML_SHAPES = ("v:arc", "v:curve", "v:group", "v:image", "v:line", "v:oval", "v:polyline", "v:rect", "v:roundrect", "v:shape")
LINKING = frozenset(("a", "area", *_VML_SHAPES))
"""Elements that are links when they have an href. Source for VML: the W3C's note of 1998, shapes and groups; v:fill is none of them."""


def differences(rewriting: Rewriting) -> Iterator[tuple[int, str]]:
    """Where a link was not found, where something else was, and where a tag is another one after the rewrite."""
    content = rewriting.mail.content
    unseen = {address.start: address for address in rewriting.addresses}
    for before, after in zip_longest(_Tags(content).seen, _Tags(rewriting.rendered).seen):
        if before is None or after is None:
            yield before.start if before else len(content), "another parser sees another number of tags after the rewrite"
            break
        expected = before.attributes
        if (link := before.link()) is not None:
            href = link[1]
            address = next((each for start, each in unseen.items() if before.start < start <= each.end <= before.end), None)
            if address is None:
                yield before.start, f"the href {_shown(href)!r} was not found"
                continue
            del unseen[address.start]
            raw = _as_text(content[address.start : address.end])
            if raw != href.strip():
                yield address.start, f"found {_shown(raw)!r}, where another parser sees {_shown(href)!r}"
            expected = list(expected)
            if address.start in rewriting.urls:
                place = [name for name, _ in expected].index(link[0])
                expected[place] = (link[0], href.replace(href.strip(), rewriting.urls[address.start]))
        if (before.name, expected) != (after.name, after.attributes):
            what = f"another parser sees {after.name} {after.attributes} after the rewrite of {before.name} {before.attributes}"
            yield before.start, _shown(what)
    for address in unseen.values():
        yield address.start, f"found {address.url!r}, which another parser does not see as a link"


_AMPERSAND = "\ue000"
_RAW_TEXT = frozenset(("script", "style", "textarea", "title", "xmp", "noembed", "noframes", "iframe"))
_CONDITIONAL = re.compile(r"<!--\s*\[\s*if\b", re.IGNORECASE)
_NO_MARKUP = re.compile(r"<(script|style|textarea|title)\b.*?</\1", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"""<([a-z][a-z0-9:]*)((?:[\s/](?:"[^"]*"|'[^']*'|[^"'>])*)?)>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]+))?""")


def _as_text(content: bytes) -> str:
    # One character per byte, so that a position in the string is one in the mail; and no ampersand, since Python's releases differ in
    # how they read character references in attributes.
    return content.decode("ascii", "surrogateescape").replace("&", _AMPERSAND)


def _shown(text: str) -> str:
    return text.replace(_AMPERSAND, "&").encode("ascii", "surrogateescape").decode("utf-8", "replace")


def _unquoted(value: str) -> str:
    return value[1:-1] if value[:1] in ("'", '"') else value


@dataclass(frozen=True, slots=True)
class _Tag:
    start: int
    end: int
    name: str
    attributes: Sequence[tuple[str, str | None]]

    def link(self) -> tuple[str, str] | None:
        """The attribute that makes it a link, and its value; None when it is none."""
        values = {name: value or "" for name, value in reversed(self.attributes)}
        name = next((name for name in ("href", "xlink:href") if name in values), None)
        return (name, values[name]) if name and self.name in LINKING else None


class _Tags(HTMLParser):
    """The start tags outside of raw text, and of comments other than conditional ones."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.seen: list[_Tag] = []
        self._inside: str | None = None
        self._text = _as_text(content)
        self._lines = [0, *(found.end() for found in re.finditer("\n", self._text))]
        self.feed(self._text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._inside is None:
            start = self._position()
            self.seen.append(_Tag(start, start + len(self.get_starttag_text() or ""), tag, attrs))
            self._inside = tag if tag in _RAW_TEXT else None

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_comment(self, data: str) -> None:
        start = self._position()
        if self._inside is None and _CONDITIONAL.match(self._text, start):
            start += len("<!--")
            for tag in _TAG.finditer(_NO_MARKUP.sub(lambda found: " " * len(found[0]), data)):
                attributes = [(name.lower(), _unquoted(value)) for name, value in _ATTRIBUTE.findall(tag[2])]
                self.seen.append(_Tag(start + tag.start(), start + tag.end(), tag[1].lower(), attributes))

    def _position(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column
