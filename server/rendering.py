"""Rendering: each recipient's own message, with own URLs and merge fields filled in."""

from dataclasses import dataclass

from server.messages.part import Part
from server.messages.render import MOST_BYTES, MissingFields, Renderer, TooLarge
from server.model.errors import DomainError, Reason, Violation
from server.model.mailing import Mailing, Recipient
from server.store.mailings import MailingStore
from server.store.messages import MessageStore
from server.tracking import template_of
from server.urls import Mint, Minting


@dataclass(frozen=True, slots=True)
class Rendered:
    """One recipient's message, both parts in the template's character set."""

    html: bytes
    text: bytes


class Rendering:
    """Makes presses, each for one mailing."""

    def __init__(self, mailings: MailingStore, messages: MessageStore, minting: Minting) -> None:
        self._mailings = mailings
        self._messages = messages
        self._minting = minting

    def press(self, mailing_id: int) -> "Press":
        """A press for a mailing's message. Blocks. Raises MAILING_NOT_FOUND, MAILING_DELETED, MESSAGE_MISSING."""
        mailing = self._mailings.get(mailing_id)
        if mailing.delete_time is not None:
            raise DomainError(Reason.mailing_deleted, f"mailing {mailing_id} is deleted", id=mailing_id)
        message = self._messages.get(mailing_id)
        template = template_of(message)
        html = Renderer(Part.html, template.html, template.charset)
        return Press(mailing, html, Renderer(Part.text, template.text, template.charset), self._minting.of(mailing, message))


@dataclass(frozen=True, slots=True)
class Press:
    """Renders one mailing's message for many recipients."""

    mailing: Mailing
    html: Renderer
    text: Renderer
    mint: Mint

    def render(self, recipient: Recipient, number: int) -> Rendered | Violation:
        """A recipient's message, or what keeps it from being made."""
        urls, fields = self.mint.urls(recipient, number), recipient.values(self.mailing.name)
        missing: dict[str, None] = {}
        parts = []
        for renderer in (self.html, self.text):
            try:
                parts.append(renderer.render(urls, fields))
            except MissingFields as error:
                missing |= dict.fromkeys(error.names)
            except TooLarge as error:
                return Violation("merge_fields", str(error))
        if missing:
            return Violation("merge_fields", f"the message needs values for: {', '.join(missing)}")
        html, text = parts
        if len(html) + len(text) > MOST_BYTES:
            return Violation("merge_fields", str(TooLarge(len(html) + len(text))))
        return Rendered(html, text)
