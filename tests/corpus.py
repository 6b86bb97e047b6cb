"""Runs the message room over a folder of mails and checks it against the mails themselves: python -m tests.corpus FOLDER."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path

from server.messages.find import FoundAddress, find_links
from server.messages.part import Part
from server.messages.render import render
from server.messages.template import Literal, MergeField, PlacementSlot, Segment, Slot, segments_of

Find = Callable[[Part, bytes, str], Sequence[FoundAddress]]
Rewrite = Callable[["Mail", Sequence[Slot], Mapping[int, str]], bytes]


@dataclass(frozen=True, slots=True)
class Mail:
    """One part of a message as it lies in a file."""

    name: str
    part: Part
    content: bytes
    charset: str = "utf-8"


@dataclass(slots=True)
class Findings:
    """What a check came to: how many addresses were tracked and left alone, and what is wrong where (byte offset, phrase)."""

    tracked: int = 0
    left_alone: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)


class BrokenTemplateError(ValueError):
    """The segments do not cover the mail byte for byte."""

    def __init__(self, offset: int, segment: Segment | None) -> None:
        super().__init__(f"the template does not follow the mail at {segment}")
        self.offset = offset


def main(arguments: Sequence[str], find: Find = find_links) -> int:
    """Checks every .html and .txt below the folder; 0 when all is well, 1 when a mail fails or there is none, 2 without folder."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print(f"usage: python -m tests.corpus FOLDER; no folder: {' '.join(arguments)}", file=sys.stderr)
        return 2
    mails = list(_mails(Path(arguments[0])))
    total = Findings()
    for mail in mails:
        findings = check(mail, find)
        total.tracked += findings.tracked
        total.left_alone += findings.left_alone
        total.failures += findings.failures
        for offset, what in sorted(findings.failures):
            before = mail.content[:offset].split(b"\n")
            print(f"{mail.name}:{len(before)}:{len(before[-1]) + 1}: {what}")
        if not findings.tracked:
            print(f"{mail.name}: nothing to track, so no rewrite could be checked")
    print(f"{len(mails)} mails, {total.tracked} links tracked, {total.left_alone} links left alone")
    return 1 if total.failures or not mails else 0


def rewritten(mail: Mail, slots: Sequence[Slot], urls: Mapping[int, str]) -> bytes:
    """The mail as our own room renders it, every merge field filled with its own raw text. Raises BrokenTemplateError."""
    segments = segments_of(mail.part, mail.content, slots)
    raw = _raw_fields(mail.content, slots, segments)
    # Each field gets a name of its own, since one name may be spelt with and without blanks in the same mail.
    numbered = [MergeField(f"f{index}") if isinstance(segment, MergeField) else segment for index, segment in enumerate(segments)]
    return render(mail.part, numbered, urls, {f"f{index}": text for index, text in raw.items()}, mail.charset)


def check(mail: Mail, find: Find = find_links, rewrite: Rewrite = rewritten) -> Findings:
    """What is wrong with the way a mail is found and rewritten. Tests hand in broken ways to see them noticed."""
    findings = Findings()
    addresses = find(mail.part, mail.content, mail.charset)
    tracked = [address for address in addresses if address.left_alone is None]
    findings.tracked, findings.left_alone = len(tracked), len(addresses) - len(tracked)
    slots = [Slot(address.start, address.end, number) for number, address in enumerate(tracked, 1)]
    urls = {slot.placement_id: f"https://t.example/{slot.placement_id:06d}" for slot in slots}
    try:
        renderings = [(wanted, rewrite(mail, wanted, urls)) for wanted in ([], slots)]
    except BrokenTemplateError as broken:
        findings.failures.append((broken.offset, str(broken)))
        return findings
    for wanted, rendered in renderings:
        findings.failures += _differences(mail.content, _spliced(mail.content, wanted, urls), rendered)
    if mail.part is Part.html:
        rewrites = {slot.start: urls[slot.placement_id] for slot in slots}
        findings.failures += _seen_by_another_parser(mail.content, renderings[-1][1], addresses, rewrites)
    else:
        findings.failures += _missed_in_text(mail.content, addresses)
    return findings


_FIELD = re.compile(rb"\{\{[ \t]*([\w.-]+)[ \t]*\}\}")
_RAW_TEXT = frozenset(("script", "style", "textarea", "title", "xmp", "noembed", "noframes", "iframe"))


