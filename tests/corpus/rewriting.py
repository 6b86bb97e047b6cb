"""A mail before and after its addresses were rewritten: by our own room, or by a broken one that a test hands in."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from redirect.token import Keys, Minter
from server.messages.find import FoundAddress, find_links
from server.messages.part import Part
from server.messages.render import render
from server.messages.template import Literal, MergeField, PlacementSlot, Segment, Slot, segments_of
from server.model.ids import person_recipient
from tests.corpus.mail import Mail

Find = Callable[[Part, bytes, str], Sequence[FoundAddress]]
Rewrite = Callable[[Mail, Sequence[Slot], Mapping[int, str]], bytes]


@dataclass(frozen=True, slots=True)
class Rewriting:
    """The addresses that were found in a mail, the URLs that were to take their places, and what came out."""

    mail: Mail
    addresses: Sequence[FoundAddress]
    urls: Mapping[int, str]
    """The URL of each tracked address, by the place where the address starts."""
    untouched: bytes
    """The mail rendered with no tracked link."""
    rendered: bytes

    def expected(self) -> bytes:
        """The mail with the URLs put in the places of the addresses."""
        content = self.mail.content
        for address in reversed(self.addresses):
            if address.start in self.urls:
                content = content[: address.start] + self.urls[address.start].encode("ascii") + content[address.end :]
        return content


class BrokenTemplateError(ValueError):
    """The segments do not cover the mail byte for byte."""

    def __init__(self, offset: int, segment: Segment | None) -> None:
        super().__init__(f"the template does not follow the mail at {segment}")
        self.offset = offset


def url_of(number: int) -> str:
    """A URL as long as our own are, for the number-th link of a mail."""
    return "http://127.0.0.1:8080/" + _MINTER.mint(_MINTER.prefix(70_000 + number), person_recipient(123_456))


def rewritten(mail: Mail, slots: Sequence[Slot], urls: Mapping[int, str]) -> bytes:
    """The mail as our own room renders it, every merge field filled with its own raw text. Raises BrokenTemplateError."""
    segments = segments_of(mail.part, mail.content, slots, mail.charset)
    raw = _raw_fields(mail.content, slots, segments)
    # Each field gets a name of its own, since one name may be spelt with and without blanks in the same mail; and the escaping that leaves
    # braces alone, since percent-encoded fields would hide what else differs.
    numbered = [MergeField(f"f{index}") if isinstance(segment, MergeField) else segment for index, segment in enumerate(segments)]
    return render(mail.part, numbered, urls, {f"f{index}": text for index, text in raw.items()}, mail.charset)


def rewriting(mail: Mail, find: Find = find_links, rewrite: Rewrite = rewritten) -> Rewriting:
    """The mail found and rewritten, in these ways. Raises BrokenTemplateError."""
    addresses = find(mail.part, mail.content, mail.charset)
    tracked = [address for address in addresses if address.left_alone is None]
    slots = [Slot(address.start, address.end, number) for number, address in enumerate(tracked, 1)]
    urls = {slot.placement_id: url_of(slot.placement_id) for slot in slots}
    by_place = {slot.start: urls[slot.placement_id] for slot in slots}
    return Rewriting(mail, addresses, by_place, rewrite(mail, [], {}), rewrite(mail, slots, urls))


_MINTER = Minter(Keys({"A": bytes(32)}, "A"))
_FIELD = re.compile(rb"\{\{[ \t]*([\w.-]+)[ \t]*\}\}")


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
