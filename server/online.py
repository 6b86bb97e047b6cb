"""A message viewed online: the recipient's own, as it was sent."""

from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock

from redirect.token import DO_NOT_TRACK, TEST
from server.messages.part import Part
from server.messages.render import MissingFields, Renderer, TooLarge
from server.model.errors import DomainError, Reason
from server.model.ids import NOBODY
from server.model.mailing import PlacementKind
from server.special_links import OpenedLink, SpecialLinks
from server.store.kept import KeptStore, kept_key
from server.store.messages import MessageStore, StoredMessage
from server.tracking import template_of
from server.urls import Minting

MOST_RENDERERS = 16
"""Messages that are kept ready, each of about its size."""


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
        self._renderers: dict[int, tuple[bytes, Renderer]] = {}
        self._lock = Lock()

    def view(self, token: str) -> OnlineMessage:
        """The message, with the recipient's own URLs, and with the values that the recipient brought; of nobody's all are empty."""
        link = self._links.opened(token, PlacementKind.view_online)
        message = self._messages.get(link.mailing.id)
        flags = (TEST if link.claims.test else 0) | (DO_NOT_TRACK if link.claims.do_not_track else 0)
        urls = self._minting.maker(link.mailing, message).urls(link.recipient, flags)
        part = Part.html if message.html else Part.text
        renderer = self._renderer(link.mailing.id, part, message)
        try:
            content = renderer.render(urls, self._fields(link, renderer))
        except (MissingFields, TooLarge):  # the message was replaced by one for which the recipient has brought too little
            raise _gone() from None
        return OnlineMessage(content, b"", message.charset) if part is Part.html else OnlineMessage(b"", content, message.charset)

    def _renderer(self, mailing_id: int, part: Part, message: StoredMessage) -> Renderer:
        """Of a message that was viewed lately it is at hand: making one of 2 MB takes a second (measured)."""
        digest = blake2b(repr((message.charset, message.slots)).encode() + message.html + message.text, digest_size=16).digest()
        with self._lock:
            known = self._renderers.pop(mailing_id, None)
        if known is None or known[0] != digest:
            template = template_of(message)
            known = (digest, Renderer(part, template.html if part is Part.html else template.text, template.charset))
        with self._lock:
            self._renderers[mailing_id] = known
            while len(self._renderers) > MOST_RENDERERS:
                del self._renderers[next(iter(self._renderers))]
        return known[1]

    def _fields(self, link: OpenedLink, renderer: Renderer) -> dict[str, str]:
        if link.recipient == NOBODY:
            return dict.fromkeys(renderer.names, "") | {"mailing.name": link.mailing.name}
        kept = self._kept.of(link.mailing.id, kept_key(link.recipient, link.claims.test))
        if kept is None:
            raise _gone()
        return {"mailing.name": link.mailing.name, **kept.fields}


def _gone() -> DomainError:
    return DomainError(Reason.message_gone, "the message is no longer kept for this recipient")
