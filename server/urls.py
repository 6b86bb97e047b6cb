"""Minting: each recipient's own URLs for the placements of a mailing, or for links outside one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from redirect.token import DO_NOT_TRACK, TEST, Minter
from server.model.errors import DomainError, Reason, Violation
from server.model.ids import NOBODY, address_recipient, person_recipient
from server.model.mailing import Mailing, Recipient
from server.store.kept import KeptStore
from server.store.mailings import MailingStore
from server.store.messages import MessageStore, StoredMessage
from server.store.placements import PlacementStore


class Minting:
    """Makes mints, each for one set of placements. Every method blocks."""

    def __init__(
        self,
        minter: Minter,
        placements: PlacementStore,
        mailings: MailingStore,
        messages: MessageStore,
        kept: KeptStore,
        public_url: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._minter = minter
        self._placements = placements
        self._mailings = mailings
        self._messages = messages
        self._kept = kept
        self._public_url = public_url
        self._clock = clock

    def outside(self, link_ids: Sequence[int]) -> "Mint":
        """A mint for registered links outside any mailing. Raises LINK_NOT_FOUND, LINK_DELETED, LINK_IS_LOCAL."""
        placements = [placement.id for placement in self._placements.outside(link_ids)]
        return Mint(UrlMaker(self._minter, self._public_url, placements), self._placements)

    def inside(self, mailing_id: int) -> "Mint":
        """A mint for a mailing's message as it was tracked last. Raises MAILING_NOT_FOUND, MAILING_DELETED, MESSAGE_MISSING."""
        mailing = self._mailings.get(mailing_id)
        if mailing.delete_time is not None:
            raise DomainError(Reason.mailing_deleted, f"mailing {mailing_id} is deleted", id=mailing_id)
        return self.of(mailing, self._messages.get(mailing_id))

    def of(self, mailing: Mailing, message: StoredMessage) -> "Mint":
        """The same for a mailing and a message that are known already."""
        special = {*message.special} & {*message.placement_ids}
        keeping = Keeping(self._kept, mailing, message.kept_fields, self._clock) if special or message.kept_fields else None
        return Mint(self.maker(mailing, message), self._placements, mailing.test, keeping)

    def maker(self, mailing: Mailing, message: StoredMessage) -> "UrlMaker":
        """What makes the URLs of one recipient of a mailing."""
        return UrlMaker(self._minter, mailing.public_url or self._public_url, message.placement_ids)


class UrlMaker:
    """Makes URLs for one set of placements, which begin with the public URL."""

    def __init__(self, minter: Minter, public_url: str, placement_ids: Sequence[int]) -> None:
        self._minter = minter
        self._start = f"{public_url}/"
        self._prefixes = [(placement_id, minter.prefix(placement_id)) for placement_id in placement_ids]

    @property
    def size(self) -> int:
        """About how many bytes one recipient's URLs are."""
        return len(self._prefixes) * (len(self._start) + 47)

    def urls(self, number: int, flags: int) -> dict[int, str]:
        """A recipient's URLs by placement id."""
        return {placement_id: self._start + self._minter.mint(prefix, number, flags) for placement_id, prefix in self._prefixes}


@dataclass(frozen=True, slots=True)
class Keeping:
    """Keeps what the recipients of a mailing bring, since special links or merge fields in URLs read it later."""

    store: KeptStore
    mailing: Mailing
    names: Sequence[str]
    clock: Callable[[], datetime]

    def missing(self, recipient: Recipient) -> Violation | None:
        """What a recipient who is somebody does not bring."""
        values = recipient.values(self.mailing.name)
        lacking = [name for name in self.names if name not in values]
        if not (lacking and recipient.is_somebody):
            return None
        return Violation("merge_fields", f"the URLs of the message, or its view online, need values for: {', '.join(lacking)}")

    def keep(self, recipients: Sequence[tuple[int, Recipient]]) -> None:
        """Keeps what these recipients, each with the number, bring. Blocks."""
        brought = {number: recipient.values(self.mailing.name) for number, recipient in recipients if number != NOBODY}
        kept = {number: {name: values[name] for name in self.names} for number, values in brought.items()}
        self.store.keep(self.mailing.id, kept, self.clock())


@dataclass(frozen=True, slots=True)
class Mint:
    """Mints the URLs of one set of placements; `test` makes every one of them a test. Without `keeping` nothing is kept of recipients."""

    maker: UrlMaker
    store: PlacementStore
    test: bool = False
    keeping: Keeping | None = None

    @property
    def size(self) -> int:
        """About how many bytes one recipient's URLs are."""
        return self.maker.size

    def urls(self, recipients: Sequence[Recipient]) -> list[dict[int, str] | Violation]:
        """Each recipient's URLs by placement id, or why there are none, in the order of the recipients.

        Blocks: addresses get a row each, once, and so does what is kept.
        """
        problems = [self.keeping.missing(recipient) if self.keeping else None for recipient in recipients]
        good = [recipient for recipient, problem in zip(recipients, problems, strict=True) if problem is None]
        emails = [recipient.email for recipient in good if recipient.email and self._is_written(recipient)]
        addresses = self.store.addresses(list(dict.fromkeys(emails)))
        numbered = [(self._number(recipient, addresses), recipient) for recipient in good]
        if self.keeping:
            self.keeping.keep(numbered)
        minted = iter([self.maker.urls(number, self._flags(recipient)) for number, recipient in numbered])
        return [problem or next(minted) for problem in problems]

    def _flags(self, recipient: Recipient) -> int:
        return (TEST if recipient.test or self.test else 0) | (DO_NOT_TRACK if recipient.do_not_track else 0)

    def _is_written(self, recipient: Recipient) -> bool:
        """Who is not to be tracked is written nowhere, but where special links or merge fields in URLs would not work without."""
        return self.keeping is not None or not recipient.do_not_track

    def _number(self, recipient: Recipient, addresses: dict[str, int]) -> int:
        if recipient.person_id:
            return person_recipient(recipient.person_id)
        if recipient.email and self._is_written(recipient):
            return address_recipient(addresses[recipient.email])
        return NOBODY
