"""What is asked of a CRM about subscriptions, and the embedded one's answers in the same form as those of a remote one."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from server.model.subscription import Subscriber, Subscription
from server.store.subscriptions import SubscriptionStore


class SubscriptionCrm(Protocol):
    """A CRM that knows who gets which mailings. Both raise CRM_UNAVAILABLE when it is away, and REFERENCE_NOT_FOUND for a mailing type."""

    async def subscriptions(self, subscribers: Sequence[Subscriber], mailing_type_id: int, seconds: float) -> list[list[Subscription]]:
        """For each subscriber the mailing types, by id, or only one where it is given."""

    async def set_subscription(
        self, subscriber: Subscriber, mailing_type_id: int, subscribed: bool, time: datetime, seconds: float
    ) -> Subscription:
        """What the subscription is once what was wanted at this time is done; doing it again changes nothing."""


class EmbeddedSubscriptions:
    """The embedded CRM's; never away without the database. Its answers need no deadline."""

    def __init__(self, store: SubscriptionStore) -> None:
        self._store = store

    async def subscriptions(self, subscribers: Sequence[Subscriber], mailing_type_id: int, seconds: float) -> list[list[Subscription]]:
        """For each subscriber the mailing types, by id, or only one where it is given."""
        return await asyncio.to_thread(self._store.of, subscribers, mailing_type_id)

    async def set_subscription(
        self, subscriber: Subscriber, mailing_type_id: int, subscribed: bool, time: datetime, seconds: float
    ) -> Subscription:
        """What the subscription is once what was wanted at this time is done."""
        return await asyncio.to_thread(self._store.set, subscriber, mailing_type_id, subscribed, time)
