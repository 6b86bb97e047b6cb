"""A message as a template: literal bytes, the places of tracked addresses, and merge fields."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from server.messages.escaping import MergeFieldEscaping
from server.messages.fields import fields_of
from server.messages.part import Part
from server.turns import give_way


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
    """Where a value of the recipient goes, and how it is escaped there."""

    name: str
    escaping: MergeFieldEscaping = MergeFieldEscaping.text


Segment = Literal | PlacementSlot | MergeField


@dataclass(frozen=True, slots=True)
class Slot:
    """The bytes of an address, content[start:end], that a placement's URL takes the place of."""

    start: int
    end: int
    placement_id: int


def segments_of(part: Part, content: bytes, slots: Sequence[Slot], charset: str = "utf-8") -> tuple[Segment, ...]:
    """The content as segments in order; literals, slots and merge fields cover every byte once. Slots must be ascending and disjoint.

    A merge field is `{{ name }}`, blanks optional. A backslash or brace before it keeps it literal (`\\{{name}}`, `{{{name}}}`), and in
    HTML so does a place where `fields_of` sees none. Raises ValueError for slots that overlap, go back or leave the content.
    """
    segments: list[Segment] = []
    position = 0
    for start, end, segment in sorted([*_placed(content, slots), *_fields(part, content, slots, charset)], key=lambda each: each[0]):
        give_way()
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


def _placed(content: bytes, slots: Sequence[Slot]) -> Iterator[_Placed]:
    position = 0
    for slot in slots:
        if not position <= slot.start <= slot.end <= len(content):
            raise ValueError(f"slots must be ascending, disjoint and within the content, unlike {slot}")
        position = slot.end
        yield slot.start, slot.end, PlacementSlot(slot.placement_id)


def _fields(part: Part, content: bytes, slots: Sequence[Slot], charset: str) -> Iterator[_Placed]:
    remaining = iter(slots)
    slot = next(remaining, None)
    for field in fields_of(part, content, charset):
        while slot is not None and slot.end <= field.start:
            slot = next(remaining, None)
        if slot is None or field.end <= slot.start:
            yield field.start, field.end, MergeField(field.name, field.escaping)
