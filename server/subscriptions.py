"""What recipients see and change of their subscriptions behind special links."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from server.crm.subscriptions import SubscriptionCrm
from server.model.errors import DomainError, Reason, Violation, invalid
from server.model.ids import NOBODY, person_of
from server.model.mailing import PlacementKind
from server.model.subscription import Subscriber, Subscription, SubscriptionChange
from server.special_links import OpenedLink, SpecialLinks, Validity
from server.store.recipients import RecipientStore
from server.store.subscription_changes import SubscriptionChangeStore, WaitingChange

SECONDS = 2.0
"""How long a recipient waits for a remote CRM at most."""

NOBODYS = Subscriber(email="nobody@example.invalid")
"""Who is asked for when the link is nobody's: the CRM knows no such subscriber, and so says which mailing types there are."""


@dataclass(frozen=True, slots=True)
class SubscriptionPage:
    """What a recipient may see and change: of an unsubscribe link the one of the mailing's type, else all."""

    kind: PlacementKind
    language: str
    subscriptions: Sequence[Subscription]
    trial: bool
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class RenewedLink:
    """A new URL for managing subscriptions."""

    url: str
    expire_time: datetime
    language: str


class Subscriptions:
    """The use cases of the pages for subscriptions. Errors are those that the contract names."""

    def __init__(
        self,
        links: SpecialLinks,
        validity: Validity,
        crm: SubscriptionCrm,
        waiting: SubscriptionChangeStore,
        recipients: RecipientStore,
        public_url: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._links = links
        self._validity = validity
        self._crm = crm
        self._waiting = waiting
        self._recipients = recipients
        self._public_url = public_url
        self._clock = clock

    async def page(self, token: str, renewal: str) -> SubscriptionPage:
        """What the page shows; changes nothing."""
        link, until = await asyncio.to_thread(self._open, token, renewal)
        return await self._page(link, until)

    async def change(self, token: str, renewal: str, changes: Sequence[SubscriptionChange]) -> SubscriptionPage:
        """The page after the changes. While a remote CRM is away they are kept for it, and shown as made."""
        link, until = await asyncio.to_thread(self._open, token, renewal)
        before = await self._page(link, until)
        wanted = _wanted(link, before, changes)
        if link.is_trial:
            return before
        subscriber = await asyncio.to_thread(self._subscriber, link.recipient)
        shown = [
            await self._changed(link.recipient, subscriber, each, wanted[each.mailing_type_id]) if each.mailing_type_id in wanted else each
            for each in before.subscriptions
        ]
        return replace(before, subscriptions=shown)

    def renew(self, token: str) -> RenewedLink:
        """A new URL for a link to manage subscriptions, expired or not. Blocks."""
        link = self._links.opened(token, PlacementKind.manage_subscriptions)
        renewal, until = self._validity.renewal(token, self._clock())
        return RenewedLink(f"{link.mailing.public_url or self._public_url}/{token}/{renewal}", until, link.mailing.language)

    def _open(self, token: str, renewal: str) -> tuple[OpenedLink, datetime | None]:
        link = self._links.opened(token, PlacementKind.unsubscribe, PlacementKind.manage_subscriptions)
        if link.kind is PlacementKind.unsubscribe:
            return link, None  # whoever wants to leave is let go, however old the mail is
        return link, self._validity.of(link, renewal, self._clock())

    async def _page(self, link: OpenedLink, until: datetime | None) -> SubscriptionPage:
        waiting, subscriber = await asyncio.to_thread(self._known_here, link.recipient)
        if link.kind is PlacementKind.unsubscribe:
            found = [await self._of_mailing(link, subscriber)]
        else:
            (found,) = await self._crm.subscriptions([subscriber], 0, SECONDS)
        shown = [_overlaid(each, waiting.get(each.mailing_type_id)) for each in found]
        return SubscriptionPage(link.kind, link.mailing.language, shown, link.is_trial, until)

    async def _of_mailing(self, link: OpenedLink, subscriber: Subscriber) -> Subscription:
        """The subscription of the mailing's type. One can leave without the CRM: the mailing's name stands for that of its type then."""
        type_id = link.mailing.mailing_type_id
        try:
            ((found,),) = await self._crm.subscriptions([subscriber], type_id, SECONDS)
        except DomainError as error:
            gone = error.reason is Reason.reference_not_found
            if not gone and error.reason is not Reason.crm_unavailable:
                raise
            return Subscription.model_construct(mailing_type_id=type_id, mailing_type=link.mailing.name, subscribed=not gone)
        return found

    def _known_here(self, recipient: int) -> tuple[dict[int, WaitingChange], Subscriber]:
        if recipient == NOBODY:
            return {}, NOBODYS
        return self._waiting.of(recipient), self._subscriber(recipient)

    def _subscriber(self, recipient: int) -> Subscriber:
        if person_id := person_of(recipient):
            return Subscriber.model_construct(person_id=person_id)
        return Subscriber.model_construct(email=self._recipients.known([recipient])[recipient].email) if recipient else NOBODYS

    async def _changed(self, recipient: int, subscriber: Subscriber, found: Subscription, subscribed: bool) -> Subscription:
        """What the subscription is now. While the CRM is away the change is kept for it; a mailing type that is gone has no subscribers."""
        type_id, now = found.mailing_type_id, self._clock()
        try:
            return await self._crm.set_subscription(subscriber, type_id, subscribed, now, SECONDS)
        except DomainError as error:
            if error.reason is Reason.reference_not_found:
                return found.model_copy(update={"subscribed": False})
            if error.reason is not Reason.crm_unavailable:
                raise
        change = WaitingChange(recipient, type_id, subscribed, now, 0)
        await asyncio.to_thread(self._waiting.add, change)
        return _overlaid(found, change)


def _overlaid(found: Subscription, waiting: WaitingChange | None) -> Subscription:
    """The subscription as it is once the CRM knows what the recipient wants."""
    if waiting is None or (found.change_time is not None and found.change_time > waiting.change_time):
        return found
    return found.model_copy(update={"subscribed": waiting.subscribed, "change_time": waiting.change_time})


def _wanted(link: OpenedLink, page: SubscriptionPage, changes: Sequence[SubscriptionChange]) -> dict[int, bool]:
    """What is to be changed, by mailing type. Raises INVALID_FIELD, and REFERENCE_NOT_FOUND for a mailing type that is not on the page."""
    ids = [each.mailing_type_id for each in changes]
    if len(set(ids)) < len(ids):
        raise invalid(Violation("changes", "must be for different mailing types"))
    if link.kind is PlacementKind.unsubscribe:
        if len(changes) != 1:
            raise invalid(Violation("changes", f"must have one entry for an unsubscribe link, not {len(changes)}"))
        changes = [SubscriptionChange(ids[0] or link.mailing.mailing_type_id, changes[0].subscribed)]
    now = {each.mailing_type_id: each.subscribed for each in page.subscriptions}
    unknown = [
        Violation(f"changes[{index}].mailing_type_id", f"the page has no mailing type {each.mailing_type_id}")
        for index, each in enumerate(changes)
        if each.mailing_type_id not in now
    ]
    if unknown:
        raise DomainError(Reason.reference_not_found, f"{unknown[0].field}: {unknown[0].description}", unknown)
    return {each.mailing_type_id: each.subscribed for each in changes if now[each.mailing_type_id] != each.subscribed}
