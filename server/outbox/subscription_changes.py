"""Tells a remote CRM what recipients wanted of their subscriptions while it was away."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from server.crm.subscriptions import SubscriptionCrm
from server.model.errors import DomainError
from server.model.ids import person_of
from server.model.subscription import Subscriber
from server.store.recipients import RecipientStore
from server.store.subscription_changes import SubscriptionChangeStore, WaitingChange

log = structlog.get_logger()

LOOK_SECONDS = 2.0
SECONDS = 5.0
MOST = 100
LONGEST_PAUSE = timedelta(minutes=5)


class SubscriptionChanges:
    """Looks every few seconds for changes that wait, and tells them oldest first. They are never given up: who wants to leave is let go."""

    def __init__(
        self, waiting: SubscriptionChangeStore, recipients: RecipientStore, crm: SubscriptionCrm, clock: Callable[[], datetime]
    ) -> None:
        self._waiting = waiting
        self._recipients = recipients
        self._crm = crm
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Begins to look. Needs a running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends after the change under way; the rest is found at the next start."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                for change in await asyncio.to_thread(self._waiting.due, self._clock(), MOST):
                    if not self._stopping.is_set():
                        await self._tell(change)
            except DomainError as error:
                log.warning("subscription_changes_postponed", reason=error.reason.value)
            except Exception as error:  # a defect here must not keep anybody subscribed for ever: it is tried again
                log.error("subscription_changes_failed", exc_info=error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), LOOK_SECONDS)

    async def _tell(self, change: WaitingChange) -> None:
        try:
            subscriber = await asyncio.to_thread(self._subscriber, change.recipient)
            await self._crm.set_subscription(subscriber, change.mailing_type_id, change.subscribed, change.change_time, SECONDS)
        except DomainError as error:
            pause = min(timedelta(seconds=LOOK_SECONDS) * 2 ** min(change.attempts, 20), LONGEST_PAUSE)
            log.warning(
                "subscription_change_postponed", reason=error.reason.value, attempts=change.attempts + 1, seconds=pause.total_seconds()
            )
            await asyncio.to_thread(self._waiting.postpone, change, self._clock() + pause)
        else:
            await asyncio.to_thread(self._waiting.done, change)

    def _subscriber(self, recipient: int) -> Subscriber:
        if person_id := person_of(recipient):
            return Subscriber.model_construct(person_id=person_id)
        return Subscriber.model_construct(email=self._recipients.known([recipient])[recipient].email)
