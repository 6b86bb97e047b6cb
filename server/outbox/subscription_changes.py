"""Tells the CRM what recipients want of their subscriptions: at once, and again until it has heard it."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from server.crm.subscriptions import SubscriptionCrm
from server.model.errors import DomainError, Reason
from server.model.ids import NOBODY, person_of
from server.model.subscription import Subscriber, Subscription
from server.repeating import Repeating
from server.store.recipients import RecipientStore
from server.store.subscription_changes import SubscriptionChangeStore, WaitingChange

log = structlog.get_logger()

LOOK_SECONDS = 2.0
SECONDS = 5.0
RECIPIENT_SECONDS = 2.0
"""How long a recipient waits for the CRM at most, however many subscriptions are changed."""

MOST = 100
LONGEST_PAUSE = timedelta(minutes=5)
AWAY = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED"}
"""Codes that say something about the CRM, and not about what it was told: nobody else's turn would be another one."""

NOBODYS = Subscriber(email="nobody@example.invalid")
"""Who is asked for when the link is nobody's: the CRM knows no such subscriber, and so says which mailing types there are."""


class SubscriptionChanges:
    """Writes down what recipients want before the CRM is told, so that neither its absence nor our end loses it. It is never given up."""

    def __init__(
        self, waiting: SubscriptionChangeStore, recipients: RecipientStore, crm: SubscriptionCrm, clock: Callable[[], datetime]
    ) -> None:
        self._waiting = waiting
        self._recipients = recipients
        self._crm = crm
        self._clock = clock
        self._repeating = Repeating(self._tell_what_is_due, LOOK_SECONDS)

    async def of(self, recipient: int, mailing_type_id: int) -> list[Subscription]:
        """The recipient's mailing types, by id, or only one, with what the CRM has still to hear."""
        waiting, subscriber = await asyncio.to_thread(self._known_here, recipient)
        (found,) = await self._crm.subscriptions([subscriber], mailing_type_id, RECIPIENT_SECONDS)
        return [overlaid(each, waiting.get(each.mailing_type_id)) for each in found]

    def shown(self, recipient: int, unknown: Subscription) -> Subscription:
        """What is known here of a subscription while the CRM is away. Blocks."""
        return overlaid(unknown, self._known_here(recipient)[0].get(unknown.mailing_type_id))

    async def change(self, recipient: int, wanted: Mapping[int, bool], time: datetime) -> dict[int, Subscription | None]:
        """What the subscriptions are once this is wanted, by mailing type; None where the CRM has still to hear it.

        Those of mailing types that the CRM has no more are left out.
        """
        changes = [WaitingChange(recipient, type_id, subscribed, time, 0) for type_id, subscribed in wanted.items()]
        await asyncio.to_thread(self._waiting.add, changes)
        results: dict[int, Subscription | None] = dict.fromkeys(wanted)
        deadline = asyncio.get_running_loop().time() + RECIPIENT_SECONDS
        for change in changes:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            try:
                results[change.mailing_type_id] = await self._tell(change, left)
            except DomainError as error:
                if error.reason is Reason.reference_not_found:
                    del results[change.mailing_type_id]
                elif error.metadata.get("code") in AWAY:
                    break
        return results

    def start(self) -> None:
        """Begins to look, every few seconds, for what the CRM has still to hear. Needs a running event loop."""
        self._repeating.start()

    async def stop(self) -> None:
        """Ends after the change under way; the rest is found at the next start."""
        await self._repeating.stop()

    async def _tell_what_is_due(self) -> None:
        try:
            await self._tell_all()
        except DomainError as error:
            log.warning("subscription_changes_postponed", reason=error.reason.value, code=error.metadata.get("code", ""))
        except Exception as error:  # a defect here must not keep anybody subscribed for ever: it is tried again
            log.error("subscription_changes_failed", exc_info=error)

    async def _tell_all(self) -> None:
        """Tells what is due. Raises DomainError once the CRM is away: the others would wait for nothing."""
        for change in await asyncio.to_thread(self._waiting.due, self._clock(), MOST):
            if self._repeating.stopping:
                return
            try:
                await self._tell(change, SECONDS)
            except DomainError as error:
                if error.reason is Reason.reference_not_found:
                    continue
                pause = min(timedelta(seconds=LOOK_SECONDS) * 2 ** min(change.attempts, 20), LONGEST_PAUSE)
                await asyncio.to_thread(self._waiting.postpone, change, self._clock() + pause)
                if error.reason is not Reason.crm_unavailable or error.metadata.get("code") in AWAY:
                    raise

    async def _tell(self, change: WaitingChange, seconds: float) -> Subscription:
        """Tells one change, which waits no more then. Raises what the CRM does; REFERENCE_NOT_FOUND ends its waiting too."""
        subscriber = await asyncio.to_thread(self._subscriber, change.recipient)
        try:
            found = await self._crm.set_subscription(subscriber, change.mailing_type_id, change.subscribed, change.change_time, seconds)
        except DomainError as error:
            if error.reason is Reason.reference_not_found:  # nobody is subscribed to what there is no more
                await asyncio.to_thread(self._waiting.done, change)
            raise
        await asyncio.to_thread(self._waiting.done, change)
        return found

    def _known_here(self, recipient: int) -> tuple[dict[int, WaitingChange], Subscriber]:
        return (self._waiting.of(recipient), self._subscriber(recipient)) if recipient != NOBODY else ({}, NOBODYS)

    def _subscriber(self, recipient: int) -> Subscriber:
        if person_id := person_of(recipient):
            return Subscriber.model_construct(person_id=person_id)
        return Subscriber.model_construct(email=self._recipients.known([recipient])[recipient].email)


def overlaid(found: Subscription, waiting: WaitingChange | None) -> Subscription:
    """The subscription as it is once the CRM has heard what waits."""
    if waiting is None or (found.change_time is not None and found.change_time > waiting.change_time):
        return found
    return found.model_copy(update={"subscribed": waiting.subscribed, "change_time": waiting.change_time})
