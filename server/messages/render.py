"""Renders a template for one recipient."""

import html
from collections.abc import Mapping, Sequence

from server.messages.part import Part
from server.messages.template import Literal, MergeField, PlacementSlot, Segment, field_names


class MissingFields(ValueError):
    """A recipient brings no value for these merge fields: all of them, in the order the template names them."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"no value for the merge fields {', '.join(names)}")
        self.names = tuple(names)


class Renderer:
    """A template made ready for many recipients: for each of them only URLs and values are put in and all is joined."""

    def __init__(self, part: Part, segments: Sequence[Segment], charset: str) -> None:
        self._part = part
        self._charset = charset
        self._pieces: list[bytes] = []
        self._placements: list[tuple[int, int]] = []
        self._fields: list[tuple[int, str]] = []
        self._names = field_names(segments)
        for index, segment in enumerate(segments):
            match segment:
                case Literal(content):
                    self._pieces.append(content)
                case PlacementSlot(placement_id):
                    self._pieces.append(b"")
                    self._placements.append((index, placement_id))
                case MergeField(name):
                    self._pieces.append(b"")
                    self._fields.append((index, name))

    @property
    def size(self) -> int:
        """How many bytes of it are the same for all recipients."""
        return sum(map(len, self._pieces))

    def render(self, urls: Mapping[int, str], fields: Mapping[str, str]) -> bytes:
        """The message with the URL of each placement (by id, ASCII) and the value of each merge field.

        Values are escaped in HTML and go in as they are in text; a character that the charset lacks becomes a numeric reference or `?`.
        Raises MissingFields, KeyError for a placement without URL, LookupError for an unknown charset when there are fields.
        """
        pieces = self._pieces.copy()
        for index, placement_id in self._placements:
            pieces[index] = urls[placement_id].encode("ascii")
        if self._fields:
            if missing := [name for name in self._names if name not in fields]:
                raise MissingFields(missing)
            values = {name: self._encoded(fields[name]) for name in self._names}
            for index, name in self._fields:
                pieces[index] = values[name]
        return b"".join(pieces)

    def _encoded(self, value: str) -> bytes:
        match self._part:
            case Part.html:
                return html.escape(value).encode(self._charset, "xmlcharrefreplace")
            case Part.text:
                return value.encode(self._charset, "replace")


def render(part: Part, segments: Sequence[Segment], urls: Mapping[int, str], fields: Mapping[str, str], charset: str) -> bytes:
    """One message, as `Renderer.render` makes it; for many recipients keep a Renderer."""
    return Renderer(part, segments, charset).render(urls, fields)