def _mails(folder: Path) -> Iterator[Mail]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".html", ".txt") and path.is_file():
            content = path.read_bytes()
            part = Part.text if path.suffix.lower() == ".txt" else Part.html
            try:
                content.decode("utf-8")
                yield Mail(str(path.relative_to(folder)), part, content)
            except UnicodeDecodeError:
                yield Mail(str(path.relative_to(folder)), part, content, "cp1252")


def _raw_fields(content: bytes, slots: Sequence[Slot], segments: Sequence[Segment]) -> dict[int, str]:
    """The raw text of every merge field by the index of its segment, found by following the segments through the mail."""
    ends = {slot.placement_id: (slot.start, slot.end) for slot in slots}
    raw: dict[int, str] = {}
    position = 0
    for index, segment in enumerate(segments):
        match segment:
            case Literal(literal) if content.startswith(literal, position):
                position += len(literal)
            case PlacementSlot(placement_id) if ends[placement_id][0] == position:
                position = ends[placement_id][1]
            case MergeField(name) if (found := _FIELD.match(content, position)) and found[1].decode("ascii") == name:
                raw[index] = found[0].decode("ascii")
                position = found.end()
            case _:
                raise BrokenTemplateError(position, segment)
    if position != len(content):
        raise BrokenTemplateError(position, None)
    return raw


def _spliced(content: bytes, slots: Sequence[Slot], urls: Mapping[int, str]) -> bytes:
    for slot in reversed(slots):
        content = content[: slot.start] + urls[slot.placement_id].encode("ascii") + content[slot.end :]
    return content


def _differences(content: bytes, expected: bytes, rendered: bytes) -> Iterator[tuple[int, str]]:
    if expected != rendered:
        offset = next(offset for offset, (one, other) in enumerate(zip_longest(expected, rendered)) if one != other)
        wrong, right = (text[offset : offset + 30].decode("utf-8", "replace") for text in (rendered, expected))
        yield min(offset, len(content)), f"{wrong!r} stands where {right!r} should"


def _as_text(content: bytes) -> str:
    # One character per byte, so that a position in the string is one in the mail; and no ampersand, since Python's releases differ in
    # how they read character references in attributes.
    return content.decode("ascii", "surrogateescape").replace("&", "\ue000")


@dataclass(frozen=True, slots=True)
class _Tag:
    start: int
    end: int
    name: str
    attributes: list[tuple[str, str | None]]

    def href(self) -> str | None:
        return next((value or "" for name, value in self.attributes if name == "href"), None) if self.name in ("a", "area") else None


class _Tags(HTMLParser):
    """The start tags that the standard library's parser sees outside of comments and raw text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.seen: list[_Tag] = []
        self._inside: str | None = None
        text = _as_text(content)
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line, column = self.getpos()
        start = self._lines[line - 1] + column
        if self._inside is None:
            self.seen.append(_Tag(start, start + len(self.get_starttag_text() or ""), tag, attrs))
            self._inside = tag if tag in _RAW_TEXT else None

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None


def _seen_by_another_parser(
    content: bytes, rendered: bytes, addresses: Sequence[FoundAddress], rewrites: Mapping[int, str]
) -> Iterator[tuple[int, str]]:
    unseen = {address.start: address for address in addresses}
    for before, after in zip_longest(_Tags(content).seen, _Tags(rendered).seen):
        if before is None or after is None:
            yield before.start if before else len(content), "another parser sees another number of tags after the rewrite"
            break
        expected = before.attributes
        if (href := before.href()) is not None:
            address = next((each for start, each in unseen.items() if before.start < start <= each.end <= before.end), None)
            if address is None:
                yield before.start, f"the href {href!r} was not found"
                continue
            del unseen[address.start]
            raw = _as_text(content[address.start : address.end])
            if raw != href.strip():
                yield address.start, f"found {raw!r}, where another parser sees {href!r}"
            expected = list(expected)
            if address.start in rewrites:
                place = [name for name, _ in expected].index("href")
                expected[place] = ("href", href.replace(href.strip(), rewrites[address.start]))
        if (before.name, expected) != (after.name, after.attributes):
            yield (
                before.start,
                f"another parser sees {after.name} {after.attributes} after the rewrite of {before.name} {before.attributes}",
            )
    for address in unseen.values():
        yield address.start, f"found {address.url!r}, which another parser does not see as a link"


def _missed_in_text(content: bytes, addresses: Sequence[FoundAddress]) -> Iterator[tuple[int, str]]:
    for found in re.finditer(rb"\b(?:https?://|trackedlink:)\w+", content, re.IGNORECASE):
        if not any(address.start <= found.start() and found.end() <= address.end for address in addresses):
            yield found.start(), f"the address {found[0].decode('ascii')!r} was not found"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
