"""Minting: each recipient's own URLs for the placements of a mailing, or for links outside one."""

from collections.abc import Sequence
from dataclasses import dataclass

from redirect.token import DO_NOT_TRACK, TEST, Minter
from server.model.ids import NOBODY, address_recipient, person_recipient
from server.model.mailing import Mailing, Placement, Recipient
from server.store.placements import PlacementStore


class Minting:
    """Makes mints, each for one set of placements."""

    def __init__(self, minter: Minter, store: PlacementStore, public_url: str) -> None:
        self._minter = minter
        self._store = store
        self._public_url = public_url

    def outside(self, link_ids: Sequence[int]) -> "Mint":
        """A mint for registered links outside any mailing. Blocks. Raises LINK_NOT_FOUND, LINK_DELETED, LINK_IS_LOCAL."""
        return Mint(self._public_url, self._store.outside(link_ids), False, self._minter, self._store)

    def of(self, mailing: Mailing) -> "Mint":
        """A mint for the placements of a mailing. Blocks."""
        return Mint(mailing.public_url or self._public_url, self._store.of(mailing.id), mailing.test, self._minter, self._store)


@dataclass(frozen=True, slots=True)
class Mint:
    """Mints the URLs of one set of placements; `test` makes every one of them a test."""

    public_url: str
    placements: Sequence[Placement]
    test: bool
    minter: Minter
    store: PlacementStore

    def urls(self, recipients: Sequence[Recipient]) -> list[dict[int, str]]:
        """Each recipient's URLs by placement id, in the order of the recipients. Blocks: addresses get a row each, once."""
        emails = {recipient.email for recipient in recipients if recipient.email}
        addresses = self.store.addresses(sorted(emails))
        prefixes = [(placement.id, self.minter.prefix(placement.id)) for placement in self.placements]
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
    return address_recipient(addresses[recipient.email]) if recipient.email else NOBODY
