"""Renders a template for one recipient."""

from collections.abc import Mapping, Sequence

from server.messages.escaping import MergeFieldEscaping, escaped
from server.messages.part import Part
from server.messages.template import Literal, MergeField, PlacementSlot, Segment, field_names


class MissingFields(ValueError):
    """A recipient brings no value for these merge fields: all of them, in the order the template names them."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"no value for the merge fields {', '.join(names)}")
        self.names = tuple(names)


class TooLarge(ValueError):
    """A message would have more bytes than can be sent to anybody."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the message would have {size:,} bytes, at most {MOST_BYTES:,} are possible")


MOST_BYTES = 3_500_000
"""Of one recipient's part: more does not go through one response."""


class Renderer:
    """A template made ready for many recipients: for each of them only URLs and values are put in and all is joined."""

    def __init__(self, part: Part, segments: Sequence[Segment], charset: str) -> None:
        self._part = part
        self._charset = charset
        self._pieces: list[bytes] = []
        self._placements: list[tuple[int, int]] = []
        self._fields: list[tuple[int, tuple[str, MergeFieldEscaping]]] = []
        self._names = field_names(segments)
        for index, segment in enumerate(segments):
            match segment:
                case Literal(content):
                    self._pieces.append(content)
                case PlacementSlot(placement_id):
                    self._pieces.append(b"")
                    self._placements.append((index, placement_id))
                case MergeField(name, escaping):
                    self._pieces.append(b"")
                    self._fields.append((index, (name, escaping)))
        self._values = dict.fromkeys(value for _, value in self._fields)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its merge fields."""
        return self._names

    @property
    def size(self) -> int:
        """How many bytes of it are the same for all recipients."""
        return sum(map(len, self._pieces))

    def render(self, urls: Mapping[int, str], fields: Mapping[str, str]) -> bytes:
        """The message with the URL of each placement (by id, ASCII) and the value of each merge field.

        Values are escaped as their places in the message need. Raises MissingFields, TooLarge, KeyError for a placement without URL, and
        LookupError for an unknown charset when there are fields.
        """
        pieces = self._pieces.copy()
        for index, placement_id in self._placements:
            pieces[index] = urls[placement_id].encode("ascii")
        if self._fields:
            if missing := [name for name in self._names if name not in fields]:
                raise MissingFields(missing)
            values = {(name, how): escaped(fields[name], how, self._part, self._charset) for name, how in self._values}
            for index, value in self._fields:
                pieces[index] = values[value]
            if (size := sum(map(len, pieces))) > MOST_BYTES:
                raise TooLarge(size)
        return b"".join(pieces)


def render(part: Part, segments: Sequence[Segment], urls: Mapping[int, str], fields: Mapping[str, str], charset: str) -> bytes:
    """One message, as `Renderer.render` makes it; for many recipients keep a Renderer."""
    return Renderer(part, segments, charset).render(urls, fields)
