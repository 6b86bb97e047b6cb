"""A message viewed online: the recipient's own, as it was sent."""

from dataclasses import dataclass

from redirect.token import DO_NOT_TRACK, TEST
from server.messages.part import Part
from server.messages.render import MissingFields, Renderer
from server.messages.template import field_names
from server.model.errors import DomainError, Reason
from server.model.ids import NOBODY
from server.model.mailing import PlacementKind
from server.special_links import OpenedLink, SpecialLinks
from server.store.kept import KeptStore
from server.store.messages import MessageStore
from server.tracking import Template, template_of
from server.urls import Minting


@dataclass(frozen=True, slots=True)
class OnlineMessage:
    """A message as a page: its HTML part, or the text of one that has none."""

    html: bytes
    text: bytes
    charset: str


class Viewing:
    """The use case of ViewOnline. Blocks; errors are those that the contract names."""

    def __init__(self, links: SpecialLinks, messages: MessageStore, kept: KeptStore, minting: Minting) -> None:
        self._links = links
        self._messages = messages
        self._kept = kept
        self._minting = minting

    def view(self, token: str) -> OnlineMessage:
        """The message, with the recipient's own URLs, and with the values that the recipient brought; of nobody's all are empty."""
        link = self._links.opened(token, PlacementKind.view_online)
        message = self._messages.get(link.mailing.id)
        flags = (TEST if link.claims.test else 0) | (DO_NOT_TRACK if link.claims.do_not_track else 0)
        urls = self._minting.maker(link.mailing, message).urls(link.recipient, flags)
        template = template_of(message)
        fields = self._fields(link, template)
        try:
            if message.html:
                return OnlineMessage(_rendered(Part.html, template, urls, fields), b"", message.charset)
            return OnlineMessage(b"", _rendered(Part.text, template, urls, fields), message.charset)
        except MissingFields:  # the message was replaced by one for which the recipient has brought too little
            raise _gone() from None

    def _fields(self, link: OpenedLink, template: Template) -> dict[str, str]:
        if link.recipient == NOBODY:
            return dict.fromkeys([*field_names(template.html), *field_names(template.text)], "") | {"mailing.name": link.mailing.name}
        kept = self._kept.of(link.mailing.id, link.recipient)
        if kept is None:
            raise _gone()
        return {"mailing.name": link.mailing.name, **kept.fields}


def _rendered(part: Part, template: Template, urls: dict[int, str], fields: dict[str, str]) -> bytes:
    segments = template.html if part is Part.html else template.text
    return Renderer(part, segments, template.charset).render(urls, fields)


def _gone() -> DomainError:
    return DomainError(Reason.message_gone, "the message is no longer kept for this recipient")
