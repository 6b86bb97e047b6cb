"""A message as a template: literal bytes, the places of tracked addresses, and merge fields."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from server.messages.markup import Unshown, tokens_of
from server.messages.part import Part


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes that every recipient gets as they are."""

    content: bytes


@dataclass(frozen=True, slots=True)
class PlacementSlot:
    """Where the recipient's own URL of a placement goes."""

    placement_id: int


@dataclass(frozen=True, slots=True)
class MergeField:
    """Where a value of the recipient goes."""

    name: str


Segment = Literal | PlacementSlot | MergeField


@dataclass(frozen=True, slots=True)
class Slot:
    """The bytes of an address, content[start:end], that a placement's URL takes the place of."""

    start: int
    end: int
    placement_id: int


def segments_of(part: Part, content: bytes, slots: Sequence[Slot]) -> tuple[Segment, ...]:
    """The content as segments in order; literals, slots and merge fields cover every byte once. Slots must be ascending and disjoint.

    A merge field is `{{ name }}`, blanks optional. A backslash or brace before it keeps it literal (`\\{{name}}`, `{{{name}}}`), and in
    HTML so do comments, scripts and style sheets. Raises ValueError for slots that overlap, go back or leave the content.
    """
    segments: list[Segment] = []
    position = 0
    for start, end, segment in sorted([*_placed(content, slots), *_fields(part, content, slots)], key=lambda each: each[0]):
        if position < start:
            segments.append(Literal(content[position:start]))
        segments.append(segment)
        position = end
    if position < len(content):
        segments.append(Literal(content[position:]))
    return tuple(segments)


def field_names(segments: Sequence[Segment]) -> tuple[str, ...]:
    """The distinct names of the merge fields, in the order they first appear."""
    return tuple(dict.fromkeys(segment.name for segment in segments if isinstance(segment, MergeField)))


_Placed = tuple[int, int, Segment]
_FIELD = re.compile(rb"(?<![\\{])\{\{[ \t]*([A-Za-z_][A-Za-z0-9_.-]{0,63})[ \t]*\}\}")


def _placed(content: bytes, slots: Sequence[Slot]) -> Iterator[_Placed]:
    position = 0
    for slot in slots:
        if not position <= slot.start <= slot.end <= len(content):
            raise ValueError(f"slots must be ascending, disjoint and within the content, unlike {slot}")
        position = slot.end
        yield slot.start, slot.end, PlacementSlot(slot.placement_id)


def _fields(part: Part, content: bytes, slots: Sequence[Slot]) -> Iterator[_Placed]:
    closed = [(slot.start, slot.end) for slot in slots]
    if part is Part.html:
        closed += [(token.start, token.end) for token in tokens_of(content) if isinstance(token, Unshown)]
    behind = (len(content), len(content) + 1)
    ranges = iter(sorted(closed))
    start, end = next(ranges, behind)
    for found in _FIELD.finditer(content):
        while end <= found.start():
            start, end = next(ranges, behind)
        if found.end() <= start:
            yield found.start(), found.end(), MergeField(found[1].decode("ascii"))
