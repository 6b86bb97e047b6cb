"""What recipients see and change of their subscriptions behind special links."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from server.model.errors import DomainError, Reason, Violation, invalid
from server.model.mailing import PlacementKind
from server.model.subscription import Subscription, SubscriptionChange
from server.outbox.subscription_changes import SubscriptionChanges
from server.special_links import OpenedLink, SpecialLinks, Validity


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
        subscriptions: SubscriptionChanges,
        public_url: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._links = links
        self._validity = validity
        self._subscriptions = subscriptions
        self._public_url = public_url
        self._clock = clock

    async def page(self, token: str, renewal: str) -> SubscriptionPage:
        """What the page shows; changes nothing."""
        link, until = await asyncio.to_thread(self._open, token, renewal)
        return await self._page(link, until)

    async def change(self, token: str, renewal: str, changes: Sequence[SubscriptionChange]) -> SubscriptionPage:
        """The page after the changes. What a CRM that is away has not heard is shown as made; it is kept, and told later."""
        link, until = await asyncio.to_thread(self._open, token, renewal)
        before = await self._page(link, until)
        wanted = _wanted(link, before, changes)
        if link.is_trial or not wanted:
            return before
        time = max([self._clock(), *(_later(each) for each in before.subscriptions if each.mailing_type_id in wanted)])
        heard = await self._subscriptions.change(link.recipient, wanted, time)
        return replace(before, subscriptions=[_after(each, wanted, heard) for each in before.subscriptions])

    def renew(self, token: str) -> RenewedLink:
        """A new URL for a link to manage subscriptions, expired or not. Blocks."""
        link = self._links.opened(token, PlacementKind.manage_subscriptions)
        renewal, until = self._validity.renewal(token, self._clock())
        return RenewedLink(f"{link.mailing.public_url or self._public_url}/{token}/{renewal}", until, link.mailing.language)

    def _open(self, token: str, renewal: str) -> tuple[OpenedLink, datetime | None]:
        link = self._links.opened(token, PlacementKind.unsubscribe, PlacementKind.manage_subscriptions)
        if link.kind is PlacementKind.unsubscribe:
            if renewal:
                raise DomainError(Reason.token_invalid, "an unsubscribe link is never renewed, since it is valid for ever")
            return link, None  # whoever wants to leave is let go, however old the mail is
        return link, self._validity.of(link, renewal, self._clock())

    async def _page(self, link: OpenedLink, until: datetime | None) -> SubscriptionPage:
        if link.kind is PlacementKind.unsubscribe:
            shown = [await self._of_mailing(link)]
        else:
            shown = await self._subscriptions.of(link.recipient, 0)
        return SubscriptionPage(link.kind, link.mailing.language, shown, link.is_trial, until)

    async def _of_mailing(self, link: OpenedLink) -> Subscription:
        """The subscription of the mailing's type. One can leave without the CRM: the mailing's name stands for that of its type then."""
        type_id = link.mailing.mailing_type_id
        try:
            (found,) = await self._subscriptions.of(link.recipient, type_id)
        except DomainError as error:
            gone = error.reason is Reason.reference_not_found
            if not gone and error.reason is not Reason.crm_unavailable:
                raise
            unknown = Subscription.model_construct(mailing_type_id=type_id, mailing_type=link.mailing.name, subscribed=not gone)
            return unknown if gone else await asyncio.to_thread(self._subscriptions.shown, link.recipient, unknown)
        return found


def _later(found: Subscription) -> datetime:
    """A time at which a change counts: who has the page before them knows what was said before, whatever clock said when."""
    return (found.change_time or datetime.min.replace(tzinfo=UTC)) + timedelta(microseconds=1)


def _after(found: Subscription, wanted: Mapping[int, bool], heard: Mapping[int, Subscription | None]) -> Subscription:
    type_id = found.mailing_type_id
    if type_id not in wanted:
        return found
    if type_id not in heard:  # its mailing type is gone: nobody is subscribed to it
        return found.model_copy(update={"subscribed": False})
    return heard[type_id] or found.model_copy(update={"subscribed": wanted[type_id]})


def _wanted(link: OpenedLink, page: SubscriptionPage, changes: Sequence[SubscriptionChange]) -> dict[int, bool]:
    """What is to be changed, by mailing type; who leaves one that is not on the page has left it.

    Raises INVALID_FIELD, and REFERENCE_NOT_FOUND for a mailing type that is wanted and not on the page.
    """
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
        if each.mailing_type_id not in now and (each.subscribed or not each.mailing_type_id or link.kind is PlacementKind.unsubscribe)
    ]
    if unknown:
        raise DomainError(Reason.reference_not_found, f"{unknown[0].field}: {unknown[0].description}", unknown)
    every = link.kind is PlacementKind.unsubscribe  # also what seems to be so already: it may not be what the CRM says
    return {each.mailing_type_id: each.subscribed for each in changes if every or now.get(each.mailing_type_id, False) != each.subscribed}
