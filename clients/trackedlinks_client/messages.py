"""Renders a message for one recipient after another, from the template that TrackMessage returns: no message goes over the wire twice."""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trackedlinks.v1 import mailing_pb2, mailing_service_pb2


class MissingFields(ValueError):
    """There is no value for these merge fields: all of them, in the order of the message, HTML before text."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"the message needs values for: {', '.join(names)}")
        self.names = tuple(names)


@dataclass(frozen=True)
class Rendered:
    """One recipient's message, both parts in the template's character set; a part that the message lacks is empty."""

    html: bytes
    text: bytes


class Renderer:
    """A template made ready for many recipients. Gives what RenderMessages would, byte for byte."""

    def __init__(self, template: mailing_pb2.MessageTemplate) -> None:
        """Raises LookupError when Python does not know the template's character set."""
        self.charset = template.charset or "utf-8"
        "".encode(self.charset)
        self._html = _Part(template.html)
        self._text = _Part(template.text)
        self.fields = tuple(dict.fromkeys([*self._html.fields, *self._text.fields]))
        """The names of the merge fields, in the order of the message."""

    def render(self, urls: Mapping[int, str], fields: Mapping[str, str]) -> Rendered:
        """The message with the recipient's URL of each placement, by its id, and the value of each merge field, by its name.

        In HTML values are escaped, and characters that the charset lacks become numeric references; in text they go in as they are, and
        such characters become `?`. Raises MissingFields; KeyError for a placement without URL.
        """
        if missing := [name for name in self.fields if name not in fields]:
            raise MissingFields(missing)
        addresses = {placement_id: url.encode("ascii") for placement_id, url in urls.items()}
        escaped = {name: html.escape(fields[name]).encode(self.charset, "xmlcharrefreplace") for name in self._html.fields}
        plain = {name: fields[name].encode(self.charset, "replace") for name in self._text.fields}
        return Rendered(self._html.joined(addresses, escaped), self._text.joined(addresses, plain))


def urls_of(minted: mailing_service_pb2.RecipientUrls) -> dict[int, str]:
    """The URLs that MintUrls gave one recipient, as `Renderer.render` takes them."""
    return {each.placement_id: each.url for each in minted.urls}


def fields_of(recipient: mailing_pb2.Recipient, mailing_name: str) -> dict[str, str]:
    """The values that RenderMessages would fill in for a recipient: its merge fields, and what goes without saying."""
    known = {"mailing.name": mailing_name, "recipient.name": recipient.name, "recipient.email": recipient.email}
    return {name: value for name, value in known.items() if value} | dict(recipient.merge_fields)


class _Part:
    """One part of a message: its bytes, with holes for URLs and values."""

    def __init__(self, segments: Iterable[mailing_pb2.Segment]) -> None:
        self._pieces: list[bytes] = []
        self._placements: list[tuple[int, int]] = []
        self._places: list[tuple[int, str]] = []
        for index, segment in enumerate(segments):
            self._pieces.append(segment.literal)
            if segment.HasField("placement_id"):
                self._placements.append((index, segment.placement_id))
            elif segment.HasField("merge_field"):
                self._places.append((index, segment.merge_field))
        self.fields = tuple(dict.fromkeys(name for _, name in self._places))

    def joined(self, addresses: Mapping[int, bytes], values: Mapping[str, bytes]) -> bytes:
        pieces = self._pieces.copy()
        for index, placement_id in self._placements:
            pieces[index] = addresses[placement_id]
        for index, name in self._places:
            pieces[index] = values[name]
        return b"".join(pieces)
