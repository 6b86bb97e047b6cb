"""Minting: each recipient's own URLs for the placements of a mailing, or for links outside one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from redirect.token import DO_NOT_TRACK, TEST, Minter
from server.model.errors import DomainError, Reason, Violation
from server.model.ids import NOBODY, address_recipient, person_recipient
from server.model.mailing import Mailing, PlacementKind, Recipient
from server.model.url_fields import MOST_FILLED, filled_length
from server.store.given_ids import GivenIds
from server.store.kept import KeptStore, kept_key
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
        given_ids: GivenIds,
        public_url: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._minter = minter
        self._given_ids = given_ids
        self._placements = placements
        self._mailings = mailings
        self._messages = messages
        self._kept = kept
        self._public_url = public_url
        self._clock = clock

    def outside(self, link_ids: Sequence[int]) -> "Mint":
        """A mint for registered links outside any mailing. Raises LINK_NOT_FOUND, LINK_DELETED, LINK_IS_LOCAL, DATABASE_PUT_BACK."""
        self._given_ids.refuse_put_back()
        placements = [placement.id for placement in self._placements.outside(link_ids)]
        return Mint(UrlMaker(self._minter, self._public_url, placements), self._placements)

    def inside(self, mailing_id: int) -> "Mint":
        """A mint for a mailing's message as it was tracked last.

        Raises MAILING_NOT_FOUND, MAILING_DELETED, MESSAGE_MISSING, DATABASE_PUT_BACK.
        """
        mailing = self._mailings.get(mailing_id)
        if mailing.delete_time is not None:
            raise DomainError(Reason.mailing_deleted, f"mailing {mailing_id} is deleted", id=mailing_id)
        return self.of(mailing, self._messages.get(mailing_id))

    def of(self, mailing: Mailing, message: StoredMessage) -> "Mint":
        """The same for a mailing and a message that are known already. Raises DATABASE_PUT_BACK."""
        self._given_ids.refuse_put_back()
        special = {message.special[each] for each in message.placement_ids if each in message.special}
        reads = bool(message.kept_fields or special & {PlacementKind.manage_subscriptions, PlacementKind.view_online})
        keeping = Keeping(self._kept, mailing, message, self._clock) if reads else None
        return Mint(self.maker(mailing, message), self._placements, mailing.test, keeping, bool(special or message.kept_fields))

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
    message: StoredMessage
    clock: Callable[[], datetime]

    def problem(self, recipient: Recipient) -> Violation | None:
        """Why a recipient who is somebody cannot be served: not all is brought, or a URL would be longer than browsers take."""
        if not recipient.is_somebody:
            return None
        values = recipient.values(self.mailing.name)
        if lacking := [name for name in self.message.kept_fields if name not in values]:
            return Violation("merge_fields", f"the URLs of the message, or its view online, need values for: {', '.join(lacking)}")
        for url in self.message.filled_urls:
            if (length := filled_length(url, values)) > MOST_FILLED:
                return Violation(
                    "merge_fields", f"would make a URL of {length:,} characters, at most {MOST_FILLED:,} are possible: {url[:60]}"
                )
        return None

    def keep(self, recipients: Sequence[tuple[int, Recipient]]) -> None:
        """Keeps what these recipients, each with the number, bring. Blocks."""
        brought: dict[int, dict[str, str]] = {}
        for number, recipient in recipients:
            if number != NOBODY:
                values = recipient.values(self.mailing.name)
                key = kept_key(number, recipient.test or self.mailing.test)
                brought[key] = {name: values[name] for name in self.message.kept_fields}
        self.store.keep(self.mailing.id, brought, self.clock())


@dataclass(frozen=True, slots=True)
class Mint:
    """Mints the URLs of one set of placements; `test` makes every one of them a test. Without `keeping` nothing is kept of recipients.

    Who is not to be tracked and is known by an address only is nobody, unless the message `needs_address` for something to work.
    """

    maker: UrlMaker
    store: PlacementStore
    test: bool = False
    keeping: Keeping | None = None
    needs_address: bool = False

    @property
    def size(self) -> int:
        """About how many bytes one recipient's URLs are."""
        return self.maker.size

    def numbers(self, recipients: Sequence[Recipient]) -> list[int | Violation]:
        """Each recipient's number, or why there is none, in the order of the recipients.

        Blocks: addresses get a row each, once, and so does what is kept.
        """
        problems = [self.keeping.problem(recipient) if self.keeping else None for recipient in recipients]
        good = [recipient for recipient, problem in zip(recipients, problems, strict=True) if problem is None]
        emails = [recipient.email for recipient in good if recipient.email and self._is_written(recipient)]
        addresses = self.store.addresses(list(dict.fromkeys(emails)))
        numbered = [(self._number(recipient, addresses), recipient) for recipient in good]
        if self.keeping:
            self.keeping.keep(numbered)
        numbers = iter([number for number, _ in numbered])
        return [problem or next(numbers) for problem in problems]

    def urls(self, recipient: Recipient, number: int) -> dict[int, str]:
        """A recipient's URLs by placement id."""
        flags = (TEST if recipient.test or self.test else 0) | (DO_NOT_TRACK if recipient.do_not_track else 0)
        return self.maker.urls(number, flags)

    def _is_written(self, recipient: Recipient) -> bool:
        return self.needs_address or not recipient.do_not_track

    def _number(self, recipient: Recipient, addresses: dict[str, int]) -> int:
        if recipient.person_id:
            return person_recipient(recipient.person_id)
        if recipient.email and self._is_written(recipient):
            return address_recipient(addresses[recipient.email])
        return NOBODY
