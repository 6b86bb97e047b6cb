"""Minting: each recipient's own URLs for the placements of a mailing, or for links outside one."""

from collections.abc import Sequence
from dataclasses import dataclass

from redirect.token import DO_NOT_TRACK, TEST, Minter
from server.model.errors import DomainError, Reason
from server.model.ids import NOBODY, address_recipient, person_recipient
from server.model.mailing import Mailing, Recipient
from server.store.mailings import MailingStore
from server.store.messages import MessageStore, StoredMessage
from server.store.placements import PlacementStore


class Minting:
    """Makes mints, each for one set of placements. Every method blocks."""

    def __init__(self, minter: Minter, placements: PlacementStore, mailings: MailingStore, messages: MessageStore, public_url: str) -> None:
        self._minter = minter
        self._placements = placements
        self._mailings = mailings
        self._messages = messages
        self._public_url = public_url

    def outside(self, link_ids: Sequence[int]) -> "Mint":
        """A mint for registered links outside any mailing. Raises LINK_NOT_FOUND, LINK_DELETED, LINK_IS_LOCAL."""
        placements = [placement.id for placement in self._placements.outside(link_ids)]
        return Mint(self._public_url, placements, False, self._minter, self._placements)

    def inside(self, mailing_id: int) -> "Mint":
        """A mint for a mailing's message as it was tracked last. Raises MAILING_NOT_FOUND, MAILING_DELETED, MESSAGE_MISSING."""
        mailing = self._mailings.get(mailing_id)
        if mailing.delete_time is not None:
            raise DomainError(Reason.mailing_deleted, f"mailing {mailing_id} is deleted", id=mailing_id)
        return self.of(mailing, self._messages.get(mailing_id))

    def of(self, mailing: Mailing, message: StoredMessage) -> "Mint":
        """The same for a mailing and a message that are known already."""
        placements = sorted({placement_id for *_, placement_id in message.slots})
        return Mint(mailing.public_url or self._public_url, placements, mailing.test, self._minter, self._placements)


@dataclass(frozen=True, slots=True)
class Mint:
    """Mints the URLs of one set of placements; `test` makes every one of them a test."""

    public_url: str
    placement_ids: Sequence[int]
    test: bool
    minter: Minter
    store: PlacementStore

    @property
    def size(self) -> int:
        """About how many bytes one recipient's URLs are."""
        return len(self.placement_ids) * (len(self.public_url) + 48)

    def urls(self, recipients: Sequence[Recipient]) -> list[dict[int, str]]:
        """Each recipient's URLs by placement id, in the order of the recipients. Blocks: addresses get a row each, once."""
        addresses = self.store.addresses(
            list(dict.fromkeys(recipient.email for recipient in recipients if recipient.email and not recipient.do_not_track))
        )
        prefixes = [(placement_id, self.minter.prefix(placement_id)) for placement_id in self.placement_ids]
        start = f"{self.public_url}/"
        minted = []
        for recipient in recipients:
            number = _number(recipient, addresses)
            flags = (TEST if recipient.test or self.test else 0) | (DO_NOT_TRACK if recipient.do_not_track else 0)
            minted.append({placement_id: start + self.minter.mint(prefix, number, flags) for placement_id, prefix in prefixes})
        return minted


def _number(recipient: Recipient, addresses: dict[str, int]) -> int:
    if recipient.person_id:
        return person_recipient(recipient.person_id)
    if recipient.email and not recipient.do_not_track:  # who is not to be tracked is written nowhere, and removals need a person
        return address_recipient(addresses[recipient.email])
    return NOBODY
